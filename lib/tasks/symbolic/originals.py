"""Problems to test on that are no instances, such as GSM8K's, and the template each belongs to.

A problem belongs to a template

    by name   its column `template`, or its id is an instance's `original_id`
    by words  its question is that of the template's original, or of an instance
    by text   its question is nearly an instance's (cosine of TF-IDF, see lib.tasks.math.duplicates)

The first two are certain. Of GSM8K's 1,319 test problems, compared with eight instances of each of
the 100 templates that reasoning-gym has, a cosine of 0.7 finds 72 of the 100 originals and 1 other,
and 0.3 finds all and 313 others. So where a source does not name its originals, problems between
the two are in no set.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lib.errors import BadInput, listed, nearest
from lib.runs import read_json
from lib.sources import read_placed
from lib.tasks.math.duplicates import nearest_questions
from lib.tasks.math.problems import ALIASES, check_problem, normalised
from lib.tasks.symbolic.instances import Instance, by_template, column_of, identifier

EXAMPLE = '{"question": …, "answer": "… #### 42"}'
DOUBTFUL = 0.3  # cosine from which a problem may be one that a template was made from
COMPARED = 8  # instances of each template that problems are compared with by text
# Set → how the keys of `data.test_ids` that name it begin.
LISTS = {"same_templates": ("same",), "new_templates": ("new", "non_overlapping")}


class Original(NamedTuple):
    """A problem; `template`: the one it certainly belongs to; `id` as its source has it."""

    id: str
    template: str | None
    question: str
    answer: str
    key: str
    like: str | None = None  # the template of the instance that its text is most like
    similarity: float = 0.0


def read_originals(data: Any, instances: Sequence[Instance]) -> list[Original]:
    """Every problem of `data.test_source`, in its order, with its template.

    Without a column `id` that tells them apart, a problem's id is its place, from 0. Raises
    BadInput that names file and row of what is no problem, or has a template by its column and
    another by its id.
    """
    source, given = data.test_source, data.test_columns
    placed = read_placed(source, data.test_split, EXAMPLE, data.test_config)
    found = dict.fromkeys(name for _, row in placed for name in row)
    question, answer = (
        column_of(name, given, found, ALIASES[name], source, "data.test_columns")
        for name in ("question", "answer")
    )
    for name in given:
        column_of(name, given, found, (), source, "data.test_columns")
    ids = [identifier(row.get(given.get("id", "id"))) for _, row in placed]
    if None in ids or len(set(ids)) < len(ids):
        ids = list(map(str, range(len(placed))))
    by_id = {i.original_id: i.template for i in reversed(instances) if i.original_id}
    by_words = {i.key: i.template for i in reversed(instances)}
    by_words |= {i.original_key: i.template for i in reversed(instances) if i.original_key}
    originals = []
    for own, (where, row) in zip(ids, placed, strict=True):
        check_problem(where, row.get(question), row.get(answer))
        column = identifier(row.get(given.get("template", "template")))
        if column and own in by_id and by_id[own] != column:
            raise BadInput(
                f"{where}: template: found {column!r}, but it is the original of template "
                f"{by_id[own]!r} in {data.source}, expected that"
            )
        key = normalised(row[question])
        template = column or by_id.get(own) or by_words.get(key)
        texts = row[question].strip(), row[answer].strip()
        originals.append(Original(own, template, *texts, key))
    return _compared(originals, instances)


def _compared(originals: list[Original], instances: Sequence[Instance]) -> list[Original]:
    """The same with the most similar instance of those without a template."""
    some = [one for group in by_template(instances).values() for one in group[:COMPARED]]
    unnamed = [original for original in originals if original.template is None]
    alike = {
        original.id: (some[place].template, similarity)
        for original, (place, similarity) in zip(
            unnamed, nearest_questions(some, unnamed), strict=True
        )
    }
    return [
        original._replace(like=alike[original.id][0], similarity=alike[original.id][1])
        if original.id in alike
        else original
        for original in originals
    ]


def candidates(
    originals: Sequence[Original], templates: Sequence[str], named: bool, threshold: float
) -> dict[str, list[Original]]:
    """Which problems may be drawn for each set, given the templates that are trained on.

    named: whether the instances name their originals, so that no other problem is one.
    """
    trained = set(templates)
    same, new = [], []
    for original in originals:
        found = original.similarity >= threshold
        if original.template in trained:
            same.append(original)
        elif original.template is None and found and not named and original.like in trained:
            same.append(original._replace(template=original.like))
        elif original.similarity < (threshold if named else DOUBTFUL):
            new.append(original)
    return {"same_templates": same, "new_templates": new}


def listed_originals(
    data: Any, originals: Sequence[Original], trained: dict[str, list[Instance]], named: bool
) -> dict[str, list[Original]]:
    """The problems that `data.test_ids` names for each set, in its order.

    Raises BadInput that names the file for ids that are not there or are there twice, for a
    problem of `new_templates` that belongs to a template that is trained on, and, where the
    instances name their originals, for one of `same_templates` that belongs to none.
    """
    path = data.test_ids
    lists = _read_lists(path)
    by_id = {original.id: original for original in originals}
    every = [own for ids in lists.values() for own in ids]
    if twice := [own for own, count in Counter(every).items() if count > 1]:
        raise BadInput(f"{path}: ids {listed(twice, 4)} are there twice, expected each once")
    chosen: dict[str, list[Original]] = defaultdict(list)
    for name, ids in lists.items():
        for own in ids:
            if own not in by_id:
                raise BadInput(f"{path}: {name}: no problem {own!r} in {data.test_source}, which "
                               f"has {len(by_id):,}{nearest(own, by_id)}")  # fmt: skip
            template = by_id[own].template
            if name == "new_templates" and template in trained:
                rows = [instance.id for instance in trained[template]]
                raise BadInput(
                    f"{path}: {name}: problem {own} of {data.test_source} belongs to template "
                    f"{template}, of which {len(rows)} rows are trained on ({listed(rows, 3)}); "
                    f"expected problems of templates that are not"
                )
            if name == "same_templates" and template not in trained and (named or template):
                raise BadInput(
                    f"{path}: {name}: problem {own} of {data.test_source} belongs to "
                    f"{f'template {template}' if template else 'no template'}, expected the "
                    f"original of a template that is trained on"
                )
            chosen[name].append(by_id[own])
    return dict(chosen)


def _read_lists(path: str) -> dict[str, list[str]]:
    """Set → ids as text. Raises BadInput where the file is no such lists."""
    if not Path(path).expanduser().is_file():
        raise BadInput(f"data.test_ids: {path}: no such file")
    found = read_json(Path(path).expanduser())
    wanted = '{"same_templates": [ids], "new_templates": [ids]}'
    if not isinstance(found, dict):
        raise BadInput(f"{path}: found {type(found).__name__}, expected {wanted}")
    lists = {}
    for name, heads in LISTS.items():
        keys = [key for key in found if key.startswith(heads)]
        if len(keys) != 1:
            raise BadInput(f"{path}: found {listed(found)}, expected one key that begins with "
                           f"{' or '.join(heads)}, as in {wanted}")  # fmt: skip
        ids = found[keys[0]]
        if not isinstance(ids, list) or not ids or None in map(identifier, ids):
            raise BadInput(f"{path}: {keys[0]}: expected a list of ids, as in {wanted}")
        lists[name] = [identifier(own) for own in ids]
    return lists
