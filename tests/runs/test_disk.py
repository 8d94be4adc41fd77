"""Space: what is held and free, and that a stage refuses what does not fit before it writes."""

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from lib.config.errors import BadInput
from lib.config.load import load_study
from lib.config.schema import Model
from lib.models.needs import prediction_bytes, run_needs
from lib.models.sizes import Footprint, decoder, footprint, parameters
from lib.runs.disk import Need, Space, check_space, free, held, size
from lib.runs.files import write_text

NEEDS = [Need("model/", 3_000_000, 10), Need("2 checkpoints", 1_000_000, 30), Need("", -500_000, 0)]


def system(**changes: int) -> SimpleNamespace:
    """Return a file system of 4 MB with 100 free inodes, with changes."""
    usual = {"f_bavail": 4000, "f_frsize": 1000, "f_files": 1000, "f_favail": 100}
    return SimpleNamespace(**{**usual, **changes})


def test_what_fits_is_taken(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: system())
    assert free(tmp_path / "not" / "there") == (4_000_000, 100)
    check_space(tmp_path, NEEDS[:2])  # exactly 4 MB


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"f_bavail": 3999}, "4 MB are free, 4 MB needed (model/ 3 MB, 2 checkpoints 1 MB)"),
        ({"f_favail": 39}, "39 files (inodes) are free, 40 needed"),
    ],
)
def test_what_does_not_fit_is_one_line(monkeypatch, tmp_path, changes, said) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: system(**changes))
    with pytest.raises(BadInput) as refused:
        check_space(tmp_path, NEEDS[:2])
    assert str(refused.value).startswith(f"{tmp_path}: not enough space: {said}; ")
    assert "\n" not in str(refused.value)
    monkeypatch.setattr(os, "statvfs", lambda _: system(f_files=0, f_favail=0))  # as btrfs says
    check_space(tmp_path, NEEDS[:2])


def test_a_file_counts_with_its_blocks_and_a_link_as_one(tmp_path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_bytes(b"x" * 4096)
    (tmp_path / "a" / "link").symlink_to("/usr")
    with (tmp_path / "a" / "sparse").open("wb") as file:
        file.truncate(1 << 30)
    space = held(tmp_path / "a")
    assert space.files == 4
    assert 4096 <= space.bytes < 1 << 20
    assert held(tmp_path / "none") == Space(0, 0)
    assert [size(n) for n in (None, 0, 1500, 84e9)] == ["unknown", "0 kB", "1.5 kB", "84 GB"]


def test_a_disk_without_inodes_is_one_line(tmp_path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m,nr_inodes=8", "tmpfs", str(tmp_path)]
    mounted = subprocess.run(mount, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no tmpfs with few inodes: {mounted.stderr.strip()}")
    try:
        with pytest.raises(BadInput, match=r"files \(inodes\) are free, 40 needed"):
            check_space(tmp_path / "run", [Need("records", 1000, 40)])
        write_text(tmp_path / "kept", "before")
        for number in range(20):
            try:
                (tmp_path / str(number)).touch()
            except OSError:
                break
        with pytest.raises(BadInput, match="kept: cannot be written: No space left on device"):
            write_text(tmp_path / "kept", "after")
        assert (tmp_path / "kept").read_text() == "before"
        assert not list(tmp_path.glob(".kept*"))
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


# -- what a point writes ---------------------------------------------------------------------------


def test_sizes_of_full_weights(write_study, tiny_model) -> None:
    """bf16 in model/, fp32 with two moments in a checkpoint, and the tokenizer beside both."""
    from safetensors.torch import load_file

    weights = sum(t.numel() for t in load_file(tiny_model / "model.safetensors").values())
    beside = sum(p.stat().st_size for p in tiny_model.iterdir() if p.suffix in (".json", ".jinja"))
    path = write_study({"model.name": str(tiny_model), "train.precision": "bf16"})
    config = load_study(path).point(0).config
    assert footprint(config) == (2 * weights + beside, 12 * weights + beside)
    untrained = load_study(path, ["train.epochs=0"]).point(0).config
    assert footprint(untrained).checkpoint == 0


def test_sizes_of_adapters(write_study, tiny_model) -> None:
    """q and v of one of two layers, 32 → 32 each: r × 64 × 2 weights, in fp32."""
    words = ["train.tuning=lora", "train.lora.r=4", "train.lora.target_modules=[q_proj, v_proj]",
             "train.lora.layers=[1]"]  # fmt: skip
    path = write_study({"model.name": str(tiny_model)})
    one = footprint(load_study(path, words).point(0).config)
    both = footprint(load_study(path, words[:3]).point(0).config)
    assert both.model - one.model == 4 * (4 * 64 * 2)
    assert both.checkpoint - one.checkpoint == 12 * (4 * 64 * 2)


@pytest.mark.parametrize(
    ("name", "weights"),
    [("Qwen/Qwen2.5-7B-Instruct", 7e9), ("x/SmolLM2-135M", 135e6), ("a/Mixtral-8x7B-v0.1", 56e9),
     ("microsoft/deberta-v3-base", None), ("./nowhere", None)],
)  # fmt: skip
def test_a_size_that_a_name_tells(name, weights) -> None:
    assert parameters(Model(name=name)).weights == weights


def test_a_config_alone_tells_the_matrices() -> None:
    """Qwen2.5-7B: 7,615,616,512 weights, 333,312 of which are norms and biases."""
    config = {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
              "num_attention_heads": 28, "num_key_value_heads": 4,
              "vocab_size": 152064}  # fmt: skip
    assert sum(a * b for a, b in decoder(config).values()) == 7_615_616_512 - 333_312
    assert decoder({"hidden_size": 8}) == {}


def test_needs_of_a_run(write_study) -> None:
    """Three checkpoints while the oldest of two goes, the best weights, two candidates."""
    config = load_study(write_study()).point(0).config
    train = config.train.model_copy(update={"keep": "best", "checkpoint_candidates": 2})
    config = config.model_copy(update={"train": train})
    needs = {need.what: need.bytes for need in run_needs(config, Footprint(10, 70))}
    assert needs == {"model/": 10, "3 checkpoints": 210, "best weights": 10, "2 candidates": 20}
    config = load_study(write_study(), ["train.checkpoints_kept=1"]).point(0).config
    assert run_needs(config, Footprint(10, 70))[1].what == "2 checkpoints"
    assert run_needs(config, Footprint(None, None)) == []
    assert prediction_bytes(config, "decision", 8) == 8 * (500 + 6 * 4)


# -- in the stages ---------------------------------------------------------------------------------


def test_training_does_not_start_on_a_full_disk(run_stage, prepared_study, monkeypatch) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: system(f_bavail=1))
    ended = run_stage("stage2_train", prepared_study, "--index", "1")
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert "accept_gamma2: not enough space: 1 kB are free" in ended.err
    there = load_study(prepared_study).point(1).directory
    assert [path.name for path in there.iterdir()] == [".lock"]


def test_a_model_is_not_merged_into_a_full_disk(tiny_model, monkeypatch, tmp_path) -> None:
    from lib.inference.serving import whole_weights

    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "adapter_model.safetensors").touch()
    monkeypatch.setattr(os, "statvfs", lambda _: system(f_bavail=1))
    with (
        pytest.raises(BadInput, match="not enough space: 1 kB are free, .*merged weights"),
        whole_weights(Model(name=str(tiny_model)), Path(tmp_path), "bf16"),
    ):
        pass
