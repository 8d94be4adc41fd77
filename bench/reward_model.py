"""A small reward model from a study's own samples: right ones against wrong ones, by TRL.

    python -m bench.reward_model configs/gsm_symbolic.yaml --index 0 --to DIR [--questions 100]

Draws `infer.samples` answers to problems of the point's training split with its trained model,
pairs right and wrong ones of a question, trains a sequence classifier on the study's base model (or
--base) with TRL's RewardTrainer and saves it to DIR: `judge.model=DIR` rewards with it. It stands
in where Skywork's cannot be had, and is as good as the last line says: how often, of questions that
it was not trained on, it prefers a right answer to a wrong one. Wants both kinds of answers: a
point of some skill.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from lib.config import tasks
from lib.config.errors import BadInput
from lib.config.load import load_study
from lib.config.study import Point, Study
from lib.config.tasks import Row, conversation
from lib.runs.files import read_jsonl

HELD = 5  # every fifth question is kept for the check


def main() -> None:
    parser = argparse.ArgumentParser(
        "python -m bench.reward_model", description=__doc__.split("\n")[0]
    )
    parser.add_argument("study")
    parser.add_argument("words", nargs="*", metavar="key=value")
    parser.add_argument("--index", type=int, required=True, help="the point that draws")
    parser.add_argument("--to", type=Path, required=True, metavar="DIR")
    parser.add_argument("--questions", type=int, default=100, help="training problems asked")
    parser.add_argument("--pairs", type=int, default=4, help="of one question, at most")
    parser.add_argument("--base", metavar="MODEL", help="to begin with; else the study's")
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--learning-rate", type=float, default=2e-5)
    args = parser.parse_intermixed_args()
    try:
        study = load_study(args.study, args.words)
        point = study.point(args.index)
        pairs = paired(sampled(study, point, args.questions), args.pairs)
    except BadInput as error:
        raise SystemExit(f"error: {error}") from None
    kept = sorted({pair["id"] for pair in pairs})[::HELD]
    train = [pair for pair in pairs if pair["id"] not in kept]
    held = [pair for pair in pairs if pair["id"] in kept]
    print(f"{len(train)} pairs to train on, {len(held)} of other questions to check")
    if not train or not held:
        raise SystemExit("error: too few questions with right and wrong samples to train on")
    fit(point, train, args)
    print(f"prefers the right answer in {agreement(point, held, args.to):.0%} of {len(held)} pairs")


def sampled(study: Study, point: Point, questions: int) -> list[Row]:
    """{"id", "question", "outputs", "right"} of the first problems of the training split."""
    from lib.data.encoding import encode_prompt
    from lib.inference.base import Draw
    from lib.inference.predict import first_seed
    from lib.inference.serving import Served
    from lib.models.load import load_tokenizer

    task = tasks.get(study.config.tasks[0])
    split = task.train_split(point.config.data)
    rows = read_jsonl(study.directory / "data" / f"{split}.jsonl")[:questions]
    tokenizer = load_tokenizer(point.config.model, str(point.directory / "model"))
    prompts = [encode_prompt(tokenizer, task.messages(row, point.config.data)) for row in rows]
    infer, count = point.config.infer, len(rows)
    served = Served(study)
    with served.engine(point) as engine:
        outputs = engine.generate(
            prompts,
            infer,
            [Draw(infer.temperature, first_seed(row["id"]), infer.samples) for row in rows],
        )
    served.close()
    found = []
    for row, texts in zip(rows, outputs, strict=True):
        right = task.grade(row, {"outputs": texts, "greedy": ""})["right"]
        question = row["prompt"]["question"]
        found.append({"id": row["id"], "question": question, "outputs": texts, "right": right})
    share = sum(sum(one["right"]) for one in found) / max(1, count * infer.samples)
    print(f"{count} questions, {infer.samples} samples each, {share:.1%} right")
    return found


def paired(found: list[Row], most: int) -> list[Row]:
    """{"id", "question", "chosen", "rejected"} (texts) of distinct right and wrong samples."""
    draw, pairs = random.Random(0), []
    for one in found:
        texts = list(dict.fromkeys(zip(one["outputs"], one["right"], strict=True)))
        right, wrong = ([text for text, is_right in texts if is_right == kind]
                        for kind in (True, False))  # fmt: skip
        every = [(a, b) for a in right for b in wrong]
        for chosen, rejected in draw.sample(every, min(most, len(every))):
            ids = {"id": one["id"], "question": one["question"]}
            pairs.append({**ids, "chosen": chosen, "rejected": rejected})
    return pairs


def fit(point: Point, pairs: list[Row], args: argparse.Namespace) -> None:
    """Train on the pairs and save model and tokenizer to args.to."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForSequenceClassification
    from trl import RewardConfig, RewardTrainer

    from lib.config.schema import Model
    from lib.models.load import load_tokenizer

    rows = [
        {side: conversation(pair["question"], pair[side]) for side in ("chosen", "rejected")}
        for pair in pairs
    ]
    base = point.config.model if args.base is None else Model(name=args.base)
    model = AutoModelForSequenceClassification.from_pretrained(
        base.name, num_labels=1, dtype=torch.float32
    )
    tokenizer = load_tokenizer(base)
    config = RewardConfig(
        output_dir=str(args.to),
        per_device_train_batch_size=8,
        num_train_epochs=args.epochs,
        learning_rate=args.learning_rate,
        warmup_steps=5,
        max_length=point.config.model.max_length,
        gradient_checkpointing=False,
        bf16=torch.cuda.is_available(),
        save_strategy="no",
        report_to="none",
        logging_steps=5,
        seed=0,
    )
    trainer = RewardTrainer(
        model, config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer
    )
    trainer.train()
    trainer.save_model(str(args.to))
    tokenizer.save_pretrained(args.to)


def agreement(point: Point, pairs: list[Row], directory: Path) -> float:
    """Share of pairs whose right answer has the higher reward; a tie counts half."""
    from lib.config.schema import Infer, Judge
    from lib.judging.reward import open_reward_model

    judge = Judge(kind="reward", model=str(directory))
    model = open_reward_model(judge, Infer(precision="fp32"))
    texts = [conversation(pair["question"], pair[side]) for pair in pairs
             for side in ("chosen", "rejected")]  # fmt: skip
    [replies] = model.ask([texts], lambda: False)
    values = [reply.scores[0] for reply in replies if reply.scores]
    if len(values) < len(texts):
        raise SystemExit("error: an answer is longer than the reward model reads")
    wins = [(a > b) + 0.5 * (a == b) for a, b in zip(values[::2], values[1::2], strict=True)]
    return sum(wins) / len(wins)


if __name__ == "__main__":
    main()
