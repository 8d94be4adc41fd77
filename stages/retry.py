"""Run again what failed, where its reason allows it, and say what to do about the rest.

    python -m stages.retry configs/weighted_loss.yaml [--dry-run] [--here]

Failed points only, each from its checkpoint: what a node, preemption or the time limit ended runs
again; what the device's memory was too small for with half the rows in a pass, which changes no
result. What a person has to fix first (code, input, disk) is shown. `make submit` starts the rest.
"""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lib.config.load import load_study
from lib.config.study import Point, Study
from lib.runs.attempts import Entry, close_attempt
from lib.runs.children import call
from lib.runs.directory import Busy, locked
from lib.runs.listing import listed
from lib.slurm import reasons
from lib.slurm.commands import largest_array
from lib.slurm.submission import option, resources
from lib.slurm.survey import Row, Survey
from lib.slurm.undone import Stage
from stages.command import DONE, load, parser, run, say, who
from stages.submit import (
    ask_queue,
    command_of,
    local_command,
    plan_of,
    submit_points,
    through_slurm,
)

EXCLUDED_AFTER = 2  # failures of a node


@dataclass(frozen=True)
class Policy:
    """What follows from a reason."""

    again: bool = False
    smaller: bool = False  # with half the rows in a pass
    most: int | None = None  # how often, for this reason
    advice: str = ""  # where it is not done again


POLICY: Mapping[str, Policy] = {
    reasons.NODE: Policy(again=True),
    reasons.PREEMPTED: Policy(again=True),
    reasons.TIME: Policy(again=True),
    reasons.STOPPED: Policy(again=True),
    reasons.KILLED: Policy(again=True, most=2, advice="see its log, then make submit"),
    reasons.EARLY: Policy(again=True, most=2, advice="see its log, then make submit"),
    reasons.MEMORY: Policy(again=True, smaller=True, most=2, advice="ask for {memory}"),
    reasons.HOST_MEMORY: Policy(advice="ask for more than slurm.{stage}.memory={host}"),
    reasons.DISK: Policy(advice="free space or quota for {directory}, then make submit"),
    reasons.STUCK: Policy(advice="ask for more than slurm.{stage}.time={time}, or as its log says"),
    reasons.CANCELLED: Policy(advice="cancelled by somebody: make submit starts it again"),
    reasons.HELD: Policy(advice="scontrol release {task}, once its node is well"),
    reasons.INPUT: Policy(advice="correct the input, then make submit"),
    reasons.CODE: Policy(advice="correct the code, then make submit"),
}


@dataclass(frozen=True)
class Action:
    """What is done about a failed stage of a point."""

    row: Row
    stage: str
    at: Stage
    again: bool
    words: tuple[str, ...] = ()  # further overrides, for these points alone
    advice: str = ""

    def line(self) -> str:
        """`name: train failed: time limit; again`."""
        said = f" ({self.at.line})" if self.at.line and not self.again else ""
        log = f"; {self.at.log}" if self.at.log and not self.again else ""
        then = " ".join(["again", *(["with", *self.words] if self.words else [])])
        state = f"{self.stage} {self.at.state}: {self.at.reason}"
        return f"{self.row.name}: {state}{said}; {then if self.again else self.advice}{log}"


def main(argv: Sequence[str] | None = None) -> int:
    """Decide about each failed point and submit; returns the exit code."""
    arguments = parser("stages.retry", __doc__, force=False)
    arguments.add_argument("--dry-run", action="store_true", help="only say what would be done")
    arguments.add_argument("--here", action="store_true", help="on this machine, without SLURM")
    args = arguments.parse_intermixed_args(argv)
    study = load(args)
    survey = Survey(study, listed(study, [point.name for point in study.points()]))
    actions = list(decide(study, survey))
    for line in (*(action.line() for action in actions), *survey.notes):
        say(line)
    groups: dict[tuple[str, tuple[str, ...]], list[Action]] = defaultdict(list)
    for action in actions:
        if action.again:
            groups[action.stage, action.words].append(action)
    if not groups:
        say(f"{study.name}: nothing to run again" if actions else f"{study.name}: nothing failed")
        return DONE
    slurm, code = through_slurm(args.here), DONE
    for (stage, words), members in groups.items():
        changed = load_study(study.path, [*study.words, *words]) if words else study
        indices = [action.row.index for action in members]
        command = local_command(changed, stage, False, indices)
        options = excluded(study, stage, survey) if slurm else []
        if args.dry_run:
            for one in commands(changed, stage, indices, options) if slurm else [command]:
                say(shlex.join(one))
            continue
        note(study, members)
        if slurm:
            submit_points(changed, stage, indices, options)
        else:
            code = code or call(command)
    return code


def commands(
    study: Study, stage: str, indices: Sequence[int], options: Sequence[str]
) -> list[list[str]]:
    """The commands that `submit_points` would give."""
    plan = plan_of(study, stage, ask_queue(study), largest_array(), indices=indices)
    return [command_of(study, job, False, options) for job in plan.jobs]


def decide(study: Study, survey: Survey) -> Iterable[Action]:
    """An action for each stage of a point that failed or is held."""
    for row in survey.rows:
        for stage, at in row.stages.items():
            if at.reason:
                yield action_of(study, row, stage, at)


def action_of(study: Study, row: Row, stage: str, at: Stage) -> Action:
    """What the policy says about a stage of a point."""
    policy, point = POLICY[at.reason], study.point(row.index)
    wanted = resources(study, stage)
    entries = [e for e in row.entries if e["stage"].partition("_")[0] == stage]
    key, value, smaller = size_of(point, stage, entries)
    times = how_often(entries, at.reason)
    fits = not policy.smaller or smaller is not None
    if not policy.again or not fits or (policy.most is not None and times > policy.most):
        known: dict[str, Any] = {
            "stage": stage, "task": at.task, "host": wanted.memory, "time": wanted.time,
            "directory": study.directory, "memory": memory_of(point, stage, key, value),
        }  # fmt: skip
        return Action(row, stage, at, False, advice=policy.advice.format(**known))
    now = smaller if policy.smaller else value
    words = (f"{key}={now}",) if key and now != own_size(point, key) else ()
    return Action(row, stage, at, True, words)


def size_of(
    point: Point, stage: str, entries: Sequence[Entry]
) -> tuple[str | None, int | None, int | None]:
    """The key of what a pass holds, its value at the last attempt, and the next smaller one.

    These keys are no part of a result's identity. vLLM packs rows by itself.
    """
    if stage == "train":
        train = point.config.train
        name = "micro_tokens" if train.micro_tokens else "micro_batch"
        value = getattr(train, name)
    elif stage == "infer" and point.config.infer.engine == "hf":
        name, value = "batch_size", point.config.infer.batch_size
    else:
        return None, None, None
    value = next((e[name] for e in reversed(entries) if e.get(name)), value)
    return f"{stage}.{name}", value, value // 2 or None


def own_size(point: Point, key: str) -> Any:
    """The value of the study at a key of `size_of`."""
    return point.flat[key]


def memory_of(point: Point, stage: str, key: str | None, value: int | None) -> str:
    """What to ask for where fewer rows in a pass do not help."""
    now = f"{key}={value} was too much" if key else "vLLM packs its rows by itself"
    if stage == "train":
        more = "train.gradient_checkpointing, train.fsdp over more train.processes"
        return f"a GPU with more memory, {more}, or a shorter model.max_length ({now})"
    return f"a GPU with more memory, or another infer.gpu_memory ({now})"


def how_often(entries: Sequence[Entry], reason: str) -> int:
    """How often attempts ended for this reason, the last one included."""
    before = sum(reason_noted(entry) == reason for entry in entries[:-1])
    return before + 1


def reason_noted(entry: Entry) -> str | None:
    """The reason of an earlier attempt: as `note` wrote it, else by its error."""
    if entry.get("reason") or not entry.get("error"):
        return entry.get("reason")
    return reasons.reason_of(None, entry["error"], None, (), entry.get("device") == "cpu")[0]


def excluded(study: Study, stage: str, survey: Survey) -> list[str]:
    """The option of sbatch that leaves out nodes that failed, beside those of the study."""
    failed: Counter[str] = Counter()
    for row in survey.rows:
        failed.update(e["node"] for e in row.entries if e.get("reason") == reasons.NODE)
        noted = row.entries and row.entries[-1].get("reason") == reasons.NODE
        failed.update(
            at.node for at in row.stages.values() if at.reason == reasons.NODE and not noted
        )
    reported = Counter(
        seen.node
        for history in survey.queue.history.values()
        for seen in history
        if reasons.OF_STATE.get(seen.state) == reasons.NODE
    )
    bad = sorted(n for n, times in (failed | reported).items() if n and times >= EXCLUDED_AFTER)
    given = option(resources(study, stage).extra, "--exclude", "-x")
    return [f"--exclude={','.join([given, *bad] if given else bad)}"] if bad else []


def note(study: Study, actions: Sequence[Action]) -> None:
    """Write each reason into the last attempt, for the next time: SLURM forgets it."""
    for action in actions:
        directory = study.directory / action.row.name
        if not directory.exists():
            continue
        try:
            with locked(directory, who()):
                close_attempt(directory, reason=action.at.reason)
        except Busy as error:
            say(f"{action.row.name}: {error}")


if __name__ == "__main__":
    raise SystemExit(run(main))
