"""What every task must have: its object, and the functions that the object names."""

import subprocess
import sys
from dataclasses import fields
from pkgutil import resolve_name

import pytest

from lib.config import tasks
from lib.config.errors import BadInput
from lib.config.schema import Evaluate, Judge
from lib.config.unread import READ_BY_SOME


@pytest.mark.parametrize("name", tasks.names())
def test_a_tasks_functions_exist(name: str) -> None:
    task = tasks.get(name)
    for field in fields(task):
        value = getattr(task, field.name)
        if isinstance(value, tasks.Lazy):
            assert callable(resolve_name(value.path)), field.name
    assert set(task.reads) <= set(READ_BY_SOME)
    assert all(Judge.model_validate({"kind": kind}).kind == kind for kind in task.judges)
    assert bool(task.judging) == bool(task.judges)
    if task.batch:  # what the first task of a study is asked for
        assert task.train_split
        assert task.analysis or task.compare
        assert task.messages or task.encode


def test_what_only_some_tasks_read_is_read_by_one() -> None:
    assert set(READ_BY_SOME) == {key for name in tasks.names() for key in tasks.get(name).reads}
    assert {key.removeprefix("evaluate.") for key in READ_BY_SOME} <= set(Evaluate.model_fields)


def test_a_task_that_does_not_exist() -> None:
    with pytest.raises(BadInput, match="unknown task 'desicion', .* did you mean 'decision'"):
        tasks.get("desicion")


def test_optional_parts_have_defaults() -> None:
    task = tasks.Task(schema=dict, build=list, analysis=None)
    assert task.body_length({}) == 0
    assert task.rendering({}) == ""
    assert task.select_rows([{}], {}) == [{}]
    assert task.grade({}, {"outputs": []}) == {}
    assert task.summary([{}, {}]) == "2 answers"
    for nothing in (
        task.alternative_answer({}),
        task.loss_class({}),
        task.answers({}),
        task.predictor,
        task.follow_up,
        task.draw,
        task.judging,
    ):
        assert nothing is None
    assert (task.warnings({}), task.reads, task.judges) == ([], (), ())


def test_a_study_is_loaded_with_the_modules_of_its_own_tasks_alone() -> None:
    code = (
        "import sys; from lib.config.load import load_study; "
        "load_study('configs/weighted_loss.yaml'); "
        "others = {m.split('.')[2] for m in sys.modules if m.startswith('lib.tasks.')}; "
        "heavy = {'numpy', 'pandas', 'torch', 'matplotlib', 'scipy'} & set(sys.modules); "
        "print(sorted(others), sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['decision'] []"


ANALYSES = """
import sys
from pkgutil import resolve_name
from lib.config import tasks
from lib.config.schema import Evaluate
analyses = [tasks.get(name).analysis for name in ("decision", "glue")]
names = [metric.name for one in analyses for metric in one.metrics(Evaluate(baseline={}))]
print(len(names), sorted({"numpy", "pandas"} & set(sys.modules)))
for one in analyses:
    for value in vars(one).values():
        if isinstance(value, tasks.Lazy):
            resolve_name(value.path)
print(sorted({"torch", "transformers", "vllm"} & set(sys.modules)))
"""


def test_analyses_are_declared_without_numpy_and_loaded_without_torch() -> None:
    ran = subprocess.run([sys.executable, "-c", ANALYSES], capture_output=True, text=True)
    assert ran.stdout.splitlines() == ["12 []", "[]"], ran.stderr
