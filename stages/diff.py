"""Which results of a study its file, data and code of now would change, and why.

    python -m stages.diff configs/weighted_loss.yaml [key=value …]

Compares each finished point with what it would be computed from now, key by key. Read-only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from lib.config.errors import BadInput, listed
from lib.config.study import Point, Study
from lib.data.preparation import data_identity
from lib.data.prepared import read_manifest, train_identity
from lib.data.testsets import predict_identity
from lib.runs.code import code_version
from lib.runs.directory import changed_keys, done_mark
from lib.runs.files import read_json
from lib.runs.provenance import analysis_version
from stages.command import DONE, load, parser, run, say
from stages.jobs import is_built

# Keys of an identity that stand for contents of files end like this, such as `split sha256`.
CONTENTS = (" sha256", " tokens")
AGAIN = {  # kind of a point → what has to be done about it
    "identical": "nothing to do",
    "config": "trained again with --force, or under another name=…",
    "data": "trained again with --force, since what it read has changed",
    "predictions": "predicted again with --force",
    "unreadable": "see the line",
    "unfinished": "make submit",
    "new": "make submit",
    "removed": "no point of the grid; nothing reads it",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Print what differs; returns the exit code."""
    args = parser("stages.diff", __doc__, force=False).parse_intermixed_args(argv)
    study = load(args)
    if not is_built(study):
        say(f"{study.directory}: no data yet, so nothing is finished; run make data")
        return DONE
    for line in changed_data(study):
        say(f"data: {line}: every point, once make data has built them again with --force")
    groups: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for point in study.points():
        groups.setdefault(compare(study, point), []).append(point.name)
    if gone := removed(study):
        groups["removed", ()] = gone
    for (kind, changes), names in sorted(groups.items(), key=lambda g: list(AGAIN).index(g[0][0])):
        say(f"{kind}: {len(names)} ({AGAIN[kind]}): {listed(names, 6)}")
        for change in changes:
            say(f"  {change}")
    for line in changed_code(study):
        say(line)
    return DONE


def changed_data(study: Study) -> list[str]:
    """Keys in which the data of stage 1 differ from what the study asks for now."""
    before = read_manifest(study)["identity"]
    now = data_identity(study, bool(before.get("debug")))
    # A source file that has been removed since does not undo what was built from it.
    kept = {k: before[k] for k in before.keys() - now.keys() if k.endswith(" sha256")}
    return changed_keys(before, {**now, **kept})


def compare(study: Study, point: Point) -> tuple[str, tuple[str, ...]]:
    """A point's kind, one of AGAIN, and the keys that differ."""
    try:
        trained = done_mark(point.directory, "train")
        if trained is None:
            return ("unfinished" if point.directory.exists() else "new"), ()
        changes = changed_keys(trained["identity"], train_identity(study, point))
        if changes:
            return "data" if all(map(is_content, changes)) else "config", tuple(changes)
        for task in study.tasks:
            mark = done_mark(point.directory, study.named("infer", task))
            if mark is None:
                continue
            now = predict_identity(study, point, task)
            changes += [c for c in changed_keys(mark["identity"], now) if c not in changes]
    except BadInput as error:
        return "unreadable", (str(error),)
    return "predictions" if changes else "identical", tuple(changes)


def is_content(change: str) -> bool:
    """Whether a changed key stands for the content of files, see `changed_keys`."""
    return change.partition(" was ")[0].endswith(CONTENTS)


def removed(study: Study) -> list[str]:
    """Directories with trained points that the grid no longer has."""
    used = {point.directory.resolve() for point in study.points()}
    return sorted(
        mark.parents[1].name
        for mark in study.directory.glob("*/done/train.json")
        if mark.parents[1].resolve() not in used
    )


def changed_code(study: Study) -> Iterator[str]:
    """What has become of the code that made the results, which they do not depend on."""
    now, others = code_version(), {}
    for point in study.points():
        with suppress(BadInput):
            if done_mark(point.directory, "train") is None:
                continue
            ran = read_json(point.directory / "config.json")
            if ran.get("code") != now["code"]:
                commit = (ran.get("git") or {}).get("commit") or "no git commit"
                others.setdefault((ran.get("code"), commit[:12]), []).append(point.name)
    for (digest, commit), names in others.items():
        yield (f"code: {len(names)} trained by {digest or 'code without a digest'} ({commit}), now "
               f"{now['code']}: kept, results depend on config, data and model: "
               f"{listed(names, 6)}")  # fmt: skip
    with suppress(BadInput):
        evaluated = done_mark(study.directory / "comparison", "evaluate")
        if evaluated and any(
            inputs.get("analysis") not in (None, analysis_version())
            for inputs in evaluated["identity"].values()
            if isinstance(inputs, dict)
        ):
            yield "code: stages 4 and 5 measure and draw again, since their code has changed"


if __name__ == "__main__":
    raise SystemExit(run(main))
