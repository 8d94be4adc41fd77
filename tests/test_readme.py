"""What the README says exists, exists, and its commands are accepted as they are written."""

import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from lib.config.load import load_study
from lib.config.schema import Judge
from lib.config.search_space import parse
from lib.config.yaml import read_yaml
from lib.tasks.decision.papers import read_papers
from lib.tasks.decision.schema import Data
from stages.reference_tables import rewritten
from tests.conftest import REPOSITORY, SHIPPED

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Return the README's fenced blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """Return the words of every command line of the README, in order, without comments."""
    joined = (block.replace("\\\n", " ") for block in blocks("bash"))
    lines = (line for block in joined for line in block.splitlines())
    return [words for line in lines if (words := shlex.split(line, comments=True))]


COMMANDS = commands()
MADE = {words[-1] for words in COMMANDS if words[0] == "cp"}  # by a command of the README
MODULES = sorted({words[2] for words in COMMANDS if words[:2] == ["python", "-m"]})


def table(heading: str) -> list[list[str]]:
    """Return the cells of the table whose first column has this heading, without its head."""
    found = re.search(rf"^\| {heading} \|.*\n\| ---.*\n((?:\|.*\n)+)", README, re.MULTILINE)
    return [[c.strip() for c in line.strip("|").split("|")] for line in found[1].splitlines()]


def test_every_command_names_what_exists() -> None:
    assert {words[0] for words in COMMANDS} <= {"make", "python", "sbatch", "cp", "bash",
                                                "SLURM_ARRAY_TASK_ID=3"}  # fmt: skip
    for word in (word for words in COMMANDS for word in words):
        if re.fullmatch(r"(configs|sbatch|tests|lib|stages|bench)/\S+", word) and word not in MADE:
            assert (REPOSITORY / word).exists(), word
        if word.startswith("STUDY="):
            config = f"configs/{word.removeprefix('STUDY=')}.yaml"
            assert config in MADE or (REPOSITORY / config).exists(), word
    made = [words[1:] for words in COMMANDS if words[0] == "make"]
    targets = {next(word for word in words if "=" not in word) for words in made}
    # One call: what a variable holds does not decide whether a target is there.
    done = subprocess.run(
        ["make", "--dry-run", *sorted(targets)], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_help_and_does_not_import_torch(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", module, "--help"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert done.stdout.startswith("usage:")
    assert not re.search(r"\|\s+(torch|transformers|vllm)$", done.stderr, re.MULTILINE)


def test_commands_that_only_print_run_as_written(run_process) -> None:
    index = run_process("stages.grid", "configs/weighted_loss.yaml", "--index", "5")
    assert index.code == 0
    dry = run_process("stages.submit", "train", "configs/demo.yaml", "--dry-run")
    assert (dry.code, dry.out.split()[0]) == (0, "sbatch")
    assert "make train STUDY=demo ARGS=--dry-run" in [" ".join(words) for words in COMMANDS]


def test_table_of_studies_is_complete_and_counts_their_points() -> None:
    told = {row[0].strip("`"): int(row[-1]) for row in table("study")}
    assert told == {f"configs/{path.name}": len(load_study(path).grid) for path in SHIPPED}


def test_every_yaml_is_read(write_study) -> None:
    excerpt, figures, search = blocks("yaml")
    path = Path(write_study(drop=["axes", "variants", "grid"]))
    path.write_text(path.read_text() + excerpt + figures, encoding="utf-8")
    study = load_study(path)
    assert len(study.grid) == 1 + 2 * 2
    assert study.point(1).name in README
    section, space = parse(read_yaml(search, "README.md")["search"], "README.md")
    assert (section.trials, len(space)) == (30, 3)
    indented = re.findall(r"^  ```yaml\n(.*?)^  ```", README, re.MULTILINE | re.DOTALL)
    given = [read_yaml(textwrap.dedent(text), "README.md")["judge"] for text in indented]
    assert [Judge(**judge).kind for judge in given] == ["rating", "safe_unsafe"]


def test_every_example_row_is_read(tmp_path: Path) -> None:
    rows = [row for row in table("format") if row[1].startswith("`")]
    assert len(rows) > 1
    for row in rows:
        source = tmp_path / ("papers" + re.search(r"`(\.\w+)`", row[0])[1])
        source.write_text("\n".join(re.findall(r"`([^`]+)`", row[1])) + "\n", encoding="utf-8")
        papers, report = read_papers(Data(source=str(source)), str(source), "train", (0, 0))
        assert (list(papers), report["kept"]["rows"]) == (["on grids"], 1), row


def test_tables_that_repeat_code_are_generated_from_it() -> None:
    assert rewritten(README) == README, "run python -m stages.reference_tables"


def test_files_and_keys_in_the_text_exist() -> None:
    prose = re.sub(r"^```.*?^```", "", README, flags=re.MULTILINE | re.DOTALL)
    layout = next(block for block in blocks("text") if block.startswith("stages/"))
    for named in (*re.findall(r"`((?:lib|configs|sbatch|tests|stages)/[\w/.]+)`", prose),
                  *re.findall(r"^(\w+)/", layout, re.MULTILINE)):  # fmt: skip
        assert (REPOSITORY / named).exists(), named
    configs = [load_study(path).config.model_dump() for path in SHIPPED]
    sections = "data|train|evaluate|infer|model|judge|mt_bench|safety"
    for section, key in re.findall(rf"`({sections})\.(?!py|json|calls)(\w+)", prose):
        assert any(key in config.get(section, ()) for config in configs), f"{section}.{key}"


def test_ci_runs_the_test_command_of_the_readme() -> None:
    run = REPOSITORY / ".ci" / "run"
    called = [line for line in run.read_text().splitlines() if line.startswith("make")]
    first = shlex.split(next(line for line in blocks("bash")[0].splitlines() if "test" in line),
                        comments=True)  # fmt: skip
    assert [shlex.split(line) for line in called] == [first] == [["make", "test"]]
    assert run.stat().st_mode & 0o100
    workflow = (REPOSITORY / ".github" / "workflows" / "ci.yml").read_text()
    assert ".ci/run" in workflow


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    path = re.compile(r"(?<![\w.~$}*/])/(?:work|tmp|root|home|mnt|Users)/\w")
    found = []
    for name in tracked():
        if name == Path("tests/test_readme.py") or name.name == "LICENSE" or name.suffix == ".png":
            continue
        if name.parent == Path("configs") and REPOSITORY / name not in SHIPPED:
            continue  # a study of the user's own
        for number, line in enumerate((REPOSITORY / name).read_text("utf-8").splitlines(), 1):
            if path.search(line):
                found.append(f"{name}:{number}: {line.strip()[:60]}")
    assert found == []


def tracked() -> list[Path]:
    """Return the files that git knows; skip where this is no checkout."""
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    names = (Path(name) for name in listed.stdout.splitlines())
    return [name for name in names if (REPOSITORY / name).is_file()]
