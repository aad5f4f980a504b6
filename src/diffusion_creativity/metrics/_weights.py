"""Weights from a local safetensors file into a network; nothing is unpickled."""

from pathlib import Path

import torch
from torch import Tensor, nn

from .. import _validate

CONVERSION = """
    import torch; from safetensors.torch import save_file
    state = torch.load(FILE, map_location="cpu", weights_only=True)
    save_file({key: value.contiguous() for key, value in state.items()}, "weights.safetensors")"""


def read(path: str | Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, floating ones as float32."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(path)
    if not path.is_file():
        raise ValueError(f"path must be a safetensors file, and there is none at {path}")
    with path.open("rb") as file:
        start = file.read(2)
    if start in (b"PK", b"\x80\x02"):  # torch.save and TorchScript: zip archives, or bare pickles
        raise ValueError(
            f"path must be a safetensors file, got {path}, a pickle or TorchScript archive, which "
            f"may run code when it is read. If you trust it, convert it once:{CONVERSION}"
        )
    try:
        state = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is no whole safetensors file ({error})") from error
    return {k: v.float() if v.is_floating_point() else v for k, v in state.items()}


def fill(network: nn.Module, state: dict[str, Tensor], path: str | Path) -> nn.Module:
    """Put the tensors into a network (built on the meta device) and freeze it.

    Tensors that the network lacks are left out; one that it misses is an error.
    """
    wanted = network.state_dict()
    chosen = {
        name: state.get(name, torch.tensor(0)) if "num_batches" in name else state.get(name)
        for name in wanted
    }
    missing = [name for name, value in chosen.items() if value is None]
    if missing:
        raise ValueError(
            f"{path} lacks {len(missing)} of {len(wanted)} tensors, such as {missing[0]!r}; "
            f"it has {', '.join(sorted(state)[:3])}, …"
        )
    for name, value in chosen.items():
        if value.shape != wanted[name].shape:
            raise ValueError(
                f"{name} in {path} must have shape {tuple(wanted[name].shape)}, "
                f"got {tuple(value.shape)}"
            )
        _validate.finite(f"{name} in {path}", value)
    network.load_state_dict(chosen, assign=True)
    return network.eval().requires_grad_(False)
