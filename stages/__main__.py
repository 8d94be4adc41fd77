"""Every command by the word that `make` has for it, or by the name of its module.

python -m stages train configs/weighted_loss.yaml --index 3
python -m stages stage2_train configs/weighted_loss.yaml --index 3
"""

from __future__ import annotations

import ast
import runpy
import sys
from pathlib import Path

from lib.config.errors import nearest

COMMANDS = {  # word → module
    "data": "stage1_generate_datasets",
    "train": "stage2_train",
    "infer": "stage3_infer",
    "evaluate": "stage4_evaluate",
    "plots": "stage5_visualize",
    "grid": "grid",
    "plan": "plan",
    "submit": "submit",
    "diff": "diff",
    "status": "status",
    "retry": "retry",
    "reference": "reference",
    "search": "search",
    "track": "track",
    "demo": "demo",
    "restarts": "restarts",
    "clean-study": "clean_study",
}


def main() -> int:
    """Run the command that the first argument names; returns the exit code where there is none."""
    word = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if word in ("-h", "--help"):
        print(usage())
        return 0
    module = COMMANDS.get(word, word)
    if module not in COMMANDS.values():
        print(f"error: python -m stages: found {word!r}, expected one of {', '.join(COMMANDS)}"
              f"{nearest(word, [*COMMANDS, *COMMANDS.values()])}", file=sys.stderr)  # fmt: skip
        return 2
    del sys.argv[1]
    runpy.run_module(f"stages.{module}", run_name="__main__", alter_sys=True)
    return 0


def usage() -> str:
    """The commands, a line each: word, what it does, and its module where that is named otherwise.

    What it does is the first line of the module's docstring, read without importing it.
    """
    lines = ["usage: python -m stages COMMAND configs/STUDY.yaml [key=value …] [--help]", ""]
    for word, module in COMMANDS.items():
        source = (Path(__file__).parent / f"{module}.py").read_text(encoding="utf-8")
        purpose = ast.get_docstring(ast.parse(source)).splitlines()[0]
        lines.append(f"  {word:12}{purpose}" + (f" ({module})" if module != word else ""))
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
