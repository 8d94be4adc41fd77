"""Questions where a choice was wrong although a right sample was there, as a readable report."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from lib.config.tasks import PointResult, Row
from lib.tasks.symbolic.samples import Samples, judge_of, read_samples, rewards_of

if TYPE_CHECKING:
    from lib.analysis.engine import Answers

FIRST = 3  # questions with so many unique answers come first
WORDS = {"majority": "majority", "best": "best by reward"}


def files(answers: Answers) -> dict[str, Any]:
    """failures_<point>.md and samples_<point>.jsonl of each point with samples."""
    found: dict[str, Any] = {}
    for result in answers.results["symbolic"]:
        if result.predictions and result.predictions[0]["answers"]:
            rows, name = answers.rows["symbolic"], result.name.replace("/", "_")  # of a study
            found[f"failures_{name}.md"] = report(result, rows)
            found[f"samples_{name}.jsonl"] = sample_rows(result, rows)
    return found


class Failure(NamedTuple):
    """One question, and what each strategy that failed on it chose."""

    row: Row
    prediction: Row
    chosen: dict[str, int]  # strategy → place of its sample, −1 where it chose none
    unique: int  # different numbers among the samples


def failures(point: PointResult, rows: Sequence[Row]) -> list[Failure]:
    """Those with FIRST unique answers first, then by unique answers; in test order among equals.

    A strategy chooses among all samples, of equals the first seen.
    """
    samples = read_samples(point.predictions or ())
    found = []
    for place in samples.solvable.nonzero()[0]:
        chosen = {
            name: int(places[place])
            for name, places in samples.chosen.items()
            if not samples.is_right(name)[place]
        }
        if chosen:
            unique = int(samples.codes[place].max()) + 1
            found.append(Failure(rows[place], point.predictions[place], chosen, unique))
    return sorted(found, key=lambda one: (one.unique != FIRST, one.unique))


def report(point: PointResult, rows: Sequence[Row]) -> str:
    """failures_<point>.md: counts, then each question with gold, samples and rewards."""
    samples, found = read_samples(point.predictions or ()), failures(point, rows)
    lines = [f"# Failures of {point.name}", "", *_counts(point, samples, found)]
    heading = None
    for number, one in enumerate(found, 1):
        if one.unique != heading:
            heading = one.unique
            count = sum(other.unique == heading for other in found)
            answers = "one unique answer" if heading == 1 else f"{heading} unique answers"
            lines += ["", f"## {answers[0].upper()}{answers[1:]}: {_questions(count)}"]
        lines += ["", *_question(number, one)]
    return "\n".join(lines) + "\n"


def sample_rows(point: PointResult, rows: Sequence[Row]) -> list[Row]:
    """samples_<point>.jsonl: one row a question.

        {"id", "set", "template", "question", "gold", "greedy": {"text", "number", "right",
         "reward"}, "samples": [{"text", "number", "right", "reward", "seed"}, …]}

    number: as the text was read, null without one; reward: null without one.
    """
    made = []
    for row, p in zip(rows, point.predictions or (), strict=False):
        n = len(p["answers"])
        columns = (p["outputs"], p["answers"], p["right"], rewards_of(p) or [None] * n,
                   p.get("seeds") or [None] * n)  # fmt: skip
        keys = ("text", "number", "right", "reward", "seed")
        greedy = (p["greedy"], p["greedy_answer"], p["correct"],
                  (p.get("judgments") or {}).get("greedy_reward"))  # fmt: skip
        made.append(
            {
                "id": row["id"],
                "set": row["set"],
                "template": row.get("template"),
                "question": row["prompt"]["question"],
                "gold": row["final"],
                "greedy": dict(zip(keys[:-1], greedy, strict=True)),
                "samples": [
                    dict(zip(keys, one, strict=True)) for one in zip(*columns, strict=True)
                ],
            }
        )
    return made


def _counts(point: PointResult, samples: Samples, found: Sequence[Failure]) -> list[str]:
    """How many questions failed, by strategy and by set."""
    judge = judge_of(point.predictions)
    lines = [
        f"{_questions(len(samples.greedy))}, {samples.count} samples each, of which "
        f"{int(samples.solvable.sum())} have a right sample. Listed are those among them where a "
        f"choice from all {samples.count} samples is wrong; of equals, the first seen is chosen.",
        "",
        f"Rewards: {_code(judge)}." if samples.rewards is not None else
        "Rewards: none, so only the majority is looked at.",
        "",
        "| chose wrong | questions |",
        "| --- | --- |",
    ]  # fmt: skip
    for name in samples.chosen:
        lines.append(f"| {WORDS[name]} | {sum(name in one.chosen for one in found)} |")
    if len(samples.chosen) > 1:
        both = sum(len(one.chosen) == len(samples.chosen) for one in found)
        lines.append(f"| both | {both} |")
    if by_set := Counter(one.row["set"] for one in found):
        lines += ["", "| set | questions listed |", "| --- | --- |"]
        lines += [f"| {name} | {count} |" for name, count in by_set.items()]
    return lines


def _question(number: int, one: Failure) -> list[str]:
    row, p = one.row, one.prediction
    rewards = rewards_of(p)
    numbers = Counter(answer for answer in p["answers"] if answer is not None)
    counts = [f"{_code(answer)} ×{count}" for answer, count in numbers.most_common()]
    unread = sum(answer is None for answer in p["answers"])
    counts += [f"no number ×{unread}"] if unread else []
    template = row.get("template")
    about = (
        f"{row['set']}, {'template unknown' if template is None else 'template ' + _code(template)}"
    )
    lines = [f"### {number}. {_code(row['id'])} ({about})", "", f"Gold: {_code(row['final'])}. "
             f"Answers: {', '.join(counts)}."]  # fmt: skip
    for name, place in one.chosen.items():
        said = "nothing" if place < 0 else f"{_code(p['answers'][place])}, sample {place + 1}"
        lines.append(f"The {WORDS[name]} chose {said}.")
    lines += ["", _fenced(row["prompt"]["question"]), "", "Worked answer:", ""]
    lines += [_fenced(row["target"]), "", "| sample | number | right | reward |"]
    lines.append("| --- | --- | --- | --- |")
    for place, (answer, right) in enumerate(zip(p["answers"], p["right"], strict=True)):
        reward = "–" if rewards is None or rewards[place] is None else f"{rewards[place]:.3f}"
        shown = "none" if answer is None else _code(answer)
        lines.append(f"| {place + 1} | {shown} | {'yes' if right else 'no'} | {reward} |")
    for place, text in enumerate(p["outputs"]):
        lines += ["", f"Sample {place + 1}:", "", _fenced(text)]
    return lines


def _questions(count: int) -> str:
    return f"{count:,} question{'s' * (count != 1)}"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)


def _fenced(text: str) -> str:
    """A text as a block that nothing in it can end."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}text\n{text}\n{fence}"


def _code(text: object) -> str:
    """A short text in one line, shown as it is: nothing in it is read as Markdown."""
    plain = re.sub(r"\s+", " ", str(text)).replace("|", "¦")
    tick = "`" * (_longest_run(plain) + 1)
    pad = " " if plain.startswith("`") or plain.endswith("`") or not plain.strip() else ""
    return f"{tick}{pad}{plain}{pad}{tick}"
