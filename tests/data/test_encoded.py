import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from lib.config.errors import BadInput
from lib.config.load import load_study
from lib.data.encoded import directory_of
from lib.data.preparation import prepare
from lib.data.prepared import encoded_test, encoded_training


@pytest.fixture(autouse=True)
def _quiet(capfd: pytest.CaptureFixture) -> None:
    """Progress goes to standard error."""


def two_models(other: str) -> dict[str, Any]:
    return {"variants/accept/model.name": other, "variants/accept/model.max_length": 96}


def test_each_model_of_a_study_has_its_own_tokens(
    write_study, tiny_model: Path, tokenizer, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_model, other)
    settings = json.loads((other / "tokenizer_config.json").read_text())
    settings["chat_template"] = "{{ messages[0]['content'] }}<|im_end|>{% if messages|length > 1 %}"
    settings["chat_template"] += "{{ messages[1]['content'] }}<|im_end|>{% endif %}"
    (other / "tokenizer_config.json").write_text(json.dumps(settings))
    (other / "chat_template.jinja").write_text(settings["chat_template"])
    name = str(tiny_model)
    study = load_study(write_study({"model.name": name, **two_models(str(other))}))
    manifest = prepare(study)
    baseline, accept, reject = study.points()
    assert [m.name for m in study.model_sections()] == [name, str(other)]
    there = sorted(path.name for path in (study.directory / "data").glob("encoded*"))
    assert there == sorted(directory_of(study, m) for m in study.model_sections())
    assert all(re.fullmatch(r"encoded-(tiny|other)-[0-9a-f]{6}", name) for name in there)
    assert set(manifest["cut"]) == set(there)
    assert manifest["identity"]["model.name"] == sorted([name, str(other)])
    one, two = (encoded_test(study, point) for point in (baseline, accept))
    assert one["id"] == two["id"]
    assert not set(one["prompt_hash"]) & set(two["prompt_hash"])
    assert encoded_test(study, reject)["prompt_hash"] == one["prompt_hash"]
    assert tokenizer.decode(two[0]["input_ids"]).count("<|im_start|>") == 0
    rows = [encoded_training(study, point).to_list() for point in (baseline, accept)]
    assert max(len(row["input_ids"]) for row in rows[1]) <= 96
    assert rows[0] != rows[1]


def test_a_study_of_one_model_in_its_variants_alone_is_of_one_model(
    write_study, tiny_model: Path
) -> None:
    given = {f"variants/{v}/model.name": str(tiny_model) for v in ("baseline", "accept", "reject")}
    study = load_study(write_study(given))
    assert prepare(study)["identity"]["model.name"] == str(tiny_model)
    assert (study.directory / "data" / "encoded").is_dir()


def test_pairs_are_of_one_model(write_study) -> None:
    pairs = {"tasks": ["preference"], "train.objective": "dpo", "data": {"source": "synthetic"}}
    variants = {"one": {"train.epochs": 1}, "two": {"model.max_length": 64}}
    grid = {"axes": {}, "variants": variants, "grid": [{"variant": ["one", "two"]}]}
    path = write_study(pairs | grid | {"evaluate.baseline": {"variant": "one"}}, drop=["trial"])
    with pytest.raises(BadInput, match=r"model.max_length: found 128, 64 among the points, expec"):
        load_study(path)


def test_a_trial_has_one_model_whatever_the_variants_name(write_study) -> None:
    named = {f"variants/{v}/model.name": f"hub/{v}" for v in ("baseline", "accept", "reject")}
    path = write_study({**named, "trial/model.name": "small"})
    full, trial = load_study(path), load_study(path, ["mode=trial"])
    assert [p.config.model.name for p in full.points()] == ["hub/baseline", "hub/accept",
                                                            "hub/reject"]  # fmt: skip
    assert [p.config.model.name for p in trial.points()] == ["small"] * 3
    assert len(trial.model_sections()) == 1
    given = load_study(path, ["mode=trial", "model.name=given"])
    assert given.point(1).config.model.name == "given"
    with pytest.raises(BadInput, match="model.name is set by the grid's variant 'baseline'"):
        load_study(path, ["model.name=given"])


def test_a_model_that_came_after_the_data_is_one_line(
    write_study, tiny_model: Path, tmp_path: Path
) -> None:
    prepare(load_study(write_study({"model.name": str(tiny_model)})))
    later = write_study({"model.name": str(tiny_model), **two_models(str(tmp_path / "other"))})
    with pytest.raises(BadInput, match=r"encoded-\S+/rows: no checksum was recorded of it"):
        encoded_training(load_study(later), load_study(later).point(0))
