"""Float32 matrix products at float32 accuracy, on the faster of the CPU's two routes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch

ACCURACY = 1e-5  # largest relative error that the fast route may have against float64

_lock = threading.Lock()
_users = 0
_before = ""


@contextmanager
def float32_matmul(device: torch.device) -> Iterator[None]:
    """Run float32 products inside at float32 accuracy, by oneDNN where it has proved accurate.

    PyTorch's switch belongs to the process, not to the thread. The first block to enter sets it
    and the last one to leave restores it; a product that another thread runs meanwhile takes the
    same route, whose accuracy `onednn_is_accurate` has checked on this machine.
    """
    with torch.autocast(device.type, enabled=False):
        if device.type != "cpu" or not onednn_is_accurate():
            yield
            return
        _enter()
        try:
            yield
        finally:
            _leave()


@cache
def onednn_is_accurate() -> bool:
    """Check once per process that the oneDNN route exists and errs by less than `ACCURACY`.

    ``fp32_precision = "bf16"`` sends products to oneDNN, which *may* round its arguments to
    bfloat16. Where the processor has no bfloat16 matrix unit it computes in float32, often
    faster than the default route; where it has one, the error is near 3e-3 and this says no.
    """
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(64, 512, generator=generator) for _ in range(2))
    exact = a.double() @ b.double().T
    try:
        _enter()
        try:
            product = torch.addmm(torch.zeros(64), a, b.T)
        finally:
            _leave()
    except (AttributeError, RuntimeError):  # an older PyTorch, or one built without oneDNN
        return False
    return bool((product - exact).abs().max() < ACCURACY * exact.abs().max())


def _enter() -> None:
    global _users, _before
    with _lock:
        if _users == 0:
            _before = torch.backends.mkldnn.matmul.fp32_precision
            torch.backends.mkldnn.matmul.fp32_precision = "bf16"
        _users += 1


def _leave() -> None:
    global _users
    with _lock:
        _users -= 1
        if _users == 0:
            torch.backends.mkldnn.matmul.fp32_precision = _before
