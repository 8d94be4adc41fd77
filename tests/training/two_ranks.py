"""Two gloo ranks that shard a model: accelerate is made to take CPU ranks for GPUs."""

import os
import socket
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

LAUNCHER = "configs/launchers/fsdp.yaml"


def shard_on_cpus() -> None:
    """Let accelerate build FSDP of CPU ranks, which its state takes for data-parallel ones."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, PartialState
    from accelerate.utils import DistributedType
    from torch.distributed._functional_collectives import AsyncCollectiveTensor

    plain, gathered = AcceleratorState.__init__, Accelerator.get_state_dict

    def init(self: Any, *args: Any, fsdp_plugin: Any = None, **kwargs: Any) -> None:
        plain(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
        if fsdp_plugin is not None:
            if self._mixed_precision != "no":
                fsdp_plugin.set_mixed_precision(self._mixed_precision)
            self.fsdp_plugin, self.distributed_type = fsdp_plugin, DistributedType.FSDP
            PartialState._shared_state["distributed_type"] = DistributedType.FSDP

    def get_state_dict(self: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        # What is gathered on CPUs is not copied to one, and may still be under way.
        state = gathered(self, *args, **kwargs)
        return {k: v.wait() if isinstance(v, AsyncCollectiveTensor) else v
                for k, v in state.items()}  # fmt: skip

    AcceleratorState.__init__, Accelerator.get_state_dict = init, get_state_dict


def run_on_rank(rank: int, world: int, port: int, todo: Callable, args: Sequence[Any]) -> None:
    """Do `todo(*args)` as one of some ranks; what it raises goes to the standard error."""
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    import torch

    torch.set_num_threads(1)
    shard_on_cpus()
    try:
        todo(*args)
    except BaseException:
        traceback.print_exc()
        os._exit(1)  # the other rank must not wait for this one
    torch.distributed.destroy_process_group()


def run_ranks(processes: ForkServerContext, todo: Callable, *args: Any, world: int = 2) -> None:
    """Do `todo(*args)`, a function of a module, on all ranks; AssertionError where one fails."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ranks = [
        processes.Process(target=run_on_rank, args=(rank, world, port, todo, args))
        for rank in range(world)
    ]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(300)
        if rank.exitcode != 0:
            for other in ranks:
                other.kill()
    assert [rank.exitcode for rank in ranks] == [0] * world


def train(study: Path, directory: Path, words: Sequence[str], stops: Sequence[int] = ()) -> Any:
    """Train point 1 of a study on this rank's share, sharded if `words` say so.

    `stops`: after how many steps of its own each start but the last one is stopped.
    """
    from lib.config.load import load_study
    from lib.training.inputs import train_data
    from lib.training.loop import train_point

    point = load_study(study, words).point(1)
    data = train_data(load_study(study), point)
    directory.mkdir(parents=True, exist_ok=True)
    for steps in stops:
        asked = iter([*[False] * (steps - 1), True])
        train_point(point, data, directory, partial(next, asked))
    return train_point(point, data, directory, lambda: False)
