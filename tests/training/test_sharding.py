"""Ranks that share a model (FSDP2), on two gloo ranks: loaded, trained, saved and resumed."""

import shutil
from contextlib import suppress
from functools import partial, partialmethod
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lib.config.errors import BadInput
from lib.config.schema import Model
from lib.models.load import empty_base, load_base
from lib.runs.files import read_jsonl
from lib.training import ranks
from tests.training.outcomes import assert_close, assert_same, weights
from tests.training.two_ranks import LAUNCHER, run_ranks, train

SHARED = ["train.processes=2", f"train.fsdp={LAUNCHER}"]
TUNINGS = {
    "full": ["train.micro_batch=2"],
    "lora": ["train.micro_batch=2", "train.tuning=lora", "train.gradient_checkpointing=true"],
}
ONE_STEP = ["train.batch_size=24"]  # of all rows, in one pass of each rank or in twelve
DEFAULTS = "bf16-12-defaults"
GRADIENTS = {
    "fp32-1": ["train.micro_batch=12", "train.precision=fp32"],
    "fp32-12": ["train.micro_tokens=1", "train.precision=fp32"],
    "bf16-1": ["train.micro_batch=12", "train.precision=bf16"],
    "bf16-12": ["train.micro_tokens=1", "train.precision=bf16"],
    DEFAULTS: ["train.micro_tokens=1", "train.precision=bf16"],
}


def all_runs(study: Path, root: Path) -> None:
    """Train on this rank all that the tests look at; gradients go to root/NAME.pt."""
    from transformers import Trainer

    from lib.training import loop

    for name, words in TUNINGS.items():
        train(study, root / name, [*SHARED, *words])
        train(study, root / f"{name}-resumed", [*SHARED, *words], stops=(2,))
    for name, words in GRADIENTS.items():
        if name == DEFAULTS:
            loop.training_arguments = partial(accelerate_s_defaults, loop.training_arguments)
        Trainer.training_step = partialmethod(step_and_keep, Trainer.training_step, root / name)
        Trainer._clip_grad_norm = partialmethod(keep_and_end, root / name)
        with suppress(StopIteration):
            train(study, root / name, [*SHARED, *ONE_STEP, *words])


def step_and_keep(self, plain, path: Path, model, *args):
    """Do a pass, and keep which parameters had a gradient after a step's first one."""
    loss = plain(self, model, *args)
    if not path.with_suffix(".txt").exists():
        dtypes = {str(p.grad.dtype) if p.grad is not None else "none" for p in model.parameters()}
        path.with_suffix(".txt").write_text(" ".join(dtypes))
    return loss


def keep_and_end(self, path: Path, model) -> None:
    """Keep a step's gradients, where they would be clipped."""
    grads = {n: p.grad.full_tensor().clone() for n, p in model.named_parameters()}
    if self.is_world_process_zero():
        torch.save(grads, path.with_suffix(".pt"))
    raise StopIteration


def accelerate_s_defaults(plain, *args):
    """Training arguments without what keeps gradients in fp32 and in parts."""
    arguments = plain(*args)
    del arguments.fsdp_plugin_args["mixed_precision_policy"]
    arguments.accelerator_config.gradient_accumulation_kwargs = None
    return arguments


@pytest.fixture(scope="module")
def runs(processes, tiny_model, prepared_data, tmp_path_factory):
    """The directory of all runs of two ranks, and of the same by one process below `one`."""
    from tests.conftest import study_text

    root = tmp_path_factory.mktemp("sharded")
    study = root / "small.yaml"
    changes = {"model.name": str(tiny_model), "results_dir": str(root / "results")}
    study.write_text(study_text(changes, ()), encoding="utf-8")
    shutil.copytree(prepared_data, root / "results" / "small" / "data")
    run_ranks(processes, all_runs, study, root)
    for name, words in TUNINGS.items():
        train(study, root / "one" / name, words)
    return root


@pytest.mark.slow
@pytest.mark.parametrize("tuning", TUNINGS)
def test_two_ranks_train_what_one_process_does(runs, tuning):
    """From the values of the first rank: the second one has read none."""
    shared, one = (weights(runs / name) for name in (tuning, f"one/{tuning}"))
    assert_close(shared, one)


@pytest.mark.slow
@pytest.mark.parametrize("tuning", TUNINGS)
def test_stopped_and_resumed_to_the_bit(runs, tuning):
    """Each rank from its own part of the checkpoint."""
    whole, resumed = (weights(runs / name) for name in (tuning, f"{tuning}-resumed"))
    assert_same(whole, resumed)
    losses = [[row["loss"] for row in read_jsonl(runs / name / "train.jsonl")]
              for name in (tuning, f"{tuning}-resumed")]  # fmt: skip
    assert losses[0] == losses[1]


@pytest.mark.slow
def test_a_checkpoint_holds_the_weights_once_and_in_parts(runs):
    newest = runs / "full-resumed" / "checkpoints" / "checkpoint-2"
    files = {path.relative_to(newest).as_posix() for path in newest.rglob("*") if path.is_file()}
    parts = {f"{state}_0/{part}" for state in ("pytorch_model_fsdp", "optimizer")
             for part in (".metadata", "__0_0.distcp", "__1_0.distcp")}  # fmt: skip
    others = {"complete", "rng_state_0.pth", "rng_state_1.pth", "scheduler.pt"}
    assert files == parts | others | {"trainer_state.json"}
    sizes = [(newest / "optimizer_0" / f"__{rank}_0.distcp").stat().st_size for rank in (0, 1)]
    assert min(sizes) > 0.7 * max(sizes)


def relative_error(runs: Path, name: str) -> float:
    """Distance of a run's first gradient from that of one pass in fp32, over the latter's norm."""
    found, exact = (torch.load(runs / f"{n}.pt") for n in (name, "fp32-1"))
    squares = [((found[n] - g).square().sum(), g.square().sum()) for n, g in exact.items()]
    return (sum(e for e, _ in squares) / sum(g for _, g in squares)).sqrt().item()


@pytest.mark.slow
def test_gradients_of_many_passes_are_summed_in_fp32(runs):
    """As by one pass in fp32; in bf16 no further off than one pass, as summed in bf16 they were."""
    assert relative_error(runs, "fp32-12") < 1e-5
    one, many, before = (relative_error(runs, f"bf16-{n}") for n in ("1", "12", "12-defaults"))
    assert 0 < many < one
    assert many < 0.85 * before


@pytest.mark.slow
def test_gradients_are_in_parts_after_each_pass(runs):
    """They are where the parameters are; those that are left whole to the last pass are not."""
    assert (runs / "bf16-12.txt").read_text() == "torch.float32"
    assert (runs / f"{DEFAULTS}.txt").read_text() == "none"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_empty_model_is_a_loaded_one_but_for_its_values(tiny_model, tmp_path, dtype):
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "head_dim": 8,
             "num_attention_heads": 4, "num_key_value_heads": 1, "vocab_size": 96}  # fmt: skip
    Gemma3ForCausalLM(Gemma3TextConfig(**sizes)).save_pretrained(tmp_path)
    for directory in (tiny_model, tmp_path):
        model = Model(name=str(directory))
        loaded, empty = load_base(model, dtype), empty_base(model, dtype)
        for one, other in zip(loaded.named_parameters(), empty.named_parameters(), strict=True):
            assert (one[0], one[1].shape, one[1].dtype) == (
                other[0],
                other[1].shape,
                other[1].dtype,
            )
        for one, other in zip(loaded.named_buffers(), empty.named_buffers(), strict=True):
            assert one[0] == other[0]
            assert torch.equal(one[1], other[1])
        tied = [m.get_input_embeddings().weight is m.get_output_embeddings().weight
                for m in (loaded, empty)]  # fmt: skip
        assert tied[0] == tied[1]
        assert len({p.data_ptr() for p in empty.parameters()}) == len(list(empty.parameters()))


def test_an_empty_model_takes_no_memory(tmp_path):
    """400 MB of parameters, of a config without weights beside it."""
    from transformers import LlamaConfig

    (tmp_path / "model.safetensors").touch()
    LlamaConfig(hidden_size=1024, intermediate_size=2048, num_hidden_layers=2, vocab_size=40_000,
                num_attention_heads=8, architectures=["LlamaForCausalLM"],
                ).save_pretrained(tmp_path)  # fmt: skip

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    before = resident()
    empty = empty_base(Model(name=str(tmp_path)), torch.float32)
    assert sum(p.nbytes for p in empty.parameters()) > 400e6
    assert resident() - before < 40e6


def test_what_the_first_rank_finds_wrong_ends_all(monkeypatch):
    sent: list = []

    def broadcast(values: list) -> None:
        if sent:
            values[:] = sent
        sent[:] = values

    monkeypatch.setattr(torch.distributed, "broadcast_object_list", broadcast)

    def load(empty: bool) -> str:
        if not empty:
            raise BadInput("model.name: no weights")
        raise AssertionError("the other ranks wait for the first")

    for rank in (0, 1):
        arguments = SimpleNamespace(process_index=rank, world_size=2, fsdp=True)
        with pytest.raises(BadInput, match="no weights"):
            ranks.load_on_ranks(arguments, load)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("version: 1", r"version: found 1, expected 2"),
        ("state_dict_type: FULL_STATE_DICT", "expected 'SHARDED_STATE_DICT'"),
        ("cpu_ram_efficient_loading: false", "found False, expected True"),
        ("activation_checkpointing: true", "unknown key"),
    ],
)
def test_a_launcher_config_does_not_choose_what_is_built_on(tmp_path, text, said):
    from lib.config.schema import Train

    path = tmp_path / "fsdp.yaml"
    path.write_text(text + "\n")
    with pytest.raises(BadInput, match=said):
        ranks.fsdp_config(Train(processes=2, fsdp=str(path)))
