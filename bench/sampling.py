"""Eight samples a question by one request and one prefill, or by eight requests: time with vLLM.

    python -m bench.sampling [--model .cache/SmolLM2-135M-Instruct] [--source FILE] [--tokens 48]

Four ways: eight requests or one with n = 8, each with prefix caching (as stage 3 samples) or
not. Each engine runs in a separate process, its start not counted, and every run begins with an
empty cache. Seeds are those of stage 3, so that all ways draw the same texts but for rounding; the
table says what share is equal. Prompt tokens are those that the scheduler had computed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from lib.config.grid import aligned

SAMPLES = 8
WAYS = {
    "eight requests": (False, False),
    "n = 8": (True, False),
    "eight requests, heads kept": (False, True),
    "n = 8, heads kept": (True, True),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.sampling", description=__doc__.split("\n")[0])
    parser.add_argument("--model", default=".cache/SmolLM2-135M-Instruct", metavar="DIR")
    parser.add_argument("--source", default="synthetic", help="problems, as data.source of a study")
    parser.add_argument("--questions", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=48, help="infer.max_new_tokens")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each; the median counts")
    parser.add_argument("--caching", choices=("0", "1"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.caching:
        print(json.dumps(measure(args, args.caching == "1")))
        return
    found: dict[str, Any] = {}
    for caching in ("0", "1"):
        command = [sys.executable, "-m", "bench.sampling", *sys.argv[1:], "--caching", caching]
        # In this process its scheduler can be watched, on a GPU too.
        environ = {**os.environ, "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environ)
        found |= json.loads(done.stdout.splitlines()[-1])
    plain = found["eight requests"]
    rows = [["", "seconds", "ratio", "prompt tokens computed", "ratio", "texts as in the first"]]
    for way in WAYS:
        one = found[way]
        pairs = list(zip(one["texts"], plain["texts"], strict=True))
        rows.append(
            [
                way,
                f"{one['seconds']:.2f}",
                f"{plain['seconds'] / one['seconds']:.2f}",
                f"{one['prefilled']:,}",
                f"{plain['prefilled'] / one['prefilled']:.2f}",
                f"{100 * sum(a == b for a, b in pairs) / len(pairs):.0f} %",
            ]
        )
    total = f"{plain['prompts']:,} prompt tokens"
    print(f"{args.questions} questions, {total}; {SAMPLES} samples each of at most {args.tokens} "
          f"tokens, {args.precision}\n")  # fmt: skip
    print(aligned(rows))


def measure(args: argparse.Namespace, caching: bool) -> dict[str, Any]:
    """Seconds, computed prompt tokens and texts of the ways of one engine."""
    from lib.config.schema import Infer, Model
    from lib.inference.serving import start_engine
    from lib.models.load import load_tokenizer

    model = Model(name=args.model, max_length=1024)
    prompts, seeds = read_prompts(args, load_tokenizer(model))
    settings = Infer(
        precision=args.precision, max_new_tokens=args.tokens, temperature=0.8, samples=SAMPLES
    )
    engine: Any = start_engine(model, settings, Path(args.model), 1024 + args.tokens, caching)
    engine.generate(prompts[:2], settings)  # the first run of any engine is slower
    found = {}
    for way, (together, kept) in WAYS.items():
        if kept == caching:
            runs = [run(engine, prompts, seeds, settings, together) for _ in range(args.repeat)]
            seconds = statistics.median(one["seconds"] for one in runs)
            found[way] = runs[-1] | {"seconds": seconds, "prompts": sum(map(len, prompts))}
    return found


def read_prompts(args: argparse.Namespace, tokenizer: Any) -> tuple[list[list[int]], list[int]]:
    """Rendered questions of the source, and the first seed of each."""
    from lib.data.encoding import encode_prompt
    from lib.inference.predict import first_seed
    from lib.tasks.math.problems import read_problems
    from lib.tasks.math.schema import INSTRUCTION, Data

    problems, _ = read_problems(Data(source=args.source), args.source, "train", "b", args.questions)
    some = problems[: args.questions]
    asked = [{"role": "user", "content": f"{INSTRUCTION}\n\n{one.question}"} for one in some]
    prompts = [encode_prompt(tokenizer, [message]) for message in asked]
    return prompts, [first_seed(one.id) for one in some]


def run(engine: Any, prompts: list, seeds: list[int], settings: Any, together: bool) -> dict:
    """One run from an empty cache."""
    from vllm.v1.core.sched.scheduler import Scheduler

    from lib.inference.base import Draw

    engine.llm.reset_prefix_cache()
    counts = [SAMPLES] * len(prompts)
    if not together:
        prompts = [prompt for prompt in prompts for _ in range(SAMPLES)]
        seeds = [seed + i for seed in seeds for i in range(SAMPLES)]
        counts = [1] * len(prompts)
    prefilled, plan = 0, Scheduler.schedule

    def counted(scheduler: Any, *given: Any) -> Any:
        nonlocal prefilled
        output = plan(scheduler, *given)
        new = {one.req_id for one in output.scheduled_new_reqs}
        prefilled += sum(n for i, n in output.num_scheduled_tokens.items() if i in new or n > 1)
        return output

    Scheduler.schedule = counted
    draws = [Draw(settings.temperature, *one) for one in zip(seeds, counts, strict=True)]
    start = time.perf_counter()
    texts = engine.generate(prompts, settings, draws)
    seconds = time.perf_counter() - start
    Scheduler.schedule = plan
    flat = [text for some in texts for text in some]
    return {"seconds": seconds, "prefilled": prefilled, "texts": flat}


if __name__ == "__main__":
    main()
