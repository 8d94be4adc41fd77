"""Where a result came from, and nothing that is secret."""

import json
import re
from pathlib import Path

import pytest

import lib.runs.provenance
from lib.runs.provenance import SLURM_IDS, analysis_version, provenance


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
    assert provenance({})["slurm"] is None


def test_provenance_outside_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(lib.runs.provenance, "__file__", str(tmp_path / "provenance.py"))
    assert provenance({})["git"] is None


def test_the_analysis_has_another_version_when_its_code_changes(tmp_path: Path) -> None:
    assert {path.name for path in lib.runs.provenance.LIB.iterdir()} >= {"analysis", "tasks"}
    for name in ("analysis/claims.py", "plotting/templates/findings.md.jinja", "training/loop.py"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("old")
    versions = [analysis_version.__wrapped__(tmp_path)]
    for path in sorted(tmp_path.rglob("*.*")):
        path.write_text("new")
        versions.append(analysis_version.__wrapped__(tmp_path))
    analysis, template, training = (a != b for a, b in zip(versions, versions[1:], strict=False))
    assert (analysis, template, training) == (True, True, False)
