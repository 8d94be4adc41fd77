"""What a task asks of SLURM: the study's section, and the templates' own lines."""

import re

import pytest

from lib.config.load import load_study
from lib.config.schema import Slurm
from lib.slurm.submission import sbatch_command
from tests.conftest import REPOSITORY


def test_a_section_given_in_part_keeps_the_stages_own_defaults() -> None:
    given = Slurm.model_validate({"train": {"cpus": 2}, "infer": {"cpus": 2}})
    assert given.train == Slurm().train.model_copy(update={"cpus": 2})
    assert given.infer == Slurm().infer.model_copy(update={"cpus": 2})
    assert (given.train.gpus, given.infer.gpus) == (4, 1)


@pytest.mark.parametrize("stage", ["train", "infer"])
def test_the_templates_lines_are_those_of_the_default_study(stage) -> None:
    """`sbatch sbatch/train.sbatch` alone asks for what `make train` asks for."""
    study = load_study(REPOSITORY / "configs" / "weighted_loss.yaml")
    text = (REPOSITORY / "sbatch" / f"{stage}.sbatch").read_text(encoding="utf-8")
    lines = dict(re.findall(r"^#SBATCH (--[\w-]+)=(\S+)$", text, re.MULTILINE))
    command = sbatch_command(study, stage, range(len(study.grid)))
    asked = dict(word.split("=", 1) for word in command if re.match(r"--[\w-]+=", word))
    for option in ("--array", "--gres", "--cpus-per-task", "--mem", "--time", "--signal"):
        assert lines[option] == asked[option], option
