"""What it saves to make logits only where labels are: time and memory of a training step.

    python -m bench.train_step [--model .cache/SmolLM2-135M-Instruct] [--tokens 512] [--batch 4]

The model is SmolLM2-135M-Instruct (`make setup` unpacks it), full tuning in fp32 on random tokens,
answers of ten. Each way runs in a separate process; peak memory is that process's, as the kernel
counts it. The loss of the last step is shown beside them: both ways compute the same.
`source sbatch/env.sh` first gives the process the memory settings of jobs.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

from lib.config.grid import aligned

ANSWER = 10  # tokens
WAYS = {"all": "logits at every position", "labels": "logits where labels are"}


def main() -> None:
    parser = argparse.ArgumentParser(
        "python -m bench.train_step", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--model", default=".cache/SmolLM2-135M-Instruct", metavar="DIR")
    parser.add_argument("--tokens", type=int, default=512, help="of prompt and answer together")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=5, help="timed, after one that is not")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.way:
        print(json.dumps(measure(args)))
        return
    found = {way: in_process(way) for way in WAYS}
    plain = found["all"]
    rows = [["", "seconds a step", "ratio", "peak (MiB)", "ratio", "loss"]]
    for way, label in WAYS.items():
        one = found[way]
        rows.append(
            [
                label,
                f"{one['seconds']:.2f}",
                f"{plain['seconds'] / one['seconds']:.2f}",
                f"{one['peak']:.0f}",
                f"{plain['peak'] / one['peak']:.2f}",
                f"{one['loss']:.6f}",
            ]
        )
    print(f"{args.tokens} tokens, batch {args.batch}; with model alone {plain['loaded']:.0f} MiB\n")
    print(aligned(rows))


def in_process(way: str) -> dict[str, float]:
    """Measure one way in a new process."""
    command = [sys.executable, "-m", "bench.train_step", *sys.argv[1:], "--way", way]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Seconds a step (median), peak memory and loss of one way, in this process."""
    import torch

    from lib.config.schema import Model
    from lib.logps import label_logps
    from lib.models.load import load_base
    from lib.training.batches import collate_answers
    from lib.training.responses import Responses

    torch.manual_seed(0)
    model = load_base(Model(name=args.model), torch.float32)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    loaded = peak()
    ids = torch.randint(model.config.vocab_size, (args.batch, args.tokens)).tolist()
    rows = [
        {"input_ids": row, "prompt_length": args.tokens - ANSWER, "decision": (0, 0), "group": None}
        for row in ids
    ]
    batch = collate_answers(rows, 0, None, packed=False)
    score = Responses(model)

    def logps() -> torch.Tensor:
        if args.way == "labels":
            return score(model, batch)
        logits = model(input_ids=batch["input_ids"], use_cache=False).logits
        return label_logps(logits[batch["responses"]], batch["labels"])

    seconds = []
    for _ in range(args.steps + 1):
        start = time.perf_counter()
        loss = -logps().sum() / len(batch["labels"])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - start)
    middle = statistics.median(seconds[1:])
    return {"seconds": middle, "peak": peak(), "loaded": loaded, "loss": loss.item()}


def peak() -> float:
    """Most memory that this process has held so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
