"""Templated problems: training, validation and test rows, and the prompt.

Row of a split:

    {"id": str, "template": str | None, "prompt": {"question": str},
     "target": str,        the worked answer, `#### number` at its end
     "final": str,         that number as it is written
     "steps": int,         of the worked answer
     "set": str}           in `test` alone: one of SETS

    in_distribution  instances that are not trained on, of templates that are
    same_templates   the problems that these templates were made from
    new_templates    problems, or instances, of templates that nothing is trained on; `template` is
                     null where it is not known, and those of one template share it

Validation rows are instances of the training templates too: what a template held out for them
would say of transfer, training would lose. A draw goes by a hash of seed and row, so that it
depends on no order of a file, and goes round the templates: a smaller set is part of a larger one,
and has as many instances of each template as the next, or one less.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from lib.config.errors import BadInput, listed
from lib.config.grid import digest
from lib.config.tasks import Message, Row, Splits
from lib.data.conversations import dialogue
from lib.data.sources import origin
from lib.data.splits import (
    DEBUG_ROWS,
    least,
    leave_out,
    shared_sections,
    shuffled,
    stratified_sample,
    unique,
)
from lib.tasks.math.duplicates import near_duplicates
from lib.tasks.math.problems import Problem
from lib.tasks.symbolic.instances import Instance, by_template, read_instances
from lib.tasks.symbolic.originals import Original, candidates, listed_originals, read_originals
from lib.tasks.symbolic.schema import SETS

KEY = attrgetter("key")  # what equal questions share
SWEPT = ("train_rows", "system", "instruction")  # keys that points of a study may differ in
Groups = dict[str, list[Instance]]  # by template


def build(data: Any, wanted: Sequence[Any], evaluate: Any, debug: bool) -> Splits:
    """`test`, `validation` unless data.validation_rows is 0, and each training set of `wanted`.

    `debug`: at most 100 rows of each. Raises BadInput that names file and row of what cannot be
    used, for too few rows, and for a key of `data` that points may not differ in. `evaluate`
    changes nothing.
    """
    wanted = shared_sections(data, wanted, SWEPT)
    data, limit = wanted[0], DEBUG_ROWS if debug else None
    if data.test_ids is not None and data.test_source is None:
        raise BadInput("data.test_source: found null, expected the problems that data.test_ids "
                       "names")  # fmt: skip
    read, report = read_instances(data)
    known = unique(read, KEY)
    report |= {"read": len(read), "dropped_repeated": len(read) - len(known)}
    trained, held = _hold_out(by_template(known), data)
    originals: list[Original] = []
    if data.test_source is not None:
        originals = read_originals(data, known)
        tested = {"dropped_as_in_test": set(map(KEY, originals))}
        instances = [instance for group in trained.values() for instance in group]
        kept, counts = leave_out(instances, KEY, tested)
        report |= counts
        trained = by_template(kept)
    rest = _rounds(trained, data.seed)
    inside = _in_distribution(trained, rest, data)
    taken = {instance.id for instance in inside}
    rest = [instance for instance in rest if instance.id not in taken]
    validation, rest = rest[: data.validation_rows], rest[data.validation_rows :]
    _check_enough(wanted, trained, rest)

    tests = {"in_distribution": inside, **_outside(data, originals, trained, held, report)}
    rows = [_row(p, data) | {"set": name} for name in SETS for p in tests.get(name, [])]
    splits = {
        "test": stratified_sample(
            rows,
            least(data.test_rows, limit),
            lambda row: (row["set"], row["template"]),
            lambda row: row["prompt"]["question"],
            data.seed,
        )
    }
    if validation:
        splits["validation"] = [_row(p, data) for p in validation[:limit]]
    for one in wanted:
        splits[train_split(one)] = [_row(p, data) for p in rest[: one.train_rows][:limit]]
    # A smaller training set is part of a larger one.
    most = max(len(splits[train_split(one)]) for one in wanted)
    sets = Counter(row["set"] for row in splits["test"])
    tested = {row["id"] for row in splits["test"]}
    new = [p for p in tests["new_templates"] if _id(p) in tested]
    report |= {
        "templates": {"trained": len(trained), "held_out": sorted(held)},
        "near_duplicates": near_duplicates(rest[:most], new, data.near_duplicates),
        "splits": {
            name: {"rows": len(rows), "templates": len({row["template"] for row in rows} - {None})}
            for name, rows in splits.items()
        },
        "sets": {name: sets[name] for name in SETS},
        "test_sets": {
            name: {"rows": len(rows), "asked": data.set_rows, "key": "data.set_rows"}
            for name, rows in tests.items()
            if data.test_ids is None or name == "in_distribution"
        },
        "seed": data.seed,
        "debug": debug,
    }
    if absent := [name for name in SETS if not sets[name]]:
        why = ": data.test_source names no problems" if data.test_source is None else ""
        report["missing"] = f"no rows in the test set {listed(absent)}{why}"
    return Splits(splits, report)


def train_split(data: Any) -> str:
    """`train`, and `train_600` with data.train_rows."""
    return "train" if data.train_rows is None else f"train_{data.train_rows}"


def messages(row: Row, data: Any, body: int | None = None) -> list[Message]:
    """data.instruction and the question; nothing is left out, whatever `body` is."""
    parts = filter(None, (data.instruction, row["prompt"]["question"]))
    return dialogue(["\n\n".join(parts)], data.system)


def _hold_out(groups: Groups, data: Any) -> tuple[Groups, Groups]:
    """(templates to train on, templates held out), each with its instances."""
    count = data.held_out_templates
    if data.test_source is None and not count:
        raise BadInput("data.held_out_templates: found 0, expected 1 or more, or data.test_source; "
                       "else no problem is of a template that is not trained on")  # fmt: skip
    if count >= len(groups):
        raise BadInput(f"data.held_out_templates: found {count}, expected fewer than the "
                       f"{len(groups)} templates of {data.source}")  # fmt: skip
    held = set(shuffled(groups, lambda template: [data.seed, "held out", template])[:count])
    trained = {template: group for template, group in groups.items() if template not in held}
    return trained, {template: group for template, group in groups.items() if template in held}


def _rounds(groups: Groups, seed: int) -> list[Instance]:
    """All instances: one of each template, then a second of each, …; drawn within both."""
    placed = []
    for template, group in groups.items():
        drawn = shuffled(group, lambda instance: [seed, instance.id, instance.key])
        turn = digest([seed, "turn", template])
        placed += [(rank, turn, instance) for rank, instance in enumerate(drawn)]
    return [instance for *_, instance in sorted(placed, key=lambda one: one[:2])]


def _in_distribution(groups: Groups, order: Sequence[Instance], data: Any) -> list[Instance]:
    """The first data.set_rows in the order; each template keeps an instance to train on."""
    left = Counter({template: len(group) - 1 for template, group in groups.items()})
    chosen = []
    for instance in order:
        if len(chosen) < data.set_rows and left[instance.template] > 0:
            left[instance.template] -= 1
            chosen.append(instance)
    return chosen


def _check_enough(wanted: Sequence[Any], trained: Groups, rest: Sequence[Instance]) -> None:
    """Raise BadInput where a training set cannot have its rows, or no row of some template."""
    for one in wanted:
        if not trained or len(rest) < (one.train_rows or len(trained)):
            raise BadInput(
                f"data.train_rows: found {one.train_rows}, but {len(rest):,} instances are left "
                f"after {one.set_rows} test and {one.validation_rows} validation rows; expected "
                f"at most so many, or more instances"
            )
        if one.train_rows is not None and one.train_rows < len(trained):
            raise BadInput(
                f"data.train_rows: found {one.train_rows}, expected at least {len(trained)}, one "
                f"of each template that is trained on; or hold more of them out "
                f"(data.held_out_templates)"
            )
        missing = trained.keys() - {instance.template for instance in rest[: one.train_rows]}
        if missing:  # where templates have few instances, or some many more than others
            template = min(missing)
            raise BadInput(
                f"{one.source}: template {template}: found {len(trained[template])} instances, of "
                f"which test and validation rows leave none to train on; expected more"
            )


def _outside(
    data: Any,
    originals: Sequence[Original],
    trained: Groups,
    held: Groups,
    report: Row,
) -> dict[str, Sequence[Problem]]:
    """The rows of the sets that are not in distribution; the report gets how they were found."""
    if data.test_source is None:
        return {"new_templates": _rounds(held, data.seed)[: data.set_rows]}
    named = all(any(i.original_id or i.original_key for i in g) for g in trained.values())
    possible = candidates(originals, list(trained), named)
    report["test_source"] = {
        **origin(data.test_source, data.test_split),
        "read": len(originals),
        "with_template": sum(original.template is not None for original in originals),
        "originals_named": named,
        "possible": {name: len(rows) for name, rows in possible.items()},
    }
    if data.test_ids is not None:
        chosen, alike = listed_originals(data, originals, trained, named)
        report["test_source"] |= {"dropped_alike": len(alike), "alike": alike}
        return chosen
    if not possible["new_templates"]:
        raise BadInput(f"{data.test_source}: no problem that belongs to none of the "
                       f"{len(trained)} templates that are trained on, expected some")  # fmt: skip
    return {
        name: shuffled(rows, lambda row, name=name: [data.seed, name, row.key, row.id])[
            : data.set_rows
        ]
        for name, rows in possible.items()
    }


def _id(problem: Problem) -> str:
    return f"problem-{problem.id}" if isinstance(problem, Original) else problem.id


def _row(problem: Problem, data: Any) -> Row:
    return {"id": _id(problem), "template": problem.template, **problem.row(data)}
