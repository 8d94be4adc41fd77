"""Instances of templates, of a file or of the hub or as they are generated.

    {"id": 0, "instance": 3, "question": …, "answer": "… #### 42",
     "original_id": 473, "original_question": …}          a row of apple/GSM-Symbolic

`id` is the template there; `original_id` the line of GSM8K's test set that it was made from. Of
these, template, question and answer are needed; other names by `data.columns`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cached_property
from typing import Annotated, Any

from lib.config.errors import BadInput
from lib.config.tasks import Row
from lib.data.fields import shown, unread_columns
from lib.data.question_key import question_key
from lib.data.records import (
    DERIVED,
    Column,
    Identifier,
    Name,
    Text,
    columns_of,
    find_columns,
    read_records,
)
from lib.data.sources import SYNTHETIC, origin, read_placed
from lib.tasks.math.problems import Problem
from lib.tasks.symbolic import gym, synthetic
from lib.tasks.symbolic.schema import COLUMNS

EXAMPLE = '{"template": 0, "question": …, "answer": "… #### 42"}'
TEMPLATES = ("template_id", "template_idx", "template_name", "task", "task_id")


class Instance(Problem):
    """One instance; `original_…`: the problem that its template was made from."""

    id: Annotated[str, DERIVED] = ""
    template: Annotated[Name, Column(hints=TEMPLATES)] = None
    instance: Identifier = None
    original_id: Identifier = None
    original_question: Text = None

    @cached_property
    def original_key(self) -> str | None:
        """What questions share that are equal to the original's."""
        return question_key(self.original_question or "") or None


def read_instances(data: Any) -> tuple[list[Instance], Row]:
    """Every instance of `data.source`, in its order, and what there is to report of them.

    Raises BadInput that names file and row of what has no template, no question, or no answer with
    `#### number`, and for a template whose rows name different originals.
    """
    if data.source in (SYNTHETIC, gym.SOURCE):
        generate = synthetic.generate if data.source == SYNTHETIC else gym.generate
        made, report = generate(data.instances, data.seed)
        report["source"] = data.source
        placed = [(f"{data.source}: row {n}", row) for n, row in enumerate(made, 1)]
        names = {name: name for name in COLUMNS}
    else:
        placed = read_placed(data.source, data.split, EXAMPLE, data.config)
        found = columns_of(placed)
        # Apple's rows call the template `id`, and number its instances; others may number their
        # rows.
        apple = {"id", "instance"} <= set(found) and "template" not in found
        given = ({"template": "id"} if apple else {}) | data.columns
        needed = ("template", "question", "answer")
        names = find_columns(Instance, placed, data.source, given, needed)
        report = origin(data.source, data.split) | {
            "columns": {name: names.get(name) for name in COLUMNS},
            # Beside a template's problem, its answer says nothing more.
            "columns_not_read": unread_columns(
                placed, {*names.values(), "original_answer"}, data.system, "data.system"
            ),
        }
    instances = read_records(Instance, placed, names)
    numbers = [(one.template, one.instance) for one in instances]
    # Numbers that lack or repeat within a template tell no instances apart: places do.
    numbered = len(set(numbers)) == len(numbers) and all(number for _, number in numbers)
    counts: Counter[str] = Counter()
    originals: dict[str, str] = {}
    for one in instances:
        own = one.original_id
        if own and (before := originals.setdefault(one.template, own)) != own:
            raise BadInput(
                f"{one.where}: original_id: found {shown(own)!r}, expected {shown(before)!r}, as "
                f"other rows of template {shown(one.template)} have it"
            )
        one.id = f"instance-{one.template}-{one.instance if numbered else counts[one.template]}"
        counts[one.template] += 1
    return instances, report


def by_template(instances: Iterable[Instance]) -> dict[str, list[Instance]]:
    """Template → its instances, in order."""
    groups: dict[str, list[Instance]] = defaultdict(list)
    for instance in instances:
        groups[instance.template].append(instance)
    return dict(groups)
