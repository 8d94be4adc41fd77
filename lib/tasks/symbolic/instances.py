"""Instances of templates as they lie in a file or on the hub, or as they are generated.

    {"id": 0, "instance": 3, "question": …, "answer": "… #### 42",
     "original_id": 473, "original_question": …}          a row of apple/GSM-Symbolic

`id` is the template there; `original_id` the line of GSM8K's test set that it was made from. Of
these, template, question and answer are needed; other names by `data.columns`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from lib.config.errors import BadInput, listed
from lib.data.fields import identifier, shown, text, unread_columns
from lib.data.question_key import question_key
from lib.data.sources import Placed, guess_column, read_placed
from lib.tasks.math.problems import ALIASES, check_problem
from lib.tasks.symbolic import gym, synthetic
from lib.tasks.symbolic.schema import COLUMNS

TEXTS = ("question", "answer")
EXAMPLE = '{"template": 0, "question": …, "answer": "… #### 42"}'
TEMPLATE_ALIASES = ("template_id", "template_idx", "template_name", "task", "task_id")


class Instance(NamedTuple):
    """One instance; `id` is unique in its source, `key` is what equal questions share."""

    id: str
    template: str
    question: str
    answer: str  # worked, with its `####`
    key: str
    original_id: str | None  # of the problem that its template was made from
    original_key: str | None  # `key` of that problem


def read_instances(data: Any) -> tuple[list[Instance], dict[str, Any]]:
    """Every instance of `data.source`, in its order, and what there is to report of them.

    Raises BadInput that names file and row of what has no template, no question, or no answer with
    `#### number`, and for a template whose rows name different originals.
    """
    report: dict[str, Any] = {"source": data.source}
    if data.source == gym.SOURCE:
        made, said = gym.generate(data.instances, data.seed)
        report |= said
    elif data.source == synthetic.SOURCE:
        made = synthetic.generate(data.instances, data.seed)
    else:
        placed = read_placed(data.source, data.split, EXAMPLE, data.config)
        names = _columns(placed, data)
        report["columns"] = names
        read = {column for column in names.values() if column}
        # Beside a template's problem, its answer says nothing more.
        report["columns_not_read"] = unread_columns(
            placed, {*read, "original_answer"}, data.system, "data.system"
        )
        return _instances(placed, names), report
    placed = [(f"{data.source}: row {n}", row) for n, row in enumerate(made, 1)]
    return _instances(placed, {name: name for name in COLUMNS}), report


def column_of(
    ours: str, given: Mapping[str, str], found: Iterable[str], aliases: Sequence[str], where: str,
    key: str,
) -> str:  # fmt: skip
    """The source's column for one of ours. Raises BadInput that names the nearest where none is."""
    name, found = given.get(ours, ours), list(found)
    if name in found:
        return name
    close = guess_column(name, aliases, found)
    raise BadInput(
        f"{where}: no column {name!r}, found {listed(found, 20)}; "
        f"{f'did you mean {close!r}? ' if close else ''}Say {key}.{ours}={close or 'COLUMN'}"
    )


def distinct(instances: Sequence[Instance]) -> list[Instance]:
    """The first of those with one question."""
    first: dict[str, Instance] = {}
    for instance in instances:
        first.setdefault(instance.key, instance)
    return list(first.values())


def by_template(instances: Iterable[Instance]) -> dict[str, list[Instance]]:
    """Template → its instances, in order."""
    groups: dict[str, list[Instance]] = defaultdict(list)
    for instance in instances:
        groups[instance.template].append(instance)
    return dict(groups)


def _columns(placed: Placed, data: Any) -> dict[str, str | None]:
    """Our name → the source's column, None for one that may lack and does."""
    found = dict.fromkeys(name for _, row in placed for name in row)
    # Apple's rows call the template `id`, and number its instances; others may number their rows.
    apple = "id" in found and "instance" in found and "template" not in found
    given = ({"template": "id"} if apple else {}) | data.columns
    wanted = {"template": TEMPLATE_ALIASES} | {n: ALIASES[n] for n in ("question", "answer")}
    needed = {
        name: column_of(name, given, found, aliases, data.source, "data.columns")
        for name, aliases in wanted.items()
    }
    more = {name: given.get(name, name) for name in COLUMNS if name not in needed}
    for name, column in more.items():
        if name in data.columns:
            column_of(name, given, found, (), data.source, "data.columns")
        elif column not in found:
            more[name] = None
    return {**needed, **more}


def _instances(placed: Placed, names: Mapping[str, str | None]) -> list[Instance]:
    templates = [_template(where, row, names["template"]) for where, row in placed]
    numbers = [_identifier(where, row, names, "instance") for where, row in placed]
    named = list(zip(templates, numbers, strict=True))
    # Numbers that lack or repeat within a template tell no instances apart: places do.
    numbered = len(set(named)) == len(named) and all(number for _, number in named)
    counts: dict[str, int] = defaultdict(int)
    originals: dict[str, str] = {}
    instances = []
    for (where, row), template, (_, number) in zip(placed, templates, named, strict=True):
        question, answer = check_problem(where, *(row.get(names[n]) for n in TEXTS))
        original = _identifier(where, row, names, "original_id")
        if original and (before := originals.setdefault(template, original)) != original:
            raise BadInput(
                f"{where}: original_id: found {shown(original)!r}, expected {shown(before)!r}, as "
                f"other rows of template {shown(template)} have it"
            )
        first = text(row.get(names["original_question"]), where, "original_question") or ""
        own = f"{template}-{number if numbered else counts[template]}"
        counts[template] += 1
        instances.append(
            Instance(
                f"instance-{own}",
                template,
                question.strip(),
                answer.strip(),
                question_key(question),
                original,
                question_key(first) or None,
            )  # fmt: skip
        )
    return instances


def _identifier(
    where: str, row: Mapping[str, Any], names: Mapping[str, str | None], ours: str
) -> str | None:
    return identifier(row.get(names[ours]), where, ours)


def _template(where: str, row: Mapping[str, Any], column: str | None) -> str:
    template = identifier(row.get(column), where, "template")
    if template is None:
        raise BadInput(f"{where}: template: found {row.get(column)!r} in the column {column!r}, "
                       f"expected the number or name of the template that the row is an instance "
                       f"of")  # fmt: skip
    return template
