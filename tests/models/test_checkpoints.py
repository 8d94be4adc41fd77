"""Adapters that exist already: found, of the right base, and known by their content."""

import json
from pathlib import Path

import pytest

from lib.config.errors import BadInput
from lib.config.schema import Model
from lib.models.checkpoints import ADAPTER, adapter_checksum, check_adapter


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    directory = tmp_path / "adapter"
    directory.mkdir()
    settings = {"base_model_name_or_path": "someone/base", "r": 8}
    (directory / ADAPTER[0]).write_text(json.dumps(settings))
    (directory / ADAPTER[1]).write_bytes(b"weights")
    return directory


def test_an_adapter_of_the_base_is_taken(adapter: Path) -> None:
    assert check_adapter(Model(name="someone/base", adapter=str(adapter))) == adapter


def test_another_base_is_refused(adapter: Path) -> None:
    message = (
        f"model.adapter: {adapter}: adapter of another base model: found 'someone/base', "
        "expected 'someone/other'"
    )
    with pytest.raises(BadInput, match=f"^{message}$"):
        check_adapter(Model(name="someone/other", adapter=str(adapter)))


def test_a_directory_is_the_same_base_by_any_path(adapter: Path, tmp_path, monkeypatch) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "base")
    settings = {"base_model_name_or_path": str(tmp_path / "base")}
    (adapter / ADAPTER[0]).write_text(json.dumps(settings))
    monkeypatch.chdir(tmp_path)
    for name in ("base", "./base/", "link", str(tmp_path / "base")):
        assert check_adapter(Model(name=name, adapter=str(adapter))) == adapter


@pytest.mark.parametrize("content", ["{}", "[1]", '{"base_model_name_or_path": null}'])
def test_an_adapter_without_a_base_is_refused(adapter: Path, content: str) -> None:
    (adapter / ADAPTER[0]).write_text(content)
    with pytest.raises(BadInput, match="adapter of another base model: found None, expected"):
        check_adapter(Model(name="someone/base", adapter=str(adapter)))


@pytest.mark.parametrize("name", ADAPTER)
def test_what_is_missing_is_named(adapter: Path, name: str) -> None:
    (adapter / name).unlink()
    [left] = {*ADAPTER} - {name}
    with pytest.raises(BadInput, match=f"no adapter: it has no {name}, it holds {left}$"):
        check_adapter(Model(name="someone/base", adapter=str(adapter)))


def test_the_nearest_directory_is_named(adapter: Path) -> None:
    with pytest.raises(BadInput, match=f"no such directory; did you mean '{adapter}'"):
        check_adapter(Model(name="someone/base", adapter=f"{adapter}s"))


def test_the_checksum_is_of_the_content_and_outlives_the_original(adapter, tmp_path) -> None:
    model = Model(name="someone/base", adapter=str(adapter))
    first = adapter_checksum(model, tmp_path / "none")
    (adapter / ADAPTER[1]).write_bytes(b"other")
    second = adapter_checksum(model, tmp_path / "none")
    assert first != second
    adapter.rename(tmp_path / "copied")
    assert adapter_checksum(model, tmp_path / "copied") == second
    with pytest.raises(BadInput, match="no such directory"):
        adapter_checksum(model, tmp_path / "none")
