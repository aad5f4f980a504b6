"""The record of a benchmark: what was measured, with which versions, on which processor."""

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import diffusion_creativity as dc
from diffusion_creativity._matmul import onednn_is_accurate


def processor() -> str:
    """The processor's own name where Linux tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor()


def write(path: Path, measured: dict[str, Any], *packages: str, **what: Any) -> None:
    """Write measurements as JSON, under "provenance" the circumstances.

    `packages` are those whose versions count besides torch and our own; `what` says what was
    measured, and how.
    """
    provenance = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "cpu": processor(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "onednn_route": onednn_is_accurate(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            **{package: version(package) for package in packages},
            "diffusion-creativity": dc.__version__,
        },
        **what,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"provenance": provenance, **measured}, indent=1) + "\n")
    print(f"written to {path}")
