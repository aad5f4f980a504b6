"""What a notebook does first (`start`) and how it hands its numbers to the prose (`report`)."""

import os
import platform
import random
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch

from . import __version__, _validate, style
from ._table import Table

PROFILES = ("smoke", "book", "gpu")
T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """How a notebook runs: its seed, its device, and its sizes."""

    seed: int
    device: torch.device
    profile: str

    def size(self, *, smoke: T, book: T, gpu: T | None = None) -> T:
        """Return the size for the profile; without `gpu`, that profile takes `book`'s."""
        sizes = {"smoke": smoke, "book": book, "gpu": book if gpu is None else gpu}
        return sizes[self.profile]


def start(seed: int = 0, profile: str = "book") -> Run:
    """Seed everything, choose the device, apply the book's style, and say what is running.

    Parameters
    ----------
    seed : int
        For Python, NumPy and torch; functions of the package take their own seeds besides.
    profile : {"smoke", "book", "gpu"}
        How large the chapter's experiments are: seconds, a minute or two, full.
    """
    if profile not in PROFILES:
        raise ValueError(f"profile must be one of {', '.join(PROFILES)}, got {profile!r}")
    seed = _validate.integer("seed", seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - for libraries that still use the global state
    torch.manual_seed(seed)
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdigit() and int(threads) > 0:
        torch.set_num_threads(int(threads))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    style.use()
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    print(f"diffusion_creativity {__version__} · profile {profile} · seed {seed}")
    print(f"Python {platform.python_version()} · torch {torch.__version__} · {name}")
    return Run(seed, device, profile)


def report(**values: Any) -> None:
    """Show named results as a table, and hand each to the page's prose under its name.

    On the website the role ``{glue:text}`` with that name becomes the value; in Jupyter and Colab
    the reader finds it in the table. Pass strings where the format matters.
    """
    texts = {name: _text(value) for name, value in values.items()}
    try:
        from IPython.display import display
    except ModuleNotFoundError:
        print("\n".join(f"{name} = {text}" for name, text in texts.items()))
        return
    table = Table(("measured here", "value"), list(texts.items()), "dc-report dc-measured")
    display(table)
    for name, text in texts.items():
        # MyST-NB's own mark for a value to paste; its prefix keeps the value out of the output.
        # It reads the text as a Python literal: in quotes "400,000" stays what it is.
        display(
            {"application/papermill.record/text/plain": repr(text)},
            raw=True,
            metadata={"scrapbook": {"name": name, "mime_prefix": "application/papermill.record/"}},
        )


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, torch.Tensor | np.generic):
        value = value.item()
    return f"{value:.4g}" if isinstance(value, float) else f"{value}"
