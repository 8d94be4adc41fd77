"""Where a result came from, and nothing that is secret."""

import json
import re
from pathlib import Path

import pytest

import lib.runs.provenance
from lib.runs.provenance import SLURM_IDS, analysis_version, provenance, sources_digest


def test_provenance_names_versions_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "hf_" + "s3cret" * 4
    environ = {
        "HF_TOKEN": secret,
        "WANDB_API_KEY": secret,
        "SLURM_JOB_ID": "17",
        "SLURM_ARRAY_TASK_ID": "3",
        "SLURM_JWT": secret,
    }
    for key, value in environ.items():
        monkeypatch.setenv(key, value)
    found = provenance(environ)
    assert secret not in json.dumps(found)
    assert found["slurm"] == {"SLURM_JOB_ID": "17", "SLURM_ARRAY_TASK_ID": "3"}
    assert not [key for key in SLURM_IDS if re.search("JWT|TOKEN|KEY", key)]
    assert found["packages"]["torch"]
    assert re.fullmatch("[0-9a-f]{40}", found["git"]["commit"])
    assert isinstance(found["git"]["dirty"], bool)
    assert re.fullmatch("[0-9a-f]{12}", found["code"])
    assert provenance({})["slurm"] is None


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("analysis/engine.py", True),
        ("plotting/templates/report.html.jinja", True),
        ("plotting/templates/report.css", True),
        ("plotting/templates/report.js", True),
        ("training/loop.py", False),
        ("analysis/__pycache__/engine.cpython-311.pyc", False),
    ],
)
def test_a_changed_source_of_the_analysis_evaluates_and_draws_again(
    tmp_path: Path, name: str, counts: bool
) -> None:
    root = Path(lib.runs.provenance.__file__).parents[1]
    assert analysis_version() == sources_digest(root)
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    found = []
    for text in ("before", "after"):
        path.write_text(text)
        found.append(sources_digest(tmp_path))
    assert (found[0] != found[1]) == counts
