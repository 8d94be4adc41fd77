"""Problems to test on that are no instances, such as GSM8K's, and the template each belongs to.

A problem belongs to a template

    by name   its column `template`, or its id is an instance's `original_id`
    by words  its question is that of the template's original, or of an instance
    by text   its question tells an instance's story, whatever its names and numbers (see STORY)

The first two are certain. The third was measured on GSM8K's 1,319 test problems against eight
instances of each of GSM-Symbolic's 100 templates: the most similar instance is of the right
template for all 100 originals. A cosine of SAME finds 98 of them and 2 of the 1,219 others; one of
DOUBTFUL finds all 100 and 16 others. So where a source does not name its originals, problems
between the two are in no set. (Runs of five characters, names and numbers included, put 2 of the
originals below 0.3 and 286 of the others above.)
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any

from lib.config.errors import BadInput, listed, nearest
from lib.data.fields import identifier, unread_columns
from lib.data.records import DERIVED, Identifier, distinct_ids, find_columns, read_records
from lib.data.sources import read_placed
from lib.runs.files import read_json
from lib.tasks.math.duplicates import nearest_questions
from lib.tasks.math.problems import EXAMPLE, Problem
from lib.tasks.symbolic.instances import Instance, by_template

SAME = 0.5  # cosine from which a problem is of the template of the instance that it is most like
DOUBTFUL = 0.35  # cosine from which it may be
COMPARED = 8  # instances of each template that problems are compared with by text
# Set → how the keys of `data.test_ids` that name it begin.
LISTS = {"same_templates": ("same",), "new_templates": ("new", "non_overlapping")}
NUMBERS = re.compile(r"\d[\d.,/:]*")
NAMES = re.compile(r"(?<=[a-z,;] )[A-Z]\w+(?:'s)?")  # capitals within a sentence


def story(question: str) -> str:
    """A question without what instances of one template differ in: its numbers and names."""
    return f"_begin {NAMES.sub('N', NUMBERS.sub('0', question))} _end".lower()


# Runs of two and three words of it. The marks at its ends leave no question without such a run.
STORY = {"analyzer": "word", "ngram_range": (2, 3), "token_pattern": r"\w+", "preprocessor": story}


class Original(Problem):
    """A problem to test on; `template`: the one it certainly belongs to."""

    template: Identifier = None
    # The template of the instance that its text is most like, and their cosine.
    like: Annotated[str | None, DERIVED] = None
    similarity: Annotated[float, DERIVED] = 0.0


def read_originals(data: Any, instances: Sequence[Instance]) -> list[Original]:
    """Every problem of `data.test_source`, in its order, with its template.

    Without a column `id` that tells them apart, a problem's id is its place, from 0. Raises
    BadInput that names file and row of what is no problem, or has a template by its column and
    another by its id.
    """
    source, key = data.test_source, "data.test_columns"
    placed = read_placed(source, data.test_split, EXAMPLE, data.test_config)
    needed = ("question", "answer")
    names = find_columns(Original, placed, source, data.test_columns, needed, key)
    # What else GSM8K's rows may hold says the same once more.
    unread_columns(placed, names.values(), data.system, "data.system")
    originals = read_records(Original, placed, names)
    by_id = {i.original_id: i.template for i in reversed(instances) if i.original_id}
    by_words = {i.key: i.template for i in reversed(instances)}
    by_words |= {i.original_key: i.template for i in reversed(instances) if i.original_key}
    for one, own in zip(originals, distinct_ids(o.id for o in originals), strict=True):
        one.id = own
        if one.template and by_id.get(own, one.template) != one.template:
            raise BadInput(
                f"{one.where}: template: found {one.template!r}, but it is the original of "
                f"template {by_id[own]!r} in {data.source}, expected that"
            )
        one.template = one.template or by_id.get(own) or by_words.get(one.key)
    some = [one for group in by_template(instances).values() for one in group[:COMPARED]]
    unnamed = [original for original in originals if original.template is None]
    alike = nearest_questions(some, unnamed, STORY)
    for original, (place, similarity) in zip(unnamed, alike, strict=True):
        original.like, original.similarity = some[place].template, similarity
    return originals


def candidates(
    originals: Sequence[Original], templates: Sequence[str], named: bool
) -> dict[str, list[Original]]:
    """Which problems may be drawn for each set, given the templates that are trained on.

    named: whether the instances name their originals, so that no other problem is one.
    """
    trained = set(templates)
    same, new = [], []
    for original in originals:
        if original.template in trained:
            same.append(original)
        elif not named and is_alike(original, trained):
            same.append(original.model_copy(update={"template": original.like}))
        elif original.similarity < (SAME if named else DOUBTFUL):
            new.append(original)
    return {"same_templates": same, "new_templates": new}


def is_alike(original: Original, trained: Collection[str]) -> bool:
    """Whether a problem is of a trained template by its text, where nothing says so for certain."""
    return original.template is None and original.like in trained and original.similarity >= SAME


def listed_originals(
    data: Any, originals: Sequence[Original], trained: dict[str, list[Instance]], named: bool
) -> tuple[dict[str, list[Original]], list[str]]:
    """The problems that `data.test_ids` names for each set, in its order; ids left out.

    Where the instances name no originals, those of new_templates that are alike a trained template
    are left out, and those of same_templates are of the template that they are most like. Raises
    BadInput that names the file for ids that are not there or are there twice, for a problem of
    new_templates that belongs to a template that is trained on, and, where the instances name their
    originals, for one of same_templates that belongs to none.
    """
    path = data.test_ids
    lists = _read_lists(path)
    by_id = {original.id: original for original in originals}
    every = [own for ids in lists.values() for own in ids]
    if twice := [own for own, count in Counter(every).items() if count > 1]:
        raise BadInput(f"{path}: ids {listed(twice, 4)} are there twice, expected each once")
    chosen: dict[str, list[Original]] = defaultdict(list)
    alike = []
    for name, ids in lists.items():
        for own in ids:
            if own not in by_id:
                raise BadInput(f"{path}: {name}: no problem {own!r} in {data.test_source}, which "
                               f"has {len(by_id):,}{nearest(own, by_id)}")  # fmt: skip
            original = by_id[own]
            template = original.template
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
            if name == "new_templates" and not named and is_alike(original, trained):
                alike.append(own)
                continue
            if name == "same_templates" and template is None and original.like in trained:
                original = original.model_copy(update={"template": original.like})
            chosen[name].append(original)
    if not chosen["new_templates"]:
        raise BadInput(
            f"{path}: new_templates: all {len(lists['new_templates'])} problems tell the story of "
            f"a template that is trained on, expected others"
        )
    return dict(chosen), alike


def _read_lists(path: str) -> dict[str, list[str]]:
    """Set → ids as text. Raises BadInput where the file is no such lists."""
    if not Path(path).expanduser().is_file():
        raise BadInput(f"data.test_ids: {path}: no such file")
    content = read_json(Path(path).expanduser())
    wanted = '{"same_templates": [ids], "new_templates": [ids]}'
    if not isinstance(content, dict):
        raise BadInput(f"{path}: found {type(content).__name__}, expected {wanted}")
    lists = {}
    for name, heads in LISTS.items():
        keys = [key for key in content if key.startswith(heads)]
        if len(keys) != 1:
            raise BadInput(f"{path}: found {listed(content)}, expected one key that begins with "
                           f"{' or '.join(heads)}, as in {wanted}")  # fmt: skip
        ids = content[keys[0]]
        named = [identifier(own, path, keys[0]) for own in ids] if isinstance(ids, list) else []
        if not named or None in named:
            raise BadInput(f"{path}: {keys[0]}: expected a list of ids, as in {wanted}")
        lists[name] = named
    return lists
