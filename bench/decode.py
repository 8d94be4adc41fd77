"""How long it takes to find one point of a grid, to load a study, and to start a stage.

    python -m bench.decode [--repeat 5]

First table: `Grid.values` of the last index, which must not grow with the grid. Second: loading,
which resolves and checks every point. Third: whole processes against `import torch`, the least that
a program pays that loads torch first.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import time
import timeit
from pathlib import Path

from lib.config.grid import Grid, aligned
from lib.config.load import load_study

STUDIES = sorted(map(str, Path("configs").glob("*.yaml")))
STUDY = "configs/weighted_loss.yaml"
STAGES = sorted(path.stem for path in Path("stages").glob("stage*.py"))
COMMANDS = {
    f"-m stages.grid {STUDY} --index 5": ["-m", "stages.grid", STUDY, "--index", "5"],
    **{f"-m stages.{stage} --help": ["-m", f"stages.{stage}", "--help"] for stage in STAGES},
}


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.decode", description=__doc__.split("\n")[0])
    parser.add_argument("--repeat", type=int, default=5, help="runs of each; the median counts")
    repeat = parser.parse_args().repeat
    print(decoding(repeat), "\n")
    print(loading(repeat), "\n")
    print(processes(repeat))


def decoding(repeat: int) -> str:
    """The table of one index out of 10, 1,000 and 100,000 points."""
    rows = [["points", "decode (µs)"]]
    for axes in (1, 3, 5):
        grid = Grid(({f"axis{number}": tuple(range(10)) for number in range(axes)},))
        last = len(grid) - 1
        microseconds = median_us(lambda: grid.values(last), repeat)  # noqa: B023 - called at once
        rows.append([f"{len(grid):,}", f"{microseconds:.1f}"])
    return aligned(rows)


def loading(repeat: int) -> str:
    """The table of the studies of configs/."""
    rows = [["study", "points", "load (ms)"]]
    for path in STUDIES:
        milliseconds = median_us(lambda: load_study(path), repeat) / 1e3  # noqa: B023 - likewise
        rows.append([path, str(len(load_study(path).grid)), f"{milliseconds:.1f}"])
    return aligned(rows)


def median_us(call: object, repeat: int) -> float:
    """Microseconds of one call: the median over `repeat` measurements."""
    timer = timeit.Timer(call)
    calls, _ = timer.autorange()
    return 1e6 * statistics.median(timer.repeat(repeat, calls)) / calls


def processes(repeat: int) -> str:
    """The table of whole processes."""
    torch = median_seconds(["-c", "import torch"], repeat)
    rows = [["python …", "seconds", "import torch / this", "imports torch"]]
    rows.append(['-c "import torch"', f"{torch:.2f}", "1.0", "yes"])
    for label, words in COMMANDS.items():
        seconds = median_seconds(words, repeat)
        loads = "yes" if imports_torch(words) else "no"
        rows.append([label, f"{seconds:.2f}", f"{torch / seconds:.1f}", loads])
    return aligned(rows)


def median_seconds(words: list[str], repeat: int) -> float:
    """Seconds of `python WORDS`: the median, after one run that warms the file cache."""
    seconds = []
    for _ in range(repeat + 1):
        start = time.perf_counter()
        subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def imports_torch(words: list[str]) -> bool:
    """Whether `python WORDS` imports torch, by Python's own list of imports."""
    command = [sys.executable, "-X", "importtime", *words]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return re.search(r"\|\s+torch$", listed, re.MULTILINE) is not None


if __name__ == "__main__":
    main()
