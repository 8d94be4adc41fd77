"""The keys of a study file: type, default and meaning of each.

Keys of `data:` belong to the task (`lib/tasks/<task>/schema.py`); all others are here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from lib.config.errors import listed, nearest
from lib.config.types import Count, NotNegative, PathText, Positive, Seed, Share, Strict, Url
from lib.losses import OBJECTIVES, LossKeys

# Keys that change how a stage runs but not its results, so they are not part of their identity.
RUNTIME_KEYS: frozenset[str] = frozenset(
    {
        "train.micro_batch",
        "train.micro_tokens",
        "train.log_steps",
        "train.checkpoint_steps",
        "train.checkpoints_kept",
        "train.gradient_checkpointing",
        "train.processes",
        "train.fsdp",
        "infer.batch_size",
        "infer.gpu_memory",
    }
)

# Keys that came later → the value at which results are those from before, left out of identities.
ADDED: dict[str, Any] = {"infer.adapters": "auto", "infer.base": "full"}

# Keys that were renamed → their new names. Identities of results keep the old names.
RENAMED = {"train.report_to": "tracking", "train.sweep": "train.checkpoint_candidates",
           "evaluate.thresholds": "claims: [{metric: …, of: {variant: …}, above: …}]"}  # fmt: skip


class Model(Strict):
    """The model that every point starts from."""

    name: PathText  # hub id, or a directory with config.json, weights and tokenizer
    revision: str | None = None  # commit or tag on the hub
    trust_remote_code: bool = False  # run the model's own Python; off unless you have read it
    max_length: Annotated[int, Field(ge=16)] = 4096  # tokens of prompt and answer together
    adapter: PathText | None = None  # directory of an adapter: evaluated, nothing is trained


class Lora(Strict):
    """Low-rank adapters (Hu et al., arXiv 2106.09685)."""

    r: Count = 8
    alpha: Positive = 16
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    target_modules: list[str] | Literal["all-linear"] = "all-linear"
    layers: list[int] | None = None  # only these decoder layers; null: every one


class Importance(Strict):
    """A penalty on adapters, heavier the less important the adapted matrix is to the loss.

    α Σ (1 − w)^β ‖Δ‖²_F, w from the norms of the base matrices' gradients before training.
    """

    alpha: NotNegative = 0.0  # 0: no penalty, and no calibration
    beta: NotNegative = 1.0
    batches: Count = 150  # of the calibration
    batch_size: Count | None = None  # rows of each, in one forward pass; null: train.batch_size
    normalise: Literal["sum", "max"] = "sum"  # w is s divided by its sum or its maximum
    freeze_lora_during_warmup: bool = True  # false: adapters are updated during calibration
    warmup_learning_rate: Positive = 1e-6  # of those steps


class Adalora(Strict):
    """Adapters whose ranks are reallocated by importance (AdaLoRA, arXiv 2303.10512)."""

    init_r: Count = 12  # rank of each matrix at the start
    target_r: Count = 8  # mean rank over the matrices at the end
    tinit: Share = 0.1  # share of all steps before the first cut
    tfinal: Share = 0.3  # share of all steps after the last one
    delta_t: Count = 10  # steps from one cut to the next
    beta1: Annotated[float, Field(gt=0, lt=1)] = 0.85  # smoothing of the importance
    beta2: Annotated[float, Field(gt=0, lt=1)] = 0.85  # smoothing of its uncertainty
    orth_reg_weight: NotNegative = 0.5  # of the orthogonality regulariser

    @model_validator(mode="after")
    def _has_cuts(self) -> Adalora:
        if self.init_r <= self.target_r:
            raise ValueError("init_r above target_r, so that ranks can be cut")
        return self


class Train(LossKeys, Strict):
    """How a point is trained; the keys of its loss are in `lib.losses`."""

    tuning: Literal["full", "lora", "qlora", "adalora"] = "full"  # adalora: classification only
    lora: Lora = Lora()
    adalora: Adalora = Adalora()  # its α, dropout and modules are those of `lora`
    importance: Importance = Importance()

    epochs: NotNegative = 1.0  # 0: no training, the model as it is
    max_steps: Count | None = None  # optimizer steps; null: as many as `epochs` needs
    batch_size: Count = 16  # rows in one optimizer step, over all devices
    micro_batch: Count = 4  # rows of the greatest length that one forward pass on one device holds
    micro_tokens: Count | None = None  # tokens that it holds; null: those of `micro_batch` rows
    learning_rate: Positive = 1e-5
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: Share = 0.1  # share of all steps
    weight_decay: NotNegative = 0.0
    clip: Positive = 1.0  # largest norm of the gradient
    precision: Literal["auto", "bf16", "fp32"] = "bf16"  # auto: fp32 where bf16 is no faster
    gradient_checkpointing: bool = True
    seed: Seed = 42

    eval_steps: Count | None = None  # steps between two validations; null: only at the end
    validations: Count | None = None  # instead of eval_steps: number of validations, evenly spaced
    # The weights with the best validation (answers: by loss; else by accuracy), or the last ones.
    keep: Literal["best", "last"] = "last"
    # Checkpoints kept at even intervals; stage 3 selects the one that answers most validation rows.
    checkpoint_candidates: Count | None = None
    diverge_norm: Positive | None = None  # a gradient norm above this …
    diverge_steps: Count = 10  # … for this many logged steps in a row ends a run as diverged

    log_steps: Count = 1
    checkpoint_steps: Count = 100
    checkpoints_kept: Count = 2  # while a point trains; of several, one may be damaged
    processes: Count = 1  # ranks that train one point together
    fsdp: PathText | None = None  # launcher config for sharding over the ranks; null: plain DDP

    @field_validator("objective")
    @classmethod
    def _objective(cls, value: str) -> str:
        if value not in OBJECTIVES:
            raise ValueError(f"one of {listed(OBJECTIVES)}{nearest(value, OBJECTIVES)}")
        return value


class Infer(Strict):
    """How answers are generated."""

    # auto: vllm on a GPU, hf without one and over a 4-bit base.
    engine: Literal["auto", "vllm", "hf"] = "auto"
    # Adapters are merged into a copy of the base, or served beside it; auto: served on a GPU.
    adapters: Literal["auto", "merge", "serve"] = "auto"
    # What adapters that were trained over NF4 are evaluated over: the base as it is, or in NF4.
    base: Literal["full", "nf4"] = "full"
    precision: Literal["auto", "bf16", "fp32"] = "bf16"  # auto: fp32 where bf16 is no faster
    max_new_tokens: Count = 16
    temperature: NotNegative = 0.0  # 0: greedy
    # Answers sampled per prompt at `temperature`, beside the greedy one; for tasks with voting.
    samples: Annotated[int, Field(ge=0)] = 0
    rows: Count | None = None  # only the first rows of each test set; null: all
    # Prompts per call of the engine; predictions are saved after each batch.
    batch_size: Count = 512
    # Share of a GPU's memory that vLLM may use; prompt log-probabilities need the rest.
    gpu_memory: Annotated[float, Field(gt=0, le=1)] = 0.85


class Judge(Strict):
    """The model that judges answers: `rating` at an OpenAI-compatible URL, other kinds run locally.

    `reward` is a sequence classifier whose one logit is the score. Without a model, answers are not
    judged.
    """

    kind: Literal["rating", "safe_unsafe", "qwen3guard", "llama_guard", "reward"] = "rating"
    url: Url | None = None  # rating: such as http://localhost:8000/v1
    model: PathText | None = None  # rating: its name at the server; else a hub id or a directory
    revision: str | None = None  # part of a judgment's identity
    trust_remote_code: bool = False  # of local judges: run the model's own Python
    prompt: PathText | None = None  # file with the judge's guidelines
    api_key_env: str | None = None  # *name* of the environment variable that holds the key
    max_calls: Count = 1000  # of the study: over all tasks and reruns, with retries
    concurrency: Count = 8  # concurrent calls of one task
    timeout: Positive = 90  # seconds per call; at a stop SLURM leaves 120 for pending ones
    retries: Annotated[int, Field(ge=0)] = 5  # per call, with exponential backoff
    max_tokens: Count = 1024  # per judgment

    @model_validator(mode="after")
    def _both(self) -> Judge:
        if self.kind != "rating" and self.url is not None:
            raise ValueError(f"no url: a judge of the kind {self.kind} is loaded here, from model")
        if self.kind == "rating" and (self.url is None) != (self.model is None):
            raise ValueError("url and model together, or neither")
        return self


class Evaluate(Strict):
    """How points are measured and compared."""

    baseline: dict[str, Any]  # axis values of the point to compare all others with
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95  # of confidence intervals
    resamples: Annotated[int, Field(ge=100)] = 1000  # of the bootstrap
    bins: Annotated[int, Field(ge=2)] = 15  # of the calibration error
    seed: Seed = 0
    draws: Annotated[list[Count], Field(min_length=1)] = [1, 2, 4, 8]  # samples per vote
    full_test: bool = False  # the whole test set, where a task uses a sample by default


class Resources(Strict):
    """SLURM resources of one array task."""

    gpus: Annotated[int, Field(ge=0)] = 1
    cpus: Count = 8
    memory: str = "64G"
    time: str = "04:00:00"
    # Seconds before the time limit when SLURM asks a task to stop: a training step and a checkpoint
    # have to fit.
    warning: Annotated[int, Field(ge=1, le=65535)] = 120
    points: Count = 1  # points per task, run one after the other
    throttle: Count | None = None  # tasks of an array that run at once, at most
    # Arrays queued beforehand, each for what the one before has left undone: for partitions where
    # preemption cancels jobs (PreemptMode=CANCEL).
    successors: Annotated[int, Field(ge=0, le=20)] = 0
    extra: list[str] = []  # additional sbatch options, such as --partition=gpu

    @field_validator("time", mode="before")
    @classmethod
    def _time_is_text(cls, value: Any) -> Any:
        if isinstance(value, int):
            raise ValueError('a quoted time such as "04:00:00"')
        return value


class TrainResources(Resources):
    """The same of training, with larger defaults."""

    gpus: Annotated[int, Field(ge=0)] = 4
    cpus: Count = 16
    memory: str = "128G"
    time: str = "48:00:00"
    # Of a task's points, how many are trained at once, by processes that share its device and CPUs.
    parallel: Count = 1


class InferResources(Resources):
    """The same of inference: points of a task share an engine, which takes minutes to start."""

    # With as many as in training, a point is predicted as soon as it is trained.
    points: Count = 4


class EvaluateResources(Resources):
    """The same of stages 4 and 5, one job without a GPU."""

    gpus: Annotated[int, Field(ge=0)] = 0
    cpus: Count = 2
    memory: str = "16G"
    time: str = "01:00:00"


class Slurm(Strict):
    """Resources of the stages that run on compute nodes."""

    train: TrainResources = TrainResources()
    infer: InferResources = InferResources()
    evaluate: EvaluateResources = EvaluateResources()


class Config(Strict):
    """The config of a point; `validation.config_type` adds the sections of tasks."""

    tasks: Annotated[list[str], Field(min_length=1)]
    skip: list[str] = []  # tasks to leave out of stages 3 and 4; existing results stay
    model: Model
    data: Any
    train: Train = Train()
    infer: Infer = Infer()
    judge: Judge = Judge()
    evaluate: Evaluate
    slurm: Slurm = Slurm()
    # Tracker that gets rows of train.jsonl while a point trains; `make track` works without this.
    tracking: Literal["none", "trackio", "wandb", "tensorboard", "mlflow"] = "none"

    @field_validator("skip")
    @classmethod
    def _skip(cls, value: list[str], info: ValidationInfo) -> list[str]:
        tasks = info.data.get("tasks", [])
        if unknown := [name for name in value if name not in tasks]:
            raise ValueError(f"some of {listed(tasks)}{nearest(unknown[0], tasks)}")
        if set(value) >= set(tasks):
            raise ValueError(f"not all of {listed(tasks)}: no task would be left")
        return value
