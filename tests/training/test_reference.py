"""The reference: its values, where it is kept, who computes it, and what is refused."""

import os
import shutil
import threading
import time
from multiprocessing import get_context
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM

from lib.config.errors import BadInput
from lib.config.schema import Lora, Model, Train
from lib.models import precision
from lib.models.trainable import load_for_training
from lib.runs.directory import locked
from lib.runs.files import read_sealed, write_sealed
from lib.runs.integrity import record
from lib.training import reference as module
from lib.training import reference_key as reference_keys
from lib.training.ranks import Stopped
from lib.training.reference import reference, stored_reference, without_adapters
from lib.training.reference_key import has_reference, reference_directory, reference_key
from lib.training.scoring import row_logps
from tests.training.outcomes import one_by_one


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(module, "POLL", 0.05)


@pytest.fixture
def rows(pair_rows):
    return Dataset.from_list(pair_rows(7))


def adapted(tiny_model):
    """A model with an adapter that has moved it off its base."""
    torch.manual_seed(0)
    settings = Train(tuning="lora", lora=Lora(r=2, dropout=0.5), precision="fp32")
    model = load_for_training(Model(name=str(tiny_model)), settings)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight += 0.3
    return model.train()


def of_tokens(tokens, precision="fp32"):
    """Passes of half as many tokens: those without gradients take twice the budget."""
    return Train(precision=precision, micro_tokens=tokens // 2)


@pytest.mark.parametrize("tokens", [2, 60, 1000])
def test_reference_is_the_base_by_brute_force(tiny_model, rows, tokens):
    """In the order of the rows, whatever the adapter, and without a trace on model and numbers."""
    model = adapted(tiny_model)
    state = torch.get_rng_state()
    with without_adapters(model):
        found = row_logps("pairs", model, rows, 0, of_tokens(tokens))
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert found.dtype == np.float64
    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()
    np.testing.assert_allclose(found, one_by_one(base, rows).detach(), rtol=1e-5)
    assert np.abs(row_logps("pairs", model, rows, 0, of_tokens(tokens)) - found).max() > 0.1


def test_weights_in_four_bits_stay_as_they_are(tiny_model, rows):
    model = load_for_training(Model(name=str(tiny_model)), Train(tuning="qlora"))

    def as_bytes():  # packed bytes are no numbers: some read as NaN, which equals nothing
        found = model.state_dict()
        return {
            name: weight.reshape(-1).view(torch.uint8).clone() for name, weight in found.items()
        }

    before = as_bytes()
    with without_adapters(model.train()):
        row_logps("pairs", model, rows, 0, of_tokens(60, "bf16"))
    assert all(module.training for module in model.modules())
    after = as_bytes()
    assert after.keys() == before.keys()
    for name, weight in before.items():
        assert torch.equal(after[name], weight), name


def test_ranks_share_the_work(tiny_model, rows):
    model = adapted(tiny_model)
    whole = row_logps("pairs", model, rows, 0, of_tokens(40))
    shares = [
        row_logps("pairs", model, rows, 0, of_tokens(40), ranks=(rank, 3)) for rank in range(3)
    ]
    np.testing.assert_allclose(sum(shares), whole, rtol=1e-6)
    assert all((share == 0).all(axis=1).any() for share in shares)


def test_a_stop_in_the_middle(tiny_model, rows):
    count = iter([False, True])
    with pytest.raises(Stopped):
        row_logps("pairs", adapted(tiny_model), rows, 0, of_tokens(40), stop=lambda: next(count))


KEY = {"model": "base", "data": {"train": "0"}}


def made(rows):
    return np.arange(2.0 * len(rows)).reshape(-1, 2)


def test_computed_once_then_read(tmp_path, rows):
    splits = {"train": rows, "test": rows.select(range(3))}
    first = reference(tmp_path, KEY, made, splits)
    second = reference(tmp_path, KEY, None, splits)
    assert first.keys() == second.keys() == splits.keys()
    for name in splits:
        assert np.array_equal(first[name], made(splits[name]))
        assert np.array_equal(first[name], second[name])
    (directory,) = [p for p in (tmp_path / "reference").iterdir() if p.is_dir()]
    assert read_sealed(directory / "key.json", "").items() >= KEY.items()


def test_another_key_is_computed_beside(tmp_path, rows):
    reference(tmp_path, KEY, made, {"train": rows})
    other = reference(tmp_path, {**KEY, "model": "x"}, lambda r: -made(r), {"train": rows})
    assert np.array_equal(other["train"], -made(rows))
    again = reference(tmp_path, KEY, None, {"train": rows})
    assert np.array_equal(again["train"], made(rows))


def test_a_failure_leaves_nothing(tmp_path, rows):
    def broken(_rows):
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        reference(tmp_path, KEY, broken, {"train": rows})
    assert np.array_equal(reference(tmp_path, KEY, made, {"train": rows})["train"], made(rows))


def slow(directory, rows, marks):
    def compute(some):
        (marks / f"{os.getpid()}").touch()
        time.sleep(0.5)
        return made(some)

    reference(directory, KEY, compute, {"train": rows})


def test_of_many_tasks_one_computes(tmp_path, rows):
    marks = tmp_path / "marks"
    marks.mkdir()
    context = get_context("fork")
    tasks = [context.Process(target=slow, args=(tmp_path / "s", rows, marks)) for _ in range(5)]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join(30)
        assert task.exitcode == 0
    assert len(list(marks.iterdir())) == 1


def test_the_next_takes_over_from_one_that_was_killed(tmp_path, rows):
    marks = tmp_path / "marks"
    marks.mkdir()
    task = get_context("fork").Process(target=slow, args=(tmp_path / "s", rows, marks))
    task.start()
    while not list(marks.iterdir()):
        time.sleep(0.01)
    task.kill()
    found = reference(tmp_path / "s", KEY, made, {"train": rows})
    task.join()
    assert np.array_equal(found["train"], made(rows))


def test_waiting_is_said_and_can_be_stopped(tmp_path, rows, capsys, monkeypatch):
    asked = iter([False, False, True])
    monkeypatch.setattr(module, "SAY_EVERY", 0.0)
    with locked(tmp_path / "reference", "point_7"), pytest.raises(Stopped):
        reference(tmp_path, KEY, made, {"train": rows}, "me", lambda: next(asked))
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("reference: waiting for ")
    assert "point_7" in said[0]


def test_a_task_that_cannot_compute_waits_for_one_that_does(tmp_path, rows):
    """As a model tuned whole that resumes; with nobody to wait for, it is refused."""
    started = threading.Event()

    def slowly(some):
        started.set()
        time.sleep(0.3)
        return made(some)

    other = threading.Thread(target=reference, args=(tmp_path, KEY, slowly, {"train": rows}))
    other.start()
    started.wait()
    found = reference(tmp_path, KEY, None, {"train": rows})
    other.join()
    assert np.array_equal(found["train"], made(rows))
    with pytest.raises(BadInput, match="no reference, and this run resumes weights that are no lo"):
        reference(tmp_path, {**KEY, "model": "x"}, None, {"train": rows})


class TestRefused:
    """What cannot be the reference that is wanted, in one line."""

    def refused(self, directory, rows, key=KEY):
        with pytest.raises(BadInput) as error:
            stored_reference(directory, key, {"train": rows})
        assert "\n" not in str(error.value)
        return str(error.value)

    @pytest.fixture
    def stored(self, tmp_path, rows):
        reference(tmp_path, KEY, made, {"train": rows})
        (directory,) = [p for p in (tmp_path / "reference").iterdir() if p.is_dir()]
        return directory

    def test_of_another_model_copied_here(self, tmp_path, rows, stored):
        files = record(stored, ["train.npy"])
        write_sealed(stored / "key.json", {**KEY, "model": "another", "files": files})
        said = self.refused(tmp_path, rows)
        assert "reference of another model: found 'another', expected 'base'" in said
        assert f"remove {stored}" in said

    def test_of_another_study_s_directory(self, tmp_path, rows, stored):
        from lib.config.grid import digest

        other = {**KEY, "model": "another"}
        shutil.copytree(stored, stored.with_name(digest(other)))
        assert "found 'base', expected 'another'" in self.refused(tmp_path, rows, other)

    def test_of_fewer_rows(self, tmp_path, rows, stored):
        np.save(stored / "train.npy", np.zeros((3, 2)))
        files = record(stored, ["train.npy"])
        write_sealed(stored / "key.json", {**KEY, "files": files})
        assert "train.npy: found (3, 2), expected (7, 2)" in self.refused(tmp_path, rows)

    @pytest.mark.parametrize("name", ["train.npy", "key.json"])
    @pytest.mark.parametrize("content", [None, b"torn", "a byte"])
    def test_changed_torn_or_missing(self, tmp_path, rows, stored, name, content):
        path = stored / name
        if content is None:
            path.unlink()
        elif content == "a byte":
            whole = path.read_bytes()
            path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
        else:
            path.write_bytes(content)
        said = self.refused(tmp_path, rows)
        if content is None and name == "key.json":
            assert "no reference yet" in said
        else:
            assert f"{stored / name}: " in said

    def test_not_finite(self, tmp_path, rows):
        def nan(some):
            return made(some) * np.where(np.arange(len(some)) == 4, np.nan, 1)[:, None]

        with pytest.raises(BadInput, match=r"train row 4 is not finite \(1 such rows\)"):
            reference(tmp_path, KEY, nan, {"train": rows})


class TestKey:
    """What the reference depends on, and what it does not."""

    @pytest.fixture
    def key(self, tiny_model):
        def make(sums=None, **train):
            named = Model(name=str(tiny_model))
            sums = sums or {"train": "a", "model": "b"}
            return reference_key(named, Train(**train), sums, four_bits=True)

        return make

    def test_not_on_the_objective(self, key):
        assert key(objective="dpo", beta=0.5, seed=1) == key(objective="td_dpo", tau=2.0, seed=2)
        assert key(micro_batch=2) == key(micro_batch=4)

    @pytest.mark.parametrize(
        "train",
        [{"precision": "fp32"}, {"tuning": "qlora"}, {"processes": 2, "fsdp": "x.yaml"}],
        ids=str,
    )
    def test_on_how_the_model_is_loaded_and_run(self, key, train):
        assert key(**train) != key(precision="bf16", tuning="full")

    def test_sharding_changes_nothing_in_fp32(self, key):
        assert key(precision="fp32") == key(precision="fp32", processes=2, fsdp="x.yaml")

    @pytest.mark.parametrize("sums", [{"train": "b", "model": "b"}, {"train": "a", "model": "c"}])
    def test_on_the_tokens_and_the_model(self, key, sums):
        assert key(sums) != key()

    def test_auto_finds_what_another_machine_computed(self, tiny_model, tmp_path, monkeypatch):
        """A login node has another precision than the device that trains, and asks for both."""
        monkeypatch.setattr(reference_keys, "pair_checksums", lambda study: {"train": "a"})
        config = SimpleNamespace(model=Model(name=str(tiny_model)), train=Train(precision="auto"))
        study, point = SimpleNamespace(directory=tmp_path), SimpleNamespace(config=config)
        assert not has_reference(study, point)
        trained = config.train.model_copy(update={"precision": "bf16"})
        directory = reference_directory(
            tmp_path, reference_key(config.model, trained, {"train": "a"}, four_bits=True)
        )
        directory.mkdir(parents=True)
        (directory / "key.json").write_text("{}")
        monkeypatch.setattr(precision, "_fast_here", lambda: "fp32")
        assert has_reference(study, point)
