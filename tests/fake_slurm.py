"""Stand-ins for SLURM's commands: a directory for PATH, whose files say how they answer."""

import json
import sys
from pathlib import Path

COMMAND = r"""#!{python} -SE
import json, re, sys, time
from pathlib import Path

root, name, args = Path("{root}"), Path(sys.argv[0]).name, sys.argv[1:]
with open(root / "calls.jsonl", "a") as file:
    print(json.dumps([name, *args]), file=file)
state = json.loads((root / "state.json").read_text())
failure = state["fails"].get(name) or state["fails"].get(f"{{name}} {{args[0]}}")
if failure == "hang":
    time.sleep(60)
elif failure:
    sys.exit(failure)
if name == "sbatch":
    state["submitted"] += 1
    if state["submitted"] > state["limit"]:
        sys.exit("sbatch: error: QOSMaxSubmitJobPerUserLimit")
    job, tasks = str(100 + state["submitted"]), []
    wanted = next((a for a in args if a.startswith("--array=")), "").partition("=")[2]
    for part in wanted.partition("%")[0].split(",") if wanted else ():
        first, _, last = part.partition("-")
        tasks += range(int(first), int(last or first) + 1)
    state["queue"][job] = {{str(task): "PENDING" for task in tasks or [""]}}
    (root / "state.json").write_text(json.dumps(state))
    print(job)
elif name == "squeue":
    asked = next(a for a in args if a.startswith("--jobs=")).partition("=")[2].split(",")
    jobs = [job.partition("_")[0] for job in asked]
    if len(jobs) == 1 and jobs[0] not in state["queue"]:
        sys.exit("slurm_load_jobs error: Invalid job id specified")
    for job in jobs:
        for task, now in state["queue"].get(job, {{}}).items():
            whole = "--states=all" in args  # then a state may be "PENDING|reason|node"
            said = f"|{{now}}" if whole else f" {{now.partition('|')[0]}}"
            print(f"{{job}}{{'_' * bool(task)}}{{task}}{{said}}")
elif args[0] == "ping":
    print("Slurmctld(primary) at head is UP")
elif args[:2] == ["show", "config"]:
    print(f"MaxArraySize            = {{state['max_array_size']}}")
"""


class FakeSlurm:
    """`bin` for PATH; `set` changes how the commands answer, `sbatch_calls` is what was asked."""

    def __init__(self, root: Path) -> None:
        self.root, self.bin = root, root / "bin"
        self.bin.mkdir(parents=True)
        for name in ("sbatch", "squeue", "scontrol"):
            path = self.bin / name
            path.write_text(COMMAND.format(python=sys.executable, root=root))
            path.chmod(0o755)
        self.state = {"submitted": 0, "limit": 100, "queue": {}, "fails": {},
                      "max_array_size": 1001}  # fmt: skip
        self.set()

    def set(self, **changes: object) -> None:
        """Change how the commands answer."""
        path = self.root / "state.json"
        if path.exists():
            self.state = json.loads(path.read_text())
        self.state.update(changes)
        path.write_text(json.dumps(self.state))

    def calls(self, name: str) -> list[list[str]]:
        """Arguments of all calls of a command so far."""
        path = self.root / "calls.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [args for command, *args in map(json.loads, lines) if command == name]
