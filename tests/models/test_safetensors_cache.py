"""Weights that exist only as pickles: converted once, part of identities, refused in one line."""

import json
import os
import pickle
import shutil
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file

from lib.config.errors import BadInput
from lib.config.load import load_study
from lib.config.schema import Lora, Model, Train
from lib.data.preparation import prepare
from lib.data.prepared import read_manifest
from lib.models.checkpoints import check_base, check_directory, record_base, verify_base
from lib.models.classifiers import classifier_for_training
from lib.models.load import load_base
from lib.models.safetensors_cache import CACHE, RECORD, convert, read_pickle, weights_of


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of its own, so that no test writes into the project's cache."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def pickled(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model with its weights as one pickle."""
    target = tmp_path / "pickled"
    shutil.copytree(tiny_model, target)
    torch.save(load_file(target / "model.safetensors"), target / "pytorch_model.bin")
    (target / "model.safetensors").unlink()
    return target


@pytest.fixture
def sharded(pickled: Path) -> Path:
    """The same as two pickles with an index."""
    tensors = list(torch.load(pickled / "pytorch_model.bin").items())
    (pickled / "pytorch_model.bin").unlink()
    where = {}
    for number, part in enumerate((tensors[:3], tensors[3:]), 1):
        name = f"pytorch_model-{number:05d}-of-00002.bin"
        torch.save(dict(part), pickled / name)
        where |= dict.fromkeys(dict(part), name)
    write_index(pickled, where)
    return pickled


def write_index(directory: Path, where: object) -> None:
    (directory / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": where}))


def assert_same_weights(found: Path, expected: Path) -> None:
    one, other = (
        load_base(Model(name=str(d)), torch.float32).state_dict() for d in (found, expected)
    )
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("kind", ["pickled", "sharded"])
def test_a_converted_directory_loads_as_the_model(kind, request, tiny_model) -> None:
    source, said = request.getfixturevalue(kind), []
    before = sorted(os.listdir(source))
    model = Model(name=str(source))
    target = convert(model, said.append)
    assert target.parent == CACHE
    assert weights_of(model) == str(target)
    assert_same_weights(target, tiny_model)
    assert (target / "tokenizer.json").read_bytes() == (tiny_model / "tokenizer.json").read_bytes()
    assert len(said) == 1
    assert "\n" not in said[0]
    assert said[0].startswith(f"model.name: {source} has its weights only as pytorch_model.bin; ")
    assert sorted(os.listdir(source)) == before
    assert convert(model, said.append) == target
    assert len(said) == 1


def test_safetensors_of_its_own_need_no_conversion(tiny_model: Path, pickled: Path) -> None:
    assert convert(Model(name=str(tiny_model))) is None
    shutil.copy(tiny_model / "model.safetensors", pickled)
    assert weights_of(Model(name=str(pickled))) == str(pickled)
    assert record_base(Model(name=str(pickled)))["converted"] is None
    assert "pytorch_model.bin" not in record_base(Model(name=str(pickled)))["files"]


def test_a_snapshot_of_the_hub_is_converted_offline(pickled, tiny_model, monkeypatch) -> None:
    from huggingface_hub import constants

    cache = pickled.parent / "hub"
    repository, commit = cache / "models--someone--base", "a" * 40
    (repository / "snapshots").mkdir(parents=True)
    shutil.copytree(pickled, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    model = Model(name="someone/base")
    recorded = record_base(model)
    assert recorded["digest"] == commit
    assert "model.safetensors" in recorded["converted"]
    assert_same_weights(Path(weights_of(model)), tiny_model)
    verify_base(model, recorded)
    change_a_byte(Path(weights_of(model)) / "model.safetensors")
    with pytest.raises(BadInput, match=r"model.safetensors: changed since it was written"):
        verify_base(model, recorded)


@pytest.mark.parametrize("has_safetensors", [True, False])
def test_pickles_are_fetched_where_the_hub_has_nothing_else(
    pickled, monkeypatch, has_safetensors
) -> None:

    cache = pickled.parent / "hub"
    place = cache / "models--someone--base" / "snapshots" / ("a" * 40)
    place.mkdir(parents=True)
    shutil.copy(pickled / "config.json", place)
    (place.parents[1] / "refs").mkdir()
    (place.parents[1] / "refs" / "main").write_text(place.name)
    there = ["config.json", "pytorch_model.bin", *["model.safetensors"] * has_safetensors]

    def download(name: str, revision: str, allow_patterns: list[str]) -> None:
        assert (name, revision) == ("someone/base", place.name)
        assert not any("safetensors" in pattern for pattern in allow_patterns)
        shutil.copy(pickled / "pytorch_model.bin", place)

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda *_, revision: there)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    target = convert(Model(name="someone/base"), lambda line: None)
    assert (target is None) == has_safetensors


def test_a_hub_that_does_not_answer_is_no_error(pickled, monkeypatch) -> None:

    def unreachable(*_args, **_kwargs):
        raise ConnectionError("no network")

    monkeypatch.setattr(
        "lib.models.safetensors_cache.snapshot", lambda model: pickled.parent / "project"
    )
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", unreachable)
    assert convert(Model(name="someone/base")) is None


def change_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_the_identity_covers_pickles_and_what_came_of_them(pickled: Path) -> None:
    model = Model(name=str(pickled))
    recorded = record_base(model)
    assert "pytorch_model.bin" in recorded["files"]
    verify_base(model, recorded)
    weights = Path(weights_of(model)) / "model.safetensors"
    whole = weights.read_bytes()
    change_a_byte(weights)
    with pytest.raises(BadInput, match=f"^{weights}: changed since it was written"):
        verify_base(model, recorded)
    verify_base(model, record_base(model))
    assert weights.read_bytes() == whole  # made again by stage 1 with --force
    change_a_byte(pickled / "pytorch_model.bin")
    with pytest.raises(BadInput, match=f"^{pickled}/pytorch_model.bin: changed since"):
        verify_base(model, recorded)
    assert record_base(model)["digest"] != recorded["digest"]


def test_a_conversion_of_other_pickles_of_the_same_size_is_made_again(pickled: Path) -> None:
    model = Model(name=str(pickled))
    target = convert(model, lambda line: None)
    tensors = torch.load(pickled / "pytorch_model.bin")
    name = next(iter(tensors))
    tensors[name] = tensors[name] + 1
    torch.save(tensors, pickled / "pytorch_model.bin")
    assert convert(model, lambda line: None) == target
    assert torch.equal(load_file(target / "model.safetensors")[name], tensors[name])


def test_stage_1_converts_and_restores_a_lost_conversion(
    pickled: Path, write_study, capsys
) -> None:
    study = load_study(write_study({"model.name": str(pickled)}))
    prepare(study)
    assert capsys.readouterr().err.count("converting them to safetensors, once, in") == 1
    [base] = read_manifest(study)["models"].values()
    assert base["converted"]
    shutil.rmtree(CACHE)
    with pytest.raises(BadInput, match="as safetensors; run stage 1 again$"):
        weights_of(study.config.model)
    prepare(study)
    assert (Path(weights_of(study.config.model)) / RECORD).exists()
    prepare(study)
    assert capsys.readouterr().err.count("converting") == 1


def test_stages_2_and_3_use_what_stage_1_converted(pickled: Path, write_study, run_stage) -> None:
    """Full and with adapters, which are merged to be served and name the study's model as base."""
    variants = {"baseline": {}, "lora": {"train.tuning": "lora", "train.lora.r": 2}}
    changes = {"model.name": str(pickled), "axes": {"seed": "train.seed"}, "variants": variants,
               "grid": [{"variant": list(variants), "seed": 1}], "trial": {}}  # fmt: skip
    path = write_study(changes)
    study = load_study(path)
    for stage, index in (("1_generate_datasets", []), ("2_train", ["--index", "0-1"])):
        ended = run_stage(f"stage{stage}", path, *index)
        assert ended.code == 0, ended.err
    ended = run_stage("stage3_infer", path, "--index", "0-1")
    assert ended.code == 0, ended.err
    full, lora = study.points()
    assert (full.directory / "model" / "model.safetensors").exists()
    adapter = json.loads((lora.directory / "model" / "adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == str(pickled)
    check_base(lora.directory / "model", lora.config.model, "")
    assert (lora.directory / "predictions.jsonl").exists()


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_an_encoder_of_pickles_gets_its_head(tiny_encoders, tmp_path: Path, tuning: str) -> None:
    source = tmp_path / "encoder"
    shutil.copytree(tiny_encoders["deberta"], source)
    weights = load_file(source / "model.safetensors")
    torch.save(weights, source / "pytorch_model.bin")
    (source / "model.safetensors").unlink()
    model = Model(name=str(source))
    convert(model, lambda line: None)
    train = Train(objective="classification", tuning=tuning, gradient_checkpointing=False,
                  lora=Lora(r=2, target_modules=["query_proj"]))  # fmt: skip
    loaded = classifier_for_training(model, train, ["no", "yes"], 10)
    found = {n.removeprefix("base_model.model."): w for n, w in loaded.state_dict().items()}
    name = next(n for n in weights if n.endswith("word_embeddings.weight"))
    assert torch.equal(found[f"deberta.{name}"], weights[name])


def test_pickles_are_weights_of_a_studys_model_alone(pickled: Path) -> None:
    check_directory(pickled)
    with pytest.raises(BadInput, match=r"judge.model: .* has no weights \(\*.safetensors\)"):
        check_directory(pickled, "judge.model")


def test_shared_and_partial_memory_becomes_tensors_of_their_own(tmp_path: Path) -> None:
    whole = torch.arange(12.0).view(3, 4)
    state = {
        "embed": whole, "head": whole, "row": whole[1], "turned": whole.T,
        "parameter": torch.nn.Parameter(torch.ones(2)), "count": torch.tensor(3),
    }  # fmt: skip
    for legacy in (False, True):
        torch.save(state, tmp_path / "w.bin", _use_new_zipfile_serialization=not legacy)
        found = read_pickle(tmp_path / "w.bin")
        assert found.keys() == state.keys()
        assert all(torch.equal(found[name], state[name]) for name in state)
        pointers = [tensor.untyped_storage().data_ptr() for tensor in found.values()]
        assert len(set(pointers)) == len(state)
        assert all(tensor.is_contiguous() for tensor in found.values())


class Code:
    """What a hostile pickle runs."""

    def __reduce__(self) -> tuple:
        return os.mkdir, ("ran",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"w": torch.ones(2), "x": Code()}, r"found \w+\.mkdir, expected dense tensors"),
        ({"state_dict": {"w": torch.ones(2)}}, "found 'state_dict': a dict"),
        ({"w": torch.ones(2), "epoch": 3}, "found 'epoch': a int"),
        ({0: torch.ones(2)}, "found 0: a Tensor"),
        ([torch.ones(2)], "found a list"),
        ({"w": torch.ones(2).to_sparse()}, "found 'w': no dense tensor"),
        ({}, "found nothing"),
    ],
)  # fmt: skip
def test_anything_but_tensors_by_name_is_refused(pickled: Path, content, said, here) -> None:
    torch.save(content, pickled / "pytorch_model.bin")
    refused(pickled, f"^{pickled}/pytorch_model.bin: {said}")
    assert not (here / "ran").exists()


@pytest.mark.parametrize("damage", ["torn", "text", "pickle", "empty"])
def test_a_damaged_pickle_is_one_line(pickled: Path, damage: str) -> None:
    path = pickled / "pytorch_model.bin"
    whole = path.read_bytes()
    path.write_bytes({
        "torn": whole[: len(whole) // 2], "text": b"version https://git-lfs\n", "empty": b"",
        "pickle": pickle.dumps({"w": 1}),
    }[damage])  # fmt: skip
    refused(pickled, f"^{path}: (cannot be read as weights|found )")


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"w": "../pytorch_model.bin"}, "no index of weights"),
        ({"w": "absent.bin"}, "absent.bin: no such file, named by pytorch_model.bin.index.json"),
        ({"lost": "pytorch_model-00001-of-00002.bin"}, "lacks lost, which"),
        (["w"], "no index of weights"),
        ({}, "no index of weights"),
    ],
)
def test_an_index_that_does_not_fit_is_one_line(sharded: Path, where, said: str) -> None:
    write_index(sharded, where)
    refused(sharded, said)


def refused(directory: Path, said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        convert(Model(name=str(directory)), lambda line: None)
    assert "\n" not in str(caught.value)
    assert not list(CACHE.glob("*")), "nothing is left half-written"
