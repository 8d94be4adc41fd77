"""Done marks of files that a test has written over, as if the stage itself had written them."""

from pathlib import Path

from lib.runs.directory import done_mark, mark_done


def vouch(directory: Path, stage: str) -> None:
    """Mark a stage done again, over what its files are now."""
    mark = done_mark(directory, stage)
    more = {k: v for k, v in mark.items() if k not in ("stage", "hash", "end", "identity", "files")}
    mark_done(directory, stage, mark["identity"], list(mark["files"]), **more)
