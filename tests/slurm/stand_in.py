"""A checkout with the real templates and stages that do what a plan says."""

import json
import shutil
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]

# It notes how it was called, then does what plan.json holds for its index: exits with a code,
# waits to be stopped ("stop": once, "always"), waits and handles no signal ("deaf"), or waits once
# until it is killed ("ignore").
STAGE = r"""
import json, os, re, signal, sys, time
from pathlib import Path

kind = Path(__file__).stem.partition("_")[2]
args = sys.argv[1:]
index = re.search(r"--index[ =](\d+)", " ".join(args))[1]
restarts = int(os.environ.get("SLURM_RESTART_COUNT", 0))
call = {"argv": args, "restarts": restarts, "gpus": os.environ.get("CUDA_VISIBLE_DEVICES", "")}
with open(f"{kind}-{index}.jsonl", "a") as file:
    print(json.dumps(call), file=file)
print(f"run {restarts} of {index}")

todo = json.loads(Path("plan.json").read_text()).get(index, 0) if kind == "train" else 0
if todo in ("stop", "deaf") and restarts or todo == "ignore" and Path(f"ready-{index}-0").exists():
    todo = 0
if isinstance(todo, int):
    sys.exit(todo)

stopped = False
def stop(*_):
    global stopped
    stopped = todo != "ignore"
if todo != "deaf":
    signal.signal(signal.SIGUSR2, stop)
    signal.signal(signal.SIGTERM, stop)
Path(f"ready-{index}-{restarts}").touch()
while not stopped:
    time.sleep(0.05)
sys.exit(75)
"""


def make_project(root: Path, plan: dict[int, int | str]) -> Path:
    """Return a checkout with the real templates and stand-in stages."""
    shutil.copytree(REPOSITORY / "sbatch", root / "sbatch")
    (root / "logs").mkdir()
    (root / "stages").mkdir()
    for stage in ("stage2_train", "stage3_infer"):
        (root / "stages" / f"{stage}.py").write_text(STAGE)
    answer = "import os, sys; sys.exit(int(os.environ.get('FRUITLESS', 0)))"
    (root / "stages" / "restarts.py").write_text(answer)
    (root / "plan.json").write_text(json.dumps(plan))
    return root


def calls(project: Path, kind: str, index: int) -> list[dict]:
    """Return what the stage noted of each of its runs."""
    file = project / f"{kind}-{index}.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
