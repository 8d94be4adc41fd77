"""YAML as studies are written in it."""

import pytest

from lib.config.errors import BadInput
from lib.config.load import load_study
from lib.config.validation import dotted_keys
from lib.config.yaml import read_yaml


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: 1\nb: 2\na: 3\n", "line 3: key 'a' is given twice"),
        (b"a: [1\n", "line 2: "),
        (b"a: !!python/object:os.system x\n", "line 1: could not determine a constructor"),
        (b"", "found NoneType, expected key: value sections"),
        (b"\xff\xfe\xfd", "cannot be read"),
        (b"a: &x {b: *x}\n", "ircular reference"),
        (b"a: {<<: 5}\n", "line 1: expected a mapping or list of mappings for merging"),
        (b'a: 1\nb: "\\0"\n', "line 2: the character '.x00', which no text file can contain"),
        (b'a: "\\ud800"\n', "line 1: "),
        (b"a: " + b"1" * 5000, "line 1: a whole number of 5000 digits, expected at most 300"),
        (b"a: " + b"[" * 3000 + b"]" * 3000, "nested too deeply"),
    ],
)
def test_what_is_no_yaml_of_sections_is_refused(tmp_path, content, message) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=f"{path}: .*{message}"):
        load_study(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1:2", "1:2"),
        ("12:30:45", "12:30:45"),
        ("1e-5", 1e-5),
        ("2e3", 2000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("-3", -3),
        ("010", 10),
        ("08", 8),
        ("1_000", "1_000"),
        ("no", "no"),
        ("on", "on"),
        ("y", "y"),
        ("true", True),
        ("null", None),
        ("~", None),
        ("", None),
        ("2024-01-01", "2024-01-01"),
        ("<<", "<<"),
        ("[a, 1:2]", ["a", "1:2"]),
    ],
)
def test_plain_scalars_are_those_of_yaml_1_2(text: str, value) -> None:
    read = read_yaml(text, "here")
    assert (read, type(read)) == (value, type(value))


def test_a_merge_key_puts_one_mapping_into_another() -> None:
    text = "a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}\ne: {<<: [*x, {f: 4}], b: 5}\ng: {'<<': 1}"
    assert read_yaml(text, "here") == {
        "a": {"b": 1, "c": 2},
        "d": {"b": 1, "c": 3},
        "e": {"b": 5, "c": 2, "f": 4},
        "g": {"<<": 1},
    }


def test_dotted_keys_leave_mappings_that_are_values() -> None:
    bundle = {"evaluate.baseline": {"variant": "x"}, "data": {"columns": {"title": "name"}}}
    assert dotted_keys(bundle) == {
        "evaluate.baseline": {"variant": "x"},
        "data.columns": {"title": "name"},
    }
