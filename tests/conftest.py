"""What several tests share: a tiny model, small studies, stages run in process, a small disk."""

import contextlib
import copy
import gc
import io
import os
import resource
import runpy
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import hypothesis
import pytest
import yaml

from bench.random_model import SENTENCES, save_llama
from lib.judging import retries
from lib.runs.files import read_json, write_json
from tests.judge_server import Server

os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported: no test asks a hub
# Read when torch is imported. Models are tiny, tests run side by side, and processes that are
# compared to the bit have to add in the same order.
os.environ["OMP_NUM_THREADS"] = "1"

# A busy machine fails no test: hypothesis would, where an example or its making takes long.
hypothesis.settings.register_profile(
    "lossgrid", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("lossgrid")

REPOSITORY = Path(__file__).parents[1]
# The studies of this repository. Others in configs/ are their user's: no test looks at them.
SHIPPED = [
    REPOSITORY / "configs" / f"{name}.yaml"
    for name in ("demo", "dpo_search", "gsm8k_qlora", "gsm_symbolic", "iw_lora", "iw_lora_search",
                 "td_dpo", "td_dpo_search", "weighted_loss")
]  # fmt: skip
SMALL = 1 << 18  # bytes of the small disk

STUDY = {
    "results_dir": "results",
    "tasks": ["decision"],
    "model": {"name": "nobody/nothing", "max_length": 128},
    "data": {"source": "synthetic", "ratio": "1:1", "train_rows": 24, "test_rows": 8},
    "train": {
        "tuning": "full",
        "epochs": 1,
        "batch_size": 8,
        "micro_batch": 4,
        "learning_rate": 0.001,
        "precision": "fp32",
        "gradient_checkpointing": False,
    },
    "infer": {"engine": "hf", "precision": "fp32", "max_new_tokens": 4},
    "evaluate": {"baseline": {"variant": "baseline"}, "resamples": 100},
    "axes": {"gamma": "train.gamma"},
    "variants": {
        "baseline": {"train.weighted_class": None},
        "accept": {"train.weighted_class": "accept"},
        "reject": {"train.weighted_class": "reject"},
    },
    "grid": [
        {"variant": "baseline", "gamma": 1},
        {"variant": ["accept", "reject"], "gamma": 2},
    ],
    "trial": {"train.batch_size": 4},
}


class Ended(NamedTuple):
    """How a stage ended, and what it said."""

    code: int
    out: str
    err: str


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files that hold slow tests first: workers that share out files end at about one time."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def _no_power_cut() -> Iterator[None]:
    """Do not wait for the disk: a run of training asks it to flush dozens of files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _descriptor: None)
        yield


@pytest.fixture(scope="module", autouse=True)
def _settled_heap() -> None:
    """Leave what is imported out of collections: a full one takes a second, and engines ask often.

    Once a module, when nothing of the one before is there that could not be freed later.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a two-layer Llama with a byte-level BPE tokenizer and ChatML."""
    directory = tmp_path_factory.mktemp("models") / "tiny"
    save_llama(
        directory,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=512,
    )
    return directory


@pytest.fixture(scope="session")
def short_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of the first layers of SmolLM2 with its tokenizer, for vLLM to serve."""
    from safetensors.torch import load_file, save_file

    real, layers = REPOSITORY / ".cache" / "SmolLM2-135M-Instruct", 3
    if not real.is_dir():
        pytest.skip(f"{real} is missing: `make setup` unpacks it")
    directory = tmp_path_factory.mktemp("models") / "short"
    shutil.copytree(real, directory, ignore=shutil.ignore_patterns("*.safetensors"))
    config = read_json(directory / "config.json") | {"num_hidden_layers": layers}
    write_json(directory / "config.json", config)
    kept = {
        name: weight
        for name, weight in load_file(real / "model.safetensors").items()
        if not name.startswith("model.layers.") or int(name.split(".")[2]) < layers
    }
    save_file(kept, directory / "model.safetensors", {"format": "pt"})
    return directory


@pytest.fixture(scope="session")
def tokenizer(tiny_model: Path) -> Any:
    """Return the tokenizer of the tiny model."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model)


@pytest.fixture(scope="session")
def tiny_encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return directories of a two-layer BERT and a two-layer DeBERTaV3, neither with a classifier.

    The DeBERTa uses its query and key projections twice in a layer, as DeBERTaV3-base does.
    """
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import (
        BertConfig,
        BertModel,
        DebertaV2Config,
        DebertaV2Model,
        PreTrainedTokenizerFast,
    )

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    made = Tokenizer(models.BPE(unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(SENTENCES * 2, trainer)
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
    size = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 128,
        "pad_token_id": 0,
    }
    deberta = {
        "relative_attention": True,
        "position_buckets": 8,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "type_vocab_size": 0,
        "pooler_hidden_size": 32,
    }
    root, found = tmp_path_factory.mktemp("encoders"), {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for name, model in (
            ("bert", BertModel(BertConfig(**size))),
            ("deberta", DebertaV2Model(DebertaV2Config(**size, **deberta))),
        ):
            found[name] = root / name
            model.save_pretrained(found[name])
            tokenizer.save_pretrained(found[name])
    return found


def study_text(changes: Mapping[str, Any], drop: Sequence[str]) -> str:
    """Return STUDY as YAML, with the values at dotted keys changed or dropped."""
    content = copy.deepcopy(STUDY)
    for dotted, value in [*changes.items(), *((key, None) for key in drop)]:
        *sections, last = dotted.split("/" if "/" in dotted else ".")
        inner = content
        for section in sections:
            inner = inner.setdefault(section, {})
        if dotted in drop:
            del inner[last]
        else:
            inner[last] = value
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


@pytest.fixture
def write_study(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes a small valid study and returns its path.

    `changes`: dotted key → value (with slashes where a key holds dots: "variants/accept/train.x");
    `drop`: keys left out. Results go below tmp_path.
    """

    def write(
        changes: Mapping[str, Any] | None = None, drop: Sequence[str] = (), name: str = "small"
    ) -> str:
        path = tmp_path / f"{name}.yaml"
        results = {"results_dir": str(tmp_path / "results")}
        path.write_text(
            study_text(results | copy.deepcopy(dict(changes or {})), drop), encoding="utf-8"
        )
        return str(path)

    return write


@pytest.fixture(scope="session")
def prepared_data(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return results/small/data of the small study on the tiny model, made once."""
    from lib.config.load import load_study
    from lib.data.preparation import prepare

    root = tmp_path_factory.mktemp("prepared")
    changes = {"model.name": str(tiny_model), "results_dir": str(root / "results")}
    (root / "small.yaml").write_text(study_text(changes, ()), encoding="utf-8")
    study = load_study(root / "small.yaml")
    with contextlib.redirect_stderr(io.StringIO()):
        prepare(study)
    return study.directory / "data"


@pytest.fixture
def prepared_study(
    write_study: Callable[..., str], tiny_model: Path, prepared_data: Path, tmp_path: Path
) -> str:
    """Return the path of a small study on the tiny model whose data are there."""
    shutil.copytree(prepared_data, tmp_path / "results" / "small" / "data")
    return write_study({"model.name": str(tiny_model)})


@pytest.fixture
def fake() -> SimpleNamespace:
    """Return `trained` and `predicted`: they leave what stages 2 and 3 leave, made up."""
    from lib.data.prepared import train_identity
    from lib.data.testsets import predict_identity, rows_of
    from lib.runs.directory import mark_done
    from lib.runs.files import write_jsonl

    def trained(study: Any, point: Any, how: str = "done") -> None:
        write_jsonl(point.directory / "train.jsonl", [{"step": 1, "loss": 0.7}])
        files = ["train.jsonl", "model"]
        mark_done(point.directory, "train", train_identity(study, point), files,
                  status=how, step=1)  # fmt: skip

    def predicted(study: Any, point: Any, output: str = r"\boxed{Accept}") -> None:
        made = [
            {"id": row["id"], "prompt_hash": "0", "outputs": [output], "scores": [-0.5, -1.5]}
            for row in rows_of(study, study.config.tasks[0])
        ]
        write_jsonl(point.directory / "predictions.jsonl", made)
        mark_done(point.directory, "infer", predict_identity(study, point, study.config.tasks[0]),
                  ["predictions.jsonl"], rows=len(made))  # fmt: skip

    return SimpleNamespace(trained=trained, predicted=predicted)


@pytest.fixture
def run_stage(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> Callable[..., Ended]:
    """Return a function that runs `stages.<module>` with a command line, in this process."""
    from stages.command import run

    def run_here(module: str, *words: str) -> Ended:
        main = import_module(f"stages.{module}").main
        monkeypatch.setattr(sys, "argv", [module, *map(str, words)])
        capfd.readouterr()
        try:
            code = run(main)
        except SystemExit as ended:
            code = ended.code
        return Ended(code, *capfd.readouterr())

    return run_here


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Return a judge that does as its `script` says; tries follow each other at once."""
    monkeypatch.setattr(retries, "FIRST_PAUSE", 0.01)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture
def run_process() -> Callable[..., Ended]:
    """Return a function that runs `python -m …` as a process of its own, in the repository."""

    def run_there(*words: str, **environ: str) -> Ended:
        done = subprocess.run(
            [sys.executable, "-m", *map(str, words)],
            cwd=REPOSITORY,
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            timeout=120,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return run_there


@pytest.fixture(scope="session")
def processes() -> ForkServerContext:
    """Return what starts processes: each is forked from a server that has imported all it needs.

    Spawned, each would import for 10 s; forked from this process, it would lack torch's threads,
    and tests before may have changed how this process rounds (vLLM's engine does).
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.training.conftest"])
    return context


def as_started(*words: str, **environ: str) -> None:
    """Do as `python -m` with these words does, in one of `processes`."""
    os.environ |= environ
    sys.argv = list(words)
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)


def logged_as_started(log: Path, *words: str, **environ: str) -> None:
    """Do as `python -m` with these words does, what is said on standard error going to `log`."""
    with log.open("w") as file:
        os.dup2(file.fileno(), 2)
        as_started(*words, **environ)


@pytest.fixture
def snapshot() -> Callable[[Path], dict[str, bytes | None]]:
    """Return a function that maps every path below a directory to its bytes, None for folders."""

    def take(directory: Path) -> dict[str, bytes | None]:
        return {
            str(path.relative_to(directory)): path.read_bytes() if path.is_file() else None
            for path in sorted(directory.rglob("*"))
        }

    return take


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a directory that takes SMALL bytes: a tmpfs, else a limit on the size of a file."""
    directory = tmp_path / "disk"
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", str(directory)]
    mounted = None
    if os.geteuid() == 0 and shutil.which("mount"):
        mounted = subprocess.run(mount, capture_output=True, text=True)
    if mounted is not None and mounted.returncode == 0:
        yield directory
        subprocess.run(["umount", "-l", str(directory)], check=True)
        return
    reason = mounted.stderr.strip() if mounted else "not root"
    print(f"no tmpfs ({reason}): files are limited by RLIMIT_FSIZE instead")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL, limits[1]))
    yield directory
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)
