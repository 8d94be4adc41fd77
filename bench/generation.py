"""Ways to answer prompts: engines, shared prefixes, adapters merged or served.

    python -m bench.generation [--model .cache/SmolLM2-135M-Instruct] [--shots 8] [--points 3]

Word problems of our own with fixed examples before them, as stage 1 writes them, greedy answers.
Every way runs in a separate process and is timed without its start, which is shown apart. Tokens
are those of the texts that came out. The adapters are LoRA of random weights on every linear layer:
each is merged and swapped into one engine, as stage 3 does it, or served beside the bare model.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from bench.jobs import leave, measured, timed
from lib.config.grid import aligned
from lib.config.load import load_study

WAYS = {
    "hf": "transformers.generate",
    "vllm": "vLLM",
    "cached": "vLLM, prefix caching",
    "merged": "{points} adapters, each merged and swapped in",
    "served": "{points} adapters, served",
}
RANK = 16


def main() -> None:
    parser = argparse.ArgumentParser(
        "python -m bench.generation", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--model", default=".cache/SmolLM2-135M-Instruct", metavar="DIR")
    parser.add_argument("--rows", type=int, default=32, help="prompts")
    parser.add_argument("--shots", type=int, default=8, help="examples before each question")
    parser.add_argument("--length", type=int, default=2048, help="model.max_length")
    parser.add_argument("--tokens", type=int, default=64, help="of an answer, at most")
    parser.add_argument("--points", type=int, default=3, help="adapters")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--job", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        run_job(json.loads(args.job))
        return
    with tempfile.TemporaryDirectory() as scratch:
        path = write_study(args, Path(scratch))
        timed([sys.executable, "-m", "stages.stage1_generate_datasets", str(path)])
        what = {"study": str(path), "points": args.points}
        found = {way: measured("bench.generation", {**what, "way": way}) for way in args.ways}
    print(f"\n{args.rows} prompts of {args.shots} examples, {next(iter(found.values()))['prompt']} "
          f"tokens on average; answers of at most {args.tokens}\n")  # fmt: skip
    rows = [["", "start (s)", "answers (s)", "tokens", "tokens a second", "ratio"]]
    for group in (("hf", "vllm", "cached"), ("merged", "served")):
        measurements = [(way, found[way]) for way in group if way in found]
        for way, one in measurements:
            rate, base = (o["tokens"] / o["answers"] for o in (one, measurements[0][1]))
            rows.append([WAYS[way].format(points=args.points), f"{one['start']:.1f}",
                         f"{one['answers']:.1f}", str(one["tokens"]), f"{rate:.0f}",
                         f"{rate / base:.2f}"])  # fmt: skip
    print(aligned(rows))


def write_study(args: argparse.Namespace, scratch: Path) -> Path:
    """The prompts as a study."""
    study = {
        "results_dir": str(scratch / "results"),
        "tasks": ["math"],
        "model": {"name": str(Path(args.model).absolute()), "max_length": args.length},
        "data": {"source": "synthetic", "train_rows": 4, "test_rows": args.rows,
                 "shots": args.shots, "shot_pool": args.shots},
        "infer": {"engine": "vllm", "max_new_tokens": args.tokens},
        "evaluate": {"baseline": {"variant": "base"}},
        "variants": {"base": {"train.epochs": 0}},
        "grid": [{"variant": "base"}],
    }  # fmt: skip
    path = scratch / "prompts.yaml"
    path.write_text(yaml.safe_dump(study), encoding="utf-8")
    return path


def run_job(what: dict[str, Any]) -> None:
    """Answer all prompts one way."""
    from lib.data.prepared import encoded_test
    from lib.inference.serving import start_engine
    from lib.models.load import load_tokenizer

    study = load_study(what["study"])
    point = study.point(0)
    model, infer = point.config.model, point.config.infer
    prompts = encoded_test(study, point)["input_ids"]
    room = model.max_length + infer.max_new_tokens
    begun = time.perf_counter()
    if what["way"] in ("merged", "served"):
        with tempfile.TemporaryDirectory() as scratch:
            adapters = make_adapters(model, what["points"], Path(scratch))
            serve = what["way"] == "served"
            start, answers, texts = with_adapters_in_turn(point, prompts, adapters, room, serve)
    else:
        settings = infer.model_copy(update={"engine": "hf" if what["way"] == "hf" else "vllm"})
        engine = start_engine(model, settings, Path(model.name), room, what["way"] == "cached")
        start, begun = time.perf_counter() - begun, time.perf_counter()
        texts = [text for [text] in engine.generate(prompts, infer)]
        answers = time.perf_counter() - begun
        engine.close()
    tokenizer = load_tokenizer(model)
    leave(what, start=start, answers=answers, prompt=round(sum(map(len, prompts)) / len(prompts)),
          tokens=sum(len(tokenizer(t, add_special_tokens=False).input_ids) + 1 for t in texts)
          )  # fmt: skip


def make_adapters(model: Any, count: int, scratch: Path) -> list[Path]:
    """LoRA adapters of random weights, small enough to leave answers in words."""
    import torch

    from lib.config.schema import Lora
    from lib.models.load import load_base, load_tokenizer
    from lib.models.trainable import with_adapters

    places = [scratch / f"adapter{i}" for i in range(count)]
    for seed, place in enumerate(places):
        torch.manual_seed(seed)
        adapted = with_adapters(load_base(model, torch.bfloat16), Lora(r=RANK, alpha=RANK))
        for name, weight in adapted.named_parameters():
            if ".lora_B." in name:
                torch.nn.init.normal_(weight, std=1e-3)
        adapted.save_pretrained(place)
        load_tokenizer(model).save_pretrained(place)
    return places


def with_adapters_in_turn(
    point: Any, prompts: Any, adapters: list[Path], room: int, serve: bool
) -> tuple[float, float, list[str]]:
    """Seconds of the engine's start, of all answers with the swaps, and the answers.

    serve: adapters beside the base; else each is merged and swapped in.
    """
    from lib.inference.serving import start_engine, whole_weights

    model, infer = point.config.model, point.config.infer
    begun = time.perf_counter()
    rank = RANK if serve else 0
    engine = start_engine(model, infer, Path(model.name), room, True, rank)
    start, begun, texts = time.perf_counter() - begun, time.perf_counter(), []
    for adapter in adapters:
        if serve:
            engine.use(adapter)
            texts += [text for [text] in engine.generate(prompts, infer)]
        else:
            with whole_weights(model, adapter, infer.precision) as whole:
                engine.load(whole)
                texts += [text for [text] in engine.generate(prompts, infer)]
    answers = time.perf_counter() - begun
    engine.close()
    return start, answers, texts


if __name__ == "__main__":
    main()
