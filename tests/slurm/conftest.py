"""One private SLURM serves all tests of this folder."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster, reason_to_skip


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if reason := reason_to_skip():
        pytest.skip(reason)
    with Cluster(tmp_path_factory.mktemp("slurm")) as started:
        yield started


@pytest.fixture(scope="session")
def path() -> dict[str, str]:
    """Return the environment in which `python` is the one that runs the tests."""
    return {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
