import itertools
import json
import os
import subprocess
import sys
from math import prod
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.config.errors import BadInput
from lib.config.grid import Grid, digest, format_indices, parse_grid, parse_indices
from lib.config.load import load_study
from stages.grid import main
from tests.conftest import REPOSITORY, SHIPPED

WEIGHTED_LOSS = REPOSITORY / "configs" / "weighted_loss.yaml"

# (ratio, variant, gamma), in the order of the original study: 0 baseline, 1–6 at 1:2, 7–10 at 1:3,
# 11–14 at 1:4, 15–18 at 1:8.
NINETEEN = [
    ("1:2", "baseline", 1),
    ("1:2", "accept", 2),
    ("1:2", "accept", 4),
    ("1:2", "accept", 8),
    ("1:2", "reject", 2),
    ("1:2", "reject", 4),
    ("1:2", "reject", 8),
    ("1:3", "accept", 2),
    ("1:3", "accept", 4),
    ("1:3", "reject", 2),
    ("1:3", "reject", 4),
    ("1:4", "accept", 2),
    ("1:4", "accept", 4),
    ("1:4", "reject", 2),
    ("1:4", "reject", 4),
    ("1:8", "accept", 2),
    ("1:8", "accept", 4),
    ("1:8", "reject", 2),
    ("1:8", "reject", 4),
]


def test_the_nineteen_points() -> None:
    study = load_study(WEIGHTED_LOSS)
    points = list(study.points())
    assert [(p.values["ratio"], p.values["variant"], p.values["gamma"]) for p in points] == NINETEEN
    weighted = {"baseline": None, "accept": "accept", "reject": "reject"}
    assert [
        (p.config.data.ratio, p.config.train.weighted_class, p.config.train.gamma) for p in points
    ] == [(ratio, weighted[variant], gamma) for ratio, variant, gamma in NINETEEN]
    assert points[1].name == "accept_gamma2_ratio1-2_seed42"
    assert points[1].directory == Path("results/weighted_loss/accept_gamma2_ratio1-2_seed42")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_an_index_and_a_name_give_the_point(path: Path) -> None:
    study = load_study(path)
    points = study.points()
    assert len({point.name for point in points}) == len(points) == len(study.grid)
    for index, point in enumerate(points):
        assert point is study.point(index) is study.point_by_name(point.name)
        assert point.values == study.grid.values(index)
        assert point.config == study.resolve(point.values)


# -- mixed radix -----------------------------------------------------------------------------------

AXES = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True)


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """Up to three blocks; values are unique over all of them, as a grid's points are."""
    fresh = itertools.count()
    return Grid(
        tuple(
            {axis: tuple(itertools.islice(fresh, draw(st.integers(1, 4)))) for axis in draw(AXES)}
            for _ in range(draw(st.integers(1, 3)))
        )
    )


def by_force(grid: Grid) -> list[dict]:
    """Every point of the grid, from itertools.product."""
    return [
        dict(zip(block, values, strict=True))
        for block in grid.blocks
        for values in itertools.product(*block.values())
    ]


@given(grids())
def test_decoding_is_the_product_of_each_block(grid: Grid) -> None:
    expected = by_force(grid)
    assert list(grid) == expected
    assert len(grid) == len(expected) == sum(prod(map(len, b.values())) for b in grid.blocks)
    assert [list(values) for values in grid] == [list(values) for values in expected]  # axis order


def test_the_last_axis_is_fastest() -> None:
    grid = parse_grid([{"a": [1, 2], "b": [3, 4, 5]}], ["a", "b"])
    assert [tuple(values.values()) for values in grid] == [
        (1, 3), (1, 4), (1, 5), (2, 3), (2, 4), (2, 5),
    ]  # fmt: skip


@pytest.mark.parametrize("index", [-1, 6, 10**9])
def test_an_index_outside_is_refused_with_the_valid_range(index: int) -> None:
    grid = parse_grid([{"a": [1, 2], "b": [3, 4, 5]}], ["a", "b"])
    with pytest.raises(BadInput, match=rf"index {index} is outside the grid; valid are 0 to 5"):
        grid.values(index)


def test_decoding_looks_up_one_value_an_axis() -> None:
    class Options(tuple):
        def __iter__(self):
            raise AssertionError("walked")

    grid = Grid(({axis: Options(range(10)) for axis in "abc"},))
    assert list(grid.values(256).values()) == [2, 5, 6]


# -- parsing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([{"gama": 1}], "block 1: unknown axis 'gama'; expected one of gamma, seed; did you mean"),
        ([{"gamma": 1}, {"gamma": []}], "block 2: axis gamma has an empty list"),
        ([{"gamma": [[1, 2]]}], r"axis gamma: found \[1, 2\], expected plain values"),
        ([{"gamma": [1, 1.0]}], "duplicate point: axis gamma has a value twice"),
        ([{"gamma": [1, float("inf")]}], "axis gamma: found inf, expected a finite number"),
        ([{"gamma": list(range(317)), "seed": list(range(317))}],
         "found 100,489 points, expected at most 100,000"),
        ([5], "block 1: found 5, expected axis: value pairs"),
    ],
)  # fmt: skip
def test_a_wrong_block_is_named(blocks: list, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        parse_grid(blocks, ["gamma", "seed"])


@pytest.mark.parametrize("values", [[1, "1"], [True, 1], ["a", "A"], ["Solve:", "Solve!"], [""]])
def test_values_that_only_read_alike_are_no_duplicates(values: list) -> None:
    assert parse_grid([{"gamma": values}], ["gamma"]).blocks[0]["gamma"] == tuple(values)


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", ["gamma", "seed"])
def test_adding_a_value_renames_no_point(write_study, axis: str) -> None:
    base = [
        {"variant": "baseline", "seed": [1, 2]},
        {"variant": ["accept", "reject"], "gamma": [2, 4], "seed": [1, 2]},
    ]
    more = [{**block, axis: [9, *block[axis]]} if axis in block else block for block in base]
    axes = {"gamma": "train.gamma", "seed": "train.seed"}
    shared = {"axes": axes, "evaluate.baseline": {"variant": "baseline", "seed": 1}}
    before = load_study(write_study(shared | {"grid": base}, name="one"), ["name=x"])
    after = load_study(write_study(shared | {"grid": more}, name="two"), ["name=x"])
    old, new = ({p.name: p for p in study.points()} for study in (before, after))
    assert len(new) > len(old)
    for name, point in old.items():
        assert new[name].values == point.values
        assert new[name].directory == point.directory
    assert before.grid_hash != after.grid_hash


# -- indices ---------------------------------------------------------------------------------------


@given(st.sets(st.integers(0, 60), min_size=1))
def test_indices_survive_the_round_trip(indices: set[int]) -> None:
    assert parse_indices(format_indices(list(indices)), 61) == sorted(indices)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", [0]), ("0-2", [0, 1, 2]), ("3,0,5-7,6", [0, 3, 5, 6, 7]), (" 1 - 2 , 4 ", [1, 2, 4])],
)
def test_parse_indices(text: str, expected: list[int]) -> None:
    assert parse_indices(text, 8) == expected


@pytest.mark.parametrize("text", ["-1", "x", "", "1,", "1.5", "1-", "0x1", "1 2", "1" * 5000])
def test_what_is_no_index_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="expected a number or a range; valid are 0 to 7"):
        parse_indices(text, 8)


@pytest.mark.parametrize("text", ["8", "0-8", "5-3", "0,99999999999"])
def test_an_index_outside_a_range_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="is outside the grid; valid are 0 to 7"):
        parse_indices(text, 8)


def test_format_indices() -> None:
    assert format_indices([5, 0, 1, 2]) == "0-2,5"
    assert format_indices([]) == ""


# -- digest ----------------------------------------------------------------------------------------


def test_a_digest_depends_on_content_and_not_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert len({digest(x) for x in ({"a": 1}, {"a": 2}, {"a": "1"}, {"b": 1}, [], None)}) == 6


# -- command line ----------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [[], ["--count"], ["--index", "3"], ["--hash"]])
def test_the_command_imports_nothing_heavy(run_process, words: list[str]) -> None:
    done = run_process("stages.grid", WEIGHTED_LOSS, *words, PYTHONPROFILEIMPORTTIME="1")
    assert done.code == 0
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.err.splitlines()}
    assert "yaml" in imported  # the list is there
    assert not imported & {"torch", "transformers", "vllm", "datasets", "pandas", "numpy", "scipy"}


def test_the_command_prints_count_hash_table_and_point(capsys: pytest.CaptureFixture) -> None:
    def said(*words: str) -> str:
        assert main([str(WEIGHTED_LOSS), *words]) == 0
        return capsys.readouterr().out

    study = load_study(WEIGHTED_LOSS)
    assert said("--count") == "19\n"
    assert said("--hash") == f"{study.grid_hash}\n"
    point = json.loads(said("--index", "5"))
    assert (point["index"], point["name"]) == (5, "reject_gamma4_ratio1-2_seed42")
    assert point["config"]["train"]["gamma"] == 4
    header, *lines, last = said().splitlines()
    assert header.split() == ["index", "ratio", "variant", "gamma", "point"]
    assert [line.split()[:4] for line in lines] == [
        [str(i), ratio, variant, str(gamma)] for i, (ratio, variant, gamma) in enumerate(NINETEEN)
    ]
    assert last == "19 points"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--index", "19"], "index 19 is outside the grid; valid are 0 to 18"),
        (["--index", "x"], "--index: found 'x', expected a number from 0 to 18"),
        (["--index", "-1"], "--index: found '-1', expected a number from 0 to 18"),
        (["train.gama=2"], "command line: train.gama: unknown key"),
    ],
)
def test_the_command_refuses_in_one_line(
    capsys: pytest.CaptureFixture, words: list[str], message: str
) -> None:
    assert main([str(WEIGHTED_LOSS), *words]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


def test_a_reader_that_closes_early_is_no_error() -> None:
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-m", "stages.grid", str(WEIGHTED_LOSS)]
    with subprocess.Popen(
        command, cwd=REPOSITORY, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
