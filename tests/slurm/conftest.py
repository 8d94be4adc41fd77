"""One private SLURM serves all tests of this folder."""

from collections.abc import Iterator

import pytest
from cluster import Cluster, reason_to_skip


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if reason := reason_to_skip():
        pytest.skip(reason)
    with Cluster(tmp_path_factory.mktemp("slurm")) as started:
        yield started
