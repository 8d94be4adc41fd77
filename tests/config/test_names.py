import pytest

from lib.config.grid import NAME_BYTES, is_axis, is_name, point_name, slug, unique_names


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1:2", "1-2"),
        (2.0, "2"),
        (0.05, "0.05"),
        (1e-05, "1e-05"),
        (1e300, "1e+300"),
        (-0.5, "-0.5"),
        (-2, "-2"),
        (None, "none"),
        (True, "true"),
        ("td_dpo", "td-dpo"),
        ("../up", "up"),
        ("", "empty"),
        ("甲", "甲"),
        ("mésure", "mésure"),
        ("me\u0301sure", "m\u00e9sure"),  # composed, as a Mac's file system may not leave it
        ("a\nb\0c", "a-b-c"),
    ],
)
def test_slug(value, expected: str) -> None:
    assert slug(value) == expected


def test_a_name_holds_the_variant_first_and_no_index() -> None:
    values = {"ratio": "1:2", "variant": "accept", "gamma": 2.0}
    assert point_name(values) == "accept_ratio1-2_gamma2"
    values = {"beta": 0.05, "variant": "td_dpo", "tau": 1.0, "seed": 42}
    assert point_name(values) == "td_dpo_beta0.05_tau1_seed42"
    assert point_name({"variant": "../up_1:2"}) == "up_1-2"


@pytest.mark.parametrize(
    "values",
    [
        ({"ending": "Solve:"}, {"ending": "Solve!"}),
        ({"ending": "1:2"}, {"ending": "1-2"}),
        ({"ending": "?"}, {"ending": "!"}, {"ending": ""}),
        ({"ending": "A"}, {"ending": "a"}),  # one directory where capitals do not count
        ({"ending": "1"}, {"ending": 1}),
        ({"variant": "a_gamma2"}, {"variant": "a", "gamma": 2}),
        ({"ending": "x" * 400 + "1"}, {"ending": "x" * 400 + "2"}),
        ({"ending": "é" * 400 + "1"}, {"ending": "é" * 400 + "2"}),
        ({"variant": "Data"}, {"variant": "b"}),  # `data` is taken
    ],
    ids=str,
)
def test_names_are_distinct_and_short_and_the_first_keeps_its_own(values) -> None:
    names = unique_names(values, ["data"])
    assert len({name.casefold() for name in [*names, "data"]}) == len(values) + 1
    assert all(len(f".{name}_precision_recall.png.0123456789ab.tmp".encode()) < 255
               for name in names)  # fmt: skip
    plain = point_name(values[0])
    assert names[0] == plain or len(plain.encode()) > NAME_BYTES or plain == "Data"
    assert unique_names(values[:1], ["data"]) == names[:1]  # whatever follows


def test_names_of_studies_and_axes_may_be_of_any_script() -> None:
    assert all(map(is_name, ["étude", "mésure", "研究", "a.b-c+1", "2024", "हिन्दी"]))
    assert not any(map(is_name, ["", "..", "a/b", "-a", "_a", "a b", "a\n", "a\0"]))
    assert all(map(is_axis, ["seed", "lr_max", "β", "größe"]))
    assert not any(map(is_axis, ["", "Seed", "a1", "_a", "a-b", "a b", "1"]))
