"""Float32 matrix products at float32 accuracy, by the faster of the processor's routes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch

ACCURACY = 1e-5  # largest relative error that the fast route may have against float64

_lock = threading.Lock()
_users: dict[str, int] = {}
_before: dict[str, str] = {}


@contextmanager
def float32_matmul(device: torch.device) -> Iterator[None]:
    """Run float32 products inside at float32 accuracy: no autocast, no TF32 on a GPU.

    On a CPU they go to oneDNN where that has proved accurate. PyTorch's switch belongs to the
    process, not to the thread: the first block to enter sets it, the last one to leave restores
    it, and a product that another thread runs meanwhile takes the same, accurate route.
    """
    with torch.autocast(device.type, enabled=False):
        if device.type != "cuda" and not (device.type == "cpu" and onednn_is_accurate()):
            yield
            return
        _enter(device.type)
        try:
            yield
        finally:
            _leave(device.type)


@cache
def onednn_is_accurate() -> bool:
    """Check once per process that the oneDNN route exists and errs by less than `ACCURACY`.

    ``fp32_precision = "bf16"`` sends products to oneDNN, which *may* round its arguments to
    bfloat16. Where the processor has no bfloat16 matrix unit it computes in float32, often
    faster than the default route; where it has one, the error is near 3e-3 and this says no.
    """
    generator = torch.Generator().manual_seed(0)
    plain = {"generator": generator, "dtype": torch.float32, "device": "cpu"}
    a, b = (torch.randn(64, 512, **plain) for _ in range(2))
    exact = a.double() @ b.double().T
    try:
        _enter("cpu")
        try:
            product = torch.addmm(a.new_zeros(64), a, b.T)
        finally:
            _leave("cpu")
    except (AttributeError, RuntimeError):  # an older PyTorch, or one built without oneDNN
        return False
    return bool((product - exact).abs().max() < ACCURACY * exact.abs().max())


def _setting(kind: str) -> tuple[object, str, str | bool]:
    """Where the switch is, its name, and the position wanted."""
    if kind == "cpu":
        return torch.backends.mkldnn.matmul, "fp32_precision", "bf16"
    matmul = torch.backends.cuda.matmul
    try:
        matmul.fp32_precision  # noqa: B018 (asks whether this PyTorch has it)
    except (AttributeError, RuntimeError):
        return matmul, "allow_tf32", False
    return matmul, "fp32_precision", "ieee"


def _enter(kind: str) -> None:
    with _lock:
        if not _users.get(kind):
            backend, name, wanted = _setting(kind)
            _before[kind] = getattr(backend, name)
            setattr(backend, name, wanted)
        _users[kind] = _users.get(kind, 0) + 1


def _leave(kind: str) -> None:
    with _lock:
        if not _users.get(kind):
            return
        _users[kind] -= 1
        if not _users[kind]:
            backend, name, _ = _setting(kind)
            setattr(backend, name, _before[kind])
