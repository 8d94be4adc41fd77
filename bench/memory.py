"""What a point of each study needs, computed from its config: GPU and host memory, disk, hours.

    python -m bench.memory [configs/weighted_loss.yaml …] [--fill 0.5] [--utilisation 0.35]

Nothing is loaded or measured: every figure follows from the shapes below and the study's `model`
and `train` sections. Memory is the peak of one GPU at `model.max_length`, every row and every
answer as long as that, in GiB (an 80 GB H100 has 79.6); the CUDA context and fragmentation take
some 2 more. Hours are an assumption, not a measurement: rows filled to the share `--fill` of the
length, and `--utilisation` of an H100's 989 TFLOP/s (SXM, bf16, dense; NVIDIA's data sheet). Small
models and short rows reach less. Validation, the reference of pairs, and loading are left out.
`stop` is what has to fit into `slurm.train.warning`, in seconds: one step and one checkpoint, at
WRITE and HASH, which are assumptions too. Host memory is that of weights and processes; what the
job has beyond it caches files, so that a checkpoint's checksums need not read them from the disk.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from lib.config.grid import aligned
from lib.config.load import load_study
from lib.config.schema import Config, Lora
from lib.losses import OBJECTIVES

GIB = 2**30
PEAK_FLOPS = 989e12
NF4 = 0.5 + 1 / 64 + 4 / (64 * 256)  # bytes a weight: 4 bits, an 8-bit scale for 64, fp32 for 256
PROCESS = 3 * GIB  # of the host's memory: torch, CUDA's libraries, pinned buffers; an assumption
WRITE, HASH = 1e9, 2e9  # bytes a second: to a shared file system, and of four checksums at a time
PIECE = 1 << 24  # logits that are held at once, see lib.training.responses
# Bytes a logit at the start of the backward pass: the head's bf16, the fp32 copy that the loss and
# accelerate ask for, its log-softmax, and the gradient of that.
LOGIT, LOGIT_BEFORE_LOSS = 2 + 4 + 4 + 4, 2
ATTENTION_MATRICES = 5  # of DeBERTa a layer: two position terms, scores, probabilities, dropout


@dataclass(frozen=True)
class Shape:
    """An architecture: what its config.json says. Encoders have no gate, and pool and classify."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool
    vectors: int  # parameters of a layer that are no matrix: norms and biases
    other: int  # those outside layers and embeddings
    encoder: bool = False

    def matrices(self) -> dict[str, tuple[int, int]]:
        """Module name → (inputs, outputs) of each matrix of a layer."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        if self.encoder:
            names = ("query_proj", "key_proj", "value_proj", "attention.output.dense")
            return {
                **dict.fromkeys(names, (self.hidden, self.hidden)),
                "intermediate.dense": (self.hidden, self.intermediate),
                "output.dense": (self.intermediate, self.hidden),
            }
        return {
            "q_proj": (self.hidden, queries),
            "k_proj": (self.hidden, keys),
            "v_proj": (self.hidden, keys),
            "o_proj": (queries, self.hidden),
            "gate_proj": (self.hidden, self.intermediate),
            "up_proj": (self.hidden, self.intermediate),
            "down_proj": (self.intermediate, self.hidden),
        }

    @property
    def linear(self) -> int:
        """Parameters of the layers' matrices."""
        return self.layers * sum(i * o for i, o in self.matrices().values())

    @property
    def embeddings(self) -> int:
        """Parameters of the embedding and of a head of its own."""
        return self.vocabulary * self.hidden * (1 if self.tied or self.encoder else 2)

    @property
    def parameters(self) -> int:
        """All parameters, a classifier's pooler and head left out."""
        return self.linear + self.layers * self.vectors + self.embeddings + self.other


def decoder(*sizes: int, tied: bool, qkv_bias: bool = False, gemma: bool = False) -> Shape:
    """hidden, intermediate, layers, heads, key-value heads, head size, vocabulary."""
    hidden, _, _, heads, kv_heads, head_dim, _ = sizes
    bias = (heads + 2 * kv_heads) * head_dim if qkv_bias else 0
    norms = 4 * hidden + 2 * head_dim if gemma else 2 * hidden
    return Shape(*sizes, tied, bias + norms, hidden)


# From the config.json of each on the hub; totals are those of its safetensors, see the tests.
SHAPES: dict[str, Shape] = {
    "Qwen/Qwen2.5-7B-Instruct": decoder(3584, 18944, 28, 28, 4, 128, 152064, tied=False,
                                        qkv_bias=True),
    "Qwen/Qwen2.5-1.5B-Instruct": decoder(1536, 8960, 28, 12, 2, 128, 151936, tied=True,
                                          qkv_bias=True),
    "meta-llama/Llama-2-7b-chat-hf": decoder(4096, 11008, 32, 32, 32, 128, 32000, tied=False),
    "google/gemma-3-1b-it": decoder(1152, 6912, 26, 4, 1, 256, 262144, tied=True, gemma=True),
    # Its language model: what is trained, see lib.models.load.language_model.
    "google/gemma-3-4b-it": decoder(2560, 10240, 34, 8, 4, 256, 262208, tied=True, gemma=True),
    ".cache/SmolLM2-135M-Instruct": decoder(576, 1536, 30, 9, 3, 64, 49152, tied=True),
    # Biases of six matrices and two norms; outside, 512 relative positions and two norms.
    "microsoft/deberta-v3-base": Shape(768, 3072, 12, 12, 12, 64, 128100, True,
                                       5 * 768 + 3072 + 4 * 768, 512 * 768 + 4 * 768, True),
}  # fmt: skip

# Training rows of data sets whose number is not in the config, from their cards on the hub.
ROWS = {"openai/gsm8k": 7473, "argilla/dpo-mix-7k": 6750, "mnli": 392702, "sst2": 67349,
        "rte": 2490}  # fmt: skip


def adapters(shape: Shape, lora: Lora, rank: int) -> int:
    """Parameters of adapters: rank × (inputs + outputs) of each adapted matrix."""
    of = lora.target_modules
    chosen = [
        i + o for name, (i, o) in shape.matrices().items() if of == "all-linear" or name in of
    ]
    layers = shape.layers if lora.layers is None else len(lora.layers)
    return layers * rank * sum(chosen)


def need(shape: Shape, config: Config) -> dict[str, float]:
    """Bytes that training a point takes, by what takes them; see `COLUMNS`.

    At the length limit, with all gradients and both of Adam's moments there. `forward` and
    `backward` are what each adds at its worst; the peak holds one of them.
    """
    train, kind = config.train, OBJECTIVES[config.train.objective].batch
    full, adalora = train.tuning == "full", train.tuning == "adalora"
    wide = kind == "classes"  # kept in fp32 whatever the precision, see lib.models.classifiers
    compute = 2 if train.precision == "bf16" else 4
    total, ranks = shape.parameters, train.processes if train.fsdp else 1
    head = shape.hidden**2 + 4 * shape.hidden if shape.encoder else 0  # pooler and classes
    rank = train.adalora.init_r if adalora else train.lora.r
    trained = (total if full else adapters(shape, train.lora, rank)) + head
    if full:
        weights = 4 * (total + head)
    elif train.tuning == "qlora":  # what is no matrix of a layer is kept in fp32 by PEFT
        weights = NF4 * shape.linear + 4 * (total - shape.linear) + 4 * trained
    else:
        weights = (4 if wide else compute) * total + 4 * trained
    length = config.model.max_length
    rows = train.micro_batch * (2 if kind == "pairs" else 1)
    if train.micro_tokens:
        rows = max(1, train.micro_tokens / length)
    tokens = rows * length
    stream = 2 if train.tuning == "lora" and not wide and compute == 2 else 4
    layer = layer_activations(shape, rows, length, stream, compute)
    if train.gradient_checkpointing:
        saved = shape.layers * tokens * shape.hidden * stream
    else:
        saved, layer = shape.layers * layer, 0
    # Autocast keeps its copies of trained weights, and of adapted fp32 ones, to a forward's end.
    copies = compute * trained if compute == 2 else 0
    if ranks > 1:  # gathered: embeddings and head for the whole step, two layers at a time
        copies = compute * (shape.embeddings + 2 * shape.linear / shape.layers)
    logits = 0 if kind == "classes" else min(tokens * shape.vocabulary, PIECE)
    forward = copies + layer + LOGIT_BEFORE_LOSS * logits
    backward = copies if ranks > 1 else compute * shape.vocabulary * shape.hidden
    backward += max(layer, LOGIT * logits)
    if ranks > 1 and full:  # the head's gradient, whole in the compute dtype and reduced in fp32
        backward += (compute + 4) * shape.vocabulary * shape.hidden
    read = 4 if full or wide else compute  # bytes a weight as it is read
    # One rank reads for those that share a model; 4-bit weights are read from files that all map.
    readers = 1 if ranks > 1 or train.tuning == "qlora" else train.processes
    return {
        "parameters": weights / ranks,
        "gradients": 4 * trained / ranks,
        "optimizer": 8 * trained / ranks,
        "activations": saved,
        "logits": LOGIT * logits,
        "peak": (weights + 12 * trained) / ranks + saved + max(forward, backward),
        # At the end the saved model is loaded once more, in fp32 (lib.training.saving).
        "host": max(readers * read, 4) * total + train.processes * PROCESS,
        "checkpoint": 12 * trained,
        "model": (4 if wide else compute) * total if full else 4 * trained,
    }


def layer_activations(shape: Shape, rows: float, length: int, stream: int, compute: int) -> float:
    """Bytes that one layer keeps for its backward pass; `stream`: bytes of the residual stream.

    Attention that keeps no matrix and no mask, as in Korthikanti et al., arXiv 2205.05198, section
    4, with a gated MLP; DeBERTa's keeps its own.
    """
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    norms = 2 * shape.hidden * (4 + 4 + stream)  # input and normalised in fp32, and the result
    attention = compute * (2 * (queries + 2 * keys) + queries + 2 * shape.hidden)
    mlp = compute * (shape.intermediate * (2 if shape.encoder else 4) + shape.hidden)
    square = rows * length**2
    matrices = ATTENTION_MATRICES * shape.heads * compute if shape.encoder else 0
    return rows * length * (norms + attention + mlp) + square * matrices


def flops(shape: Shape, config: Config, rows: int, fill: float) -> float:
    """Of training on `rows` rows: 2 a weight and token forwards, and backwards for each gradient.

    Frozen weights have one gradient (of their inputs), trained ones two; checkpointing is another
    forward. Attention's products too; the head not, which sees the answers alone.
    """
    train, length = config.train, fill * config.model.max_length
    passes = 1 + (2 if train.tuning == "full" else 1) + train.gradient_checkpointing
    sequences = 2 if OBJECTIVES[train.objective].batch == "pairs" else 1
    products = 4 * shape.layers * shape.heads * shape.head_dim * length
    causal = 1 if shape.encoder else 0.5
    tokens = train.epochs * rows * sequences * length
    return passes * tokens * (2 * shape.linear + causal * products)


def stop_seconds(checkpoint: float, work: float, config: Config, rows: int, use: float) -> float:
    """Of a step and a checkpoint of so many bytes; `work`: FLOPs of the run, at a share `use`."""
    train = config.train
    steps = max(1.0, train.epochs * rows / train.batch_size)
    step = work / steps / (train.processes * PEAK_FLOPS * use)
    return step + checkpoint * (1 / WRITE + 1 / HASH)


def training_rows(config: Config) -> int:
    """Rows that a point is trained on; 0 where only its data could say."""
    data = config.data
    known = ROWS.get(getattr(data, "task", None) or str(getattr(data, "source", None)), 0)
    return getattr(data, "train_rows", None) or known


COLUMNS = ("parameters", "gradients", "optimizer", "activations", "logits", "peak", "host",
           "checkpoint", "model")  # fmt: skip


def table(path: str, fill: float, utilisation: float) -> list[list[str]]:
    """One row for all points of a study that need the same."""
    found: dict[tuple[str, ...], list[str]] = {}
    for point in load_study(path).points():
        config = point.config
        shape = SHAPES.get(config.model.name)
        if config.train.epochs == 0:
            continue
        name = str(point.values.get("variant", point.name))
        if shape is None:
            raise SystemExit(f"{path}: model.name: {config.model.name} has no shape in SHAPES")
        sizes = need(shape, config)
        rows = training_rows(config)
        work = flops(shape, config, rows, fill)
        hours = work / (config.train.processes * PEAK_FLOPS * utilisation) / 3600
        stop = stop_seconds(sizes["checkpoint"], work, config, rows, utilisation)
        cells = tuple(f"{sizes[column] / GIB:.1f}" for column in COLUMNS)
        found.setdefault((config.model.name.rpartition("/")[2], config.train.tuning,
                          str(config.train.processes), str(config.train.micro_batch), *cells,
                          f"{stop:.0f}", f"{hours:.2g}" if rows else "?"),
                         []).append(name)  # fmt: skip
    return [[", ".join(dict.fromkeys(names)), str(len(names)), *cells]
            for cells, names in found.items()]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.memory", description=__doc__.split("\n")[0])
    parser.add_argument(
        "studies", nargs="*", default=sorted(map(str, Path("configs").glob("*.yaml")))
    )
    parser.add_argument("--fill", type=float, default=0.5, help="mean length over the limit")
    parser.add_argument("--utilisation", type=float, default=0.35, help="of 989 TFLOP/s")
    args = parser.parse_args()
    print(f"GiB at the length limit; hours assume rows of {args.fill:g} of it and "
          f"{args.utilisation:g} of an H100's {PEAK_FLOPS / 1e12:.0f} TFLOP/s")  # fmt: skip
    for path in args.studies:
        head = ["variants", "points", "model", "tuning", "GPUs", "micro", *COLUMNS, "stop", "hours"]
        print(f"\n{path}\n{aligned([head, *table(path, args.fill, args.utilisation)])}")


if __name__ == "__main__":
    main()
