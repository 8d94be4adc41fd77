"""Where a result came from, and nothing that is secret."""

import json
import re

import pytest

from lib.runs.provenance import SLURM_IDS, provenance


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
