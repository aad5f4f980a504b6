"""Processes that a launcher started, such as ``accelerate launch``: each computes units of its own.

`training.Trainer` would join such processes and give each a share of every batch. Here they share
units instead, so each must believe that it is alone.
"""

import os
from typing import NamedTuple

import torch

# What launchers set, of torch and of MPI, and what accelerate reads besides.
GROUP = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
PREFIXES = ("ACCELERATE_", "PMI_", "MPI_LOCAL", "OMPI_COMM_WORLD_", "MV2_COMM_WORLD_")


class Place(NamedTuple):
    """Which process this is."""

    rank: int  # 0 … processes - 1
    processes: int
    device: torch.device | None  # the launcher's choice; None where it made none


def leave_group() -> Place:
    """Take the launcher's group out of the environment; return the place in it.

    It must come before the first `accelerate.Accelerator` of the process.
    """
    from accelerate.utils import get_cpu_distributed_information, parse_flag_from_env

    group = get_cpu_distributed_information()
    device = None
    if parse_flag_from_env("ACCELERATE_USE_CPU"):
        device = torch.device("cpu")
    elif group.world_size > 1:
        device = default_device(group.local_rank)
    for name in list(os.environ):
        if name in GROUP or name.startswith(PREFIXES):
            del os.environ[name]
    return Place(group.rank, group.world_size, device)


def default_device(index: int) -> torch.device:
    """Return a GPU for the process of that number on its machine, the CPU where there is none."""
    count = torch.cuda.device_count()
    return torch.device("cuda", index % count) if count else torch.device("cpu")
