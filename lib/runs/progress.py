"""Progress with the time remaining: a bar on a terminal, plain lines in a log file."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import TypeVar

Item = TypeVar("Item")


class Progress:
    """Counts up to `total`; in a log file prints at most every `every` seconds.

    done: what an earlier run did, which does not count for the time remaining. passing: of a part
    of a larger progress, not shown if it is quick.
    """

    def __init__(
        self,
        total: int,
        label: str,
        unit: str = "row",
        done: int = 0,
        every: float = 15.0,
        passing: bool = False,
    ) -> None:
        self.total, self.label, self.unit = total, label, unit
        self.first = self.count = done
        self.every, self.passing = every, passing
        self.start = time.monotonic()
        self.said = self.start if passing else float("-inf")
        self.bar = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(total=total, initial=done, desc=label, unit=unit, dynamic_ncols=True,
                            leave=not passing, delay=every if passing else 0)  # fmt: skip

    def update(self, count: int, note: str = "") -> None:
        """Set how many are done; note: shown after the count, such as the loss."""
        if self.bar is not None:
            self.bar.set_postfix_str(note, refresh=False)
            self.bar.update(count - self.count)
        self.count = count
        moment = time.monotonic()
        finished = count >= self.total and not self.passing
        if self.bar is None and (finished or moment - self.said >= self.every):
            self.said = moment
            print(self.line(moment - self.start, note), file=sys.stderr, flush=True)

    def line(self, elapsed: float, note: str = "") -> str:
        """`train: 12/50 steps (24 %), 1:02 elapsed, 3:20 remaining, loss 0.41`."""
        share = 100 * self.count / max(self.total, 1)
        since = self.count - self.first
        remaining = elapsed / since * (self.total - self.count) if since else None
        unit = self.unit if self.total == 1 else self.unit + "s"
        parts = [
            f"{self.label}: {self.count}/{self.total} {unit} ({share:.0f} %)",
            f"{clock(elapsed)} elapsed",
        ]
        if remaining is not None and self.count < self.total:
            parts.append(f"{clock(remaining)} remaining")
        return ", ".join([*parts, note] if note else parts)

    def close(self) -> None:
        """End the bar."""
        if self.bar is not None:
            self.bar.close()


def progress(
    total: int, label: str, unit: str = "row", done: int = 0, passing: bool = False
) -> closing[Progress]:
    """A Progress that is closed after the block."""
    return closing(Progress(total, label, unit, done, passing=passing))


def tracked(items: Iterable[Item], total: int, label: str, unit: str = "row") -> Iterator[Item]:
    """The same items, with progress."""
    with progress(total, label, unit) as shown:
        for count, item in enumerate(items, 1):
            yield item
            shown.update(count)


def clock(seconds: float) -> str:
    """`0:07`, `12:05`, `3:04:05`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
