"""No circle of imports among the modules of lib, and none that points up.

Imports inside functions and under `if TYPE_CHECKING` count: they hide a circle and do not break it.
So do the names that a task resolves late (`"lib.tasks.decision.evaluate:evaluate"`). A name that is
put together at run time does not, such as the modules that `lib.config.tasks.get` imports.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Rooms of lib from the top down: a module imports from its own row and those below.
ROOMS = (
    ("tasks", "search", "analysis", "plotting", "planning"),
    ("training", "inference", "judging", "tracking"),
    ("models", "data"),
    ("slurm", "runs"),
    ("config",),
    ("losses", "logps"),
)
ROW = {room: number for number, rooms in enumerate(ROOMS) for room in rooms}
LATE = re.compile(r"lib(\.\w+)+:\w+")


def imported(tree: ast.AST) -> Iterator[tuple[str, str, int]]:
    """(dotted name, its parent, line) of all that a module imports: `from a import b` is a.b, a."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "", node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield f"{node.module}.{alias.name}", str(node.module), node.lineno
        elif isinstance(node, ast.Constant) and LATE.fullmatch(str(node.value)):
            yield node.value.partition(":")[0], "", node.lineno
        yield from imported(node)


def graph(root: Path) -> dict[str, dict[str, int]]:
    """Module of `root`/lib → the modules of lib that it imports, each with the line."""
    files = {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted((root / "lib").rglob("*.py"))
    }
    edges: dict[str, dict[str, int]] = {name: {} for name in files}
    for name, path in files.items():
        for member, parent, line in imported(ast.parse(path.read_text(encoding="utf-8"))):
            place = member if member in files else parent
            if place in files and place != name:
                edges[name].setdefault(place, line)
    return edges


def circle(edges: dict[str, dict[str, int]]) -> list[str]:
    """A chain of modules that comes back to its first, empty where there is none."""
    free: set[str] = set()

    def walk(chain: list[str]) -> list[str]:
        for place in edges[chain[-1]]:
            if place in chain:
                return [*chain[chain.index(place) :], place]
            if place not in free and (found := walk([*chain, place])):
                return found
        free.add(chain[-1])
        return []

    return next((found for name in edges if name not in free and (found := walk([name]))), [])


def described(edges: dict[str, dict[str, int]], chain: list[str]) -> str:
    return "\n".join(f"{one}:{edges[one][other]} imports {other}"
                     for one, other in zip(chain, chain[1:], strict=False))  # fmt: skip


def test_no_circle_of_imports() -> None:
    edges = graph(ROOT)
    found = circle(edges)
    assert not found, described(edges, found)


def test_a_circle_is_found_and_its_lines_are_named(tmp_path: Path) -> None:
    lib = tmp_path / "lib"
    (lib / "tasks").mkdir(parents=True)
    (lib / "__init__.py").touch()
    (lib / "tasks" / "__init__.py").write_text("")
    (lib / "a.py").write_text("import os\n\nfrom lib.tasks import b\n")
    (lib / "tasks" / "b.py").write_text("def late():\n    from lib.c import name\n")
    (lib / "c.py").write_text("import json\n")
    assert circle(graph(tmp_path)) == []
    for text in ('import json\n\nNAME = "lib.a:run"\n', "if TYPE_CHECKING:\n\n    import lib.a\n"):
        (lib / "c.py").write_text(text)
        edges = graph(tmp_path)
        assert described(edges, circle(edges)) == (
            "lib.a:3 imports lib.tasks.b\nlib.tasks.b:2 imports lib.c\nlib.c:3 imports lib.a"
        )


def test_imports_point_down() -> None:
    edges = graph(ROOT)
    rooms = {name.split(".")[1] for name in edges if "." in name}
    assert rooms == set(ROW)
    upward = [
        f"{module}:{line} imports {other}"
        for module, imports in edges.items()
        for other, line in imports.items()
        if "." in module and "." in other
        if ROW[other.split(".")[1]] < ROW[module.split(".")[1]]
    ]
    assert not upward, "\n".join(upward)
