"""Runs in W&B: as offline runs that `wandb sync` uploads, or on its server where there is a key.

Offline, W&B ignores `resume`: a sync of wandb 0.31 appends the rows of an offline run to those on
the server, other versions overwrite them (wandb#5865, wandb#3841). So each point has at most one
offline run that was not synced, with all rows that were not, and an export replaces it. On the
server a run is resumed by its id and gets its missing rows; if its rows differ from train.jsonl, it
is rewound to the step before them.

A point that was retrained with another config is another run, whose id ends in its hash.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from glob import escape
from typing import Any

from lib.config.errors import BadInput
from lib.tracking.runs import Row, Run, common_head, last_attempt, run_id, values
from lib.tracking.trackers import Exported, Place, broken, of_another_study

MOST_BYTES = 128  # of an id
SECONDS = 30  # timeout of a request


def write(run: Run, place: Place) -> int:
    """See `lib.tracking.trackers.Tracker`."""
    id = id_of(run, place)
    there = _exported(id, run, place)
    if there.has_all(run):
        return 0
    Writer(run, place).finish(run)
    return len(run.rows) - (there.first_new(run.rows) or 0)


def show(place: Place) -> str:
    """See `lib.tracking.trackers.Tracker`."""
    if is_offline(place):
        return f"wandb sync {place.directory / 'wandb' / 'offline-run-*'}"
    return f"runs are in {_path(place)}"


def is_offline(place: Place) -> bool:
    """Whether WANDB_MODE asks for offline runs."""
    return place.environ.get("WANDB_MODE") in ("offline", "dryrun")


def check_key(environ: Mapping[str, str]) -> None:
    """Raise BadInput without a key for W&B's server, since wandb would prompt for it."""
    library()
    from wandb.sdk.lib import wbauth

    names = ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")
    host = environ.get("WANDB_BASE_URL") or "https://api.wandb.ai"
    with refusals():
        if not any(environ.get(name) for name in names) and not wbauth.read_netrc_auth(host=host):
            raise BadInput(f"wandb: no key for {host}: set WANDB_API_KEY or run `wandb login`; or "
                           f"WANDB_MODE=offline writes runs for a later `wandb sync`")  # fmt: skip


def library() -> Any:
    """The module wandb. Raises BadInput where it cannot be imported."""
    try:
        import wandb
    except ImportError as error:
        raise broken("wandb", error) from None
    return wandb


@contextmanager
def refusals() -> Iterator[None]:
    """Turn W&B's errors, and those of its connection, into BadInput."""
    from wandb.errors import Error
    from wandb.sdk.lib.service.service_connection import WandbApiFailedError
    from wandb.sdk.mailbox.mailbox_handle import HandleAbandonedError, ServerResponseError

    try:
        yield
    except (Error, WandbApiFailedError, HandleAbandonedError, ServerResponseError) as error:
        raise BadInput(f"wandb: {error or type(error).__name__}") from None


@cache
def server() -> Any:
    """W&B's public API. Raises BadInput where the key is refused."""
    with refusals():
        return library().Api(timeout=SECONDS)


def server_run(path: str, id: str) -> Any:
    """A run in ENTITY/PROJECT on the server, or None."""
    from wandb.errors import CommError

    api = server()
    api.flush()  # drop its cache
    try:
        return api.run(f"{path}/{id}")
    except (CommError, ValueError) as error:
        if "ould not find" in str(error):  # the run, or the project, which the first run creates
            return None
        raise BadInput(f"wandb: {error}") from None


def history(run: Any) -> list[Row]:
    """All rows of a run on the server in the form of train.jsonl, without W&B's own keys."""
    with refusals():
        rows = list(run.scan_history(use_cache=False))
    return last_attempt(
        {"step": int(row["_step"]), **{k: v for k, v in row.items() if not k.startswith("_")}}
        for row in rows
    )


def id_of(run: Run, place: Place) -> str:
    """The id of a run: the point's name, plus its hash if that id has another config."""
    id, hashed = (
        run_id(run.id, MOST_BYTES),
        run_id(f"{run.id}-{run.config.get('hash')}", MOST_BYTES),
    )
    there = _exported(id, run, place)
    if is_offline(place) or there.rows:
        of_others = there.of_another
    else:
        existing = server_run(_path(place), id)
        if existing is not None and existing.group != run.group:
            raise of_another_study("wandb", run, _path(place), existing.group)
        of_others = existing is not None and existing.config.get("hash") != run.config.get("hash")
    return hashed if of_others else id


def _path(place: Place) -> str:
    return "/".join(part for part in (place.entity, place.project) if part)


def _exported(id: str, run: Run, place: Place, what: str = "") -> Exported:
    """What was written of a run; what=".synced": what the server has."""
    key = [run.config.get("hash"), place.entity, place.project]
    return Exported.read(place.directory / "wandb" / "exported" / f"{id}{what}.json", key)


class Writer:
    """See `lib.tracking.trackers.Writer`."""

    def __init__(self, run: Run, place: Place) -> None:
        id, self.offline = id_of(run, place), is_offline(place)
        self.there = _exported(id, run, place)
        self.synced = _exported(id, run, place, ".synced")
        opens = self._offline if self.offline else self._resumed
        resume, first = opens(id, run, place)
        settings = library().Settings(
            mode="offline" if self.offline else "online",
            console="off",
            silent=True,
            x_disable_stats=True,
            x_disable_meta=True,  # command line, host, commit, see config.json
            x_save_requirements=False,
            save_code=False,
            disable_git=True,
            disable_code=True,
            init_timeout=SECONDS,
        )
        place.directory.mkdir(parents=True, exist_ok=True)
        with refusals():
            self.run = library().init(
                project=place.project, entity=place.entity, dir=str(place.directory), id=id,
                name=run.id, group=run.group, config=run.config, settings=settings, **resume
            )  # fmt: skip
        self.add(run.rows[first:])

    def add(self, rows: Sequence[Row]) -> None:
        """See `lib.tracking.trackers.Writer`."""
        for row in rows:
            self.run.log(values(row), step=row["step"])

    def finish(self, run: Run) -> None:
        """See `lib.tracking.trackers.Writer`."""
        self.run.summary.update(run.summary | run.texts)
        with refusals():
            self.run.finish()
        for exported in (self.there,) if self.offline else (self.there, self.synced):
            exported.write(run.rows, run.last_hash)

    def _offline(self, id: str, run: Run, place: Place) -> tuple[dict[str, Any], int]:
        """Arguments to open an offline run, and the number of its first row."""
        # A folder is named offline-run-20261231_235959-<id>; a sync leaves a *.synced file in it.
        folders = (place.directory / "wandb").glob(f"offline-run-{'?' * 15}-{escape(id)}")
        waiting = [folder for folder in folders if not any(folder.glob("*.synced"))]
        if not waiting and self.there.rows:
            shutil.copy(self.there.path, self.synced.path)
            self.synced = _exported(id, run, place, ".synced")
        first = self.synced.first_new(run.rows)
        if first is None:
            place.say(
                f"{run.id}: rows that were synced have changed, and W&B keeps the old ones; to "
                f"replace them, export once with a key and without WANDB_MODE"
            )
            first = min(self.synced.rows, len(run.rows))
        self.there.path.unlink(missing_ok=True)
        for folder in waiting:  # their rows are in train.jsonl
            shutil.rmtree(folder, ignore_errors=True)
        return {}, first

    def _resumed(self, id: str, run: Run, place: Place) -> tuple[dict[str, Any], int]:
        """Arguments to open a run on the server, and the number of the first row to log."""
        old_run = server_run(_path(place), id)
        if old_run is None:
            return {"resume": "allow"}, 0
        old_rows = [(row["step"], values(row)) for row in history(old_run)]
        wanted = [(row["step"], values(row)) for row in run.rows]
        same = common_head(old_rows, wanted)
        if len(old_rows) == same:
            return {"resume": "must"}, same
        step = old_rows[same - 1][0] if same else 0
        return {"resume_from": f"{id}?_step={step}"}, same
