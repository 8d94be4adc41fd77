"""GSM-Symbolic's templates as PyPI's `reasoning-gym` has them: `data.source: reasoning_gym`.

The package serves 85 of the 100 templates and keeps the others back as in need of fixing. Some of
the 85 round down on the way: "80 / 24 = 3 pans". A worked answer in which a sum, difference,
product or quotient of two plain numbers is off by a hundredth is drawn again; what has units
between its numbers is not checked.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

from lib.config.errors import BadInput

SOURCE = "reasoning_gym"  # as `data.source`, and the package's module
FILES = ("generators_00_49", "generators_50_99")  # in FOLDER
FOLDER = "arithmetic/gsm_symbolic"
# The package's `tasks_need_fix` (gsm_symbolic.py, version 0.1.25), and 60: it rounds 37.5 to 37.
KEPT_BACK = frozenset({32, 35, 37, 60, 61, 63, 65, 74, 76, 77, 79, 86, 87, 90, 97, 98})
TRIES = 20  # draws for each instance that is asked for

NUMBER = r"[$€£]?(\d++(?:,\d{3})*+(?:\.\d++)?+)"
# Two numbers and their result, not a part of a longer term: "2 + 3 * 4 = 14" is left alone.
EQUATION = re.compile(
    rf"(?<![\w.,%/*+÷(\-$€£])(?<![-+*/x=÷] ){NUMBER} ?([-+*/x]) ?{NUMBER} ?= ?{NUMBER}"
    r"(?! ?[-+*/x÷%\d])"
)
OPERATORS: dict[str, Callable[[Decimal, Decimal], Decimal]] = {
    "+": Decimal.__add__,
    "-": Decimal.__sub__,
    "*": Decimal.__mul__,
    "x": Decimal.__mul__,
    "/": Decimal.__truediv__,
}


def generate(instances: int, seed: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """(rows {"template", "instance", "question", "answer"}, report), in the order of templates.

    A row depends on the seed, its template and its instance alone. No question is drawn twice; a
    template that has fewer than `instances` questions of right arithmetic gives those. report:
    draws thrown away for repeated questions and for wrong arithmetic, and templates left out.
    Raises BadInput where the package is not installed.
    """
    rows, repeated, wrong, without = [], 0, 0, []
    generators = _generators()
    for template, generator in generators.items():
        known: set[str] = set()
        for draw in range(TRIES * instances):
            if len(known) == instances:
                break
            drawn = _draw(generator, Random(f"{seed}/{template}/{draw}"))
            if drawn is None or not holds(drawn["answer"]):
                wrong += 1
            elif drawn["question"] in known:
                repeated += 1
            else:
                rows.append({"template": template, "instance": len(known), **drawn})
                known.add(drawn["question"])
        if not known:
            without.append(template)
    report = {"redrawn_repeated": repeated, "redrawn_wrong": wrong, "templates_left_out": without}
    return rows, report


def holds(worked: str) -> bool:
    """Whether every equation of two plain numbers in a worked answer is right to a hundredth."""
    for one, operator, other, result in EQUATION.findall(worked):
        values = [Decimal(text.replace(",", "")) for text in (one, other, result)]
        try:
            value = OPERATORS[operator](values[0], values[1])
        except (ZeroDivisionError, InvalidOperation):
            return False
        if abs(value - values[2]) > Decimal("0.0051"):
            return False
    return True


def _draw(generator: Callable[..., dict], draw: Random) -> dict[str, str] | None:
    """Question and worked answer of one draw; None where the generator finds no numbers."""
    try:
        drawn = generator(draw, 1.0)  # the only difficulty that the package supports
    except ValueError:
        return None
    worked = drawn.get("answer_cot") or drawn["metadata"]["answer_cot"]
    lines = [line.strip() for line in worked.strip().splitlines()]
    return {"question": drawn["question"].strip(), "answer": "\n".join(lines)}


def _generators() -> dict[int, Callable[..., dict]]:
    """Template → its function, in order."""
    with _bare_package() as folder:
        modules = [_module(folder / f"{name}.py") for name in FILES]
    functions = {
        int(name.removeprefix("generate_")): function
        for module in modules
        for name, function in vars(module).items()
        if name.startswith("generate_")
    }
    return {template: functions[template] for template in sorted(functions.keys() - KEPT_BACK)}


def _module(path: Path) -> ModuleType:
    spec = spec_from_file_location(f"{SOURCE}_{path.stem}", path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def _bare_package() -> Iterator[Path]:
    """The folder of the generators, whose imports work while the context lasts.

    The package's own __init__ would import all its tasks, and with them nine further packages, one
    of which needs a compiler: it is not run.
    """
    spec = find_spec(SOURCE)
    if spec is None or not spec.submodule_search_locations:
        raise BadInput(f"data.source: {SOURCE}: the package reasoning-gym is not installed; run "
                       f"`make setup`, or name a file or hub id")  # fmt: skip
    before = {n: m for n, m in sys.modules.items() if n.partition(".")[0] == SOURCE}
    if not before:
        sys.modules[SOURCE] = module_from_spec(spec)
    try:
        yield Path(spec.submodule_search_locations[0]) / FOLDER
    finally:
        for name in [n for n in sys.modules if n.partition(".")[0] == SOURCE and n not in before]:
            del sys.modules[name]
