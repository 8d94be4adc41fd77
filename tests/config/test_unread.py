"""Keys that nothing reads, and prompts that leave out the form of an answer."""

import re

import pytest

from lib.config.errors import BadInput
from lib.config.load import load_study
from lib.config.unread import warnings
from tests.config.small_studies import ASKED, CLASSES, PAIR, SOLVED


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"evaluate.full_test": True}, "evaluate.full_test: found True, which nothing reads"),
        (SOLVED | {"evaluate.bins": 7}, "evaluate.bins: found 7, which nothing reads: no task of"),
        ({"evaluate.draws": [1, 2]}, "evaluate.draws: found .1, 2., .*uses more than one answer"),
        (ASKED | {"evaluate.draws": [1, 2]}, "evaluate.draws: found .*reads: infer.samples is 0"),
        ({"judge": {"kind": "qwen3guard", "model": "m"}},
         "judge.kind: found 'qwen3guard', which nothing reads: no task of decision is judged"),
        ({"train.lora": {"r": 4}}, "train.lora.r: found 4, which nothing reads: train.tuning is f"),
        ({"variants.reject": {"train.weighted_class": "reject", "train.beta": 2}},
         "variants.reject: train.beta: found 2, .*train.objective is weighted_nll"),
        ({"train.adalora.init_r": 20}, "train.adalora.init_r: found 20, which nothing reads"),
        ({"train.importance.batches": 3}, "train.importance.batches: found 3, which nothing reads"),
        (CLASSES | {"train.importance.batches": 3}, "batches: .*: train.importance.alpha is 0"),
        ({"train.diverge_steps": 3}, "train.diverge_steps: found 3, .*train.diverge_norm is null"),
        ({"train": {"schedule": "constant", "warmup": 0.3, "precision": "fp32"}},
         "train.warmup: found 0.3, which nothing reads: train.schedule is constant"),
        (PAIR | {"train.gamma": 2}, "train.gamma: found 2, which nothing reads: train.objective i"),
    ],
)  # fmt: skip
def test_a_key_that_nothing_reads_is_refused(write_study, changes, said) -> None:
    if changes.get("tasks") and "grid" not in changes:
        changes = {**SOLVED, **changes}
    with pytest.raises(BadInput, match=said) as refused:
        load_study(write_study(changes, drop=["trial"]))
    assert "\n" not in str(refused.value)


def test_a_key_that_one_point_reads_or_that_has_its_default_is_no_fault(write_study) -> None:
    lora = {"train.lora.r": 4, "train.beta": 0.1, "judge.kind": "rating", "judge.model": None}
    variants = {"variants.accept": {"train.weighted_class": "accept", "train.tuning": "lora"}}
    path = write_study(lora | variants)
    load_study(path)
    load_study(path, ["mode=trial"])
    # What the file says is about the file's own study.
    path = write_study({"train.tuning": "lora", "train.lora.r": 4})
    load_study(path, ["train.tuning=full"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data.ending": "Accept or reject?"}, "data.ending: asks for no .boxed"),
        ({"data.ending": r"Answer \boxed{Accept} or \boxed{Reject}."}, None),
        ({"data.ending": "", "data.system": r"Answer with \boxed{…}."}, None),
        ({"data.instruction": "Is it good?"}, None),
        (SOLVED | {"data": {"source": "synthetic", "instruction": "Solve."}}, "asks for no ####"),
        (SOLVED | {"data": {"source": "synthetic", "instruction": "", "shots": 2}}, None),
        ({}, None),
    ],
)
def test_a_prompt_that_leaves_out_the_form_of_the_answer_is_warned_of(
    write_study, changes, said
) -> None:
    lines = list(warnings(load_study(write_study(changes, drop=["trial"]))))
    assert len(lines) == (said is not None)
    assert all(re.search(said, line) for line in lines)
