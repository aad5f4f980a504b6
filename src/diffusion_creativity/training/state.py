"""What a run needs to go on as if it had never stopped, and what tells it from others."""

import hashlib
from typing import Any

import torch
from torch import Tensor, nn

from .checkpoints import Checkpoint, Tensors


def capture(
    networks: dict[str, nn.Module], optimizer: torch.optim.Optimizer
) -> tuple[Tensors, dict[str, Any]]:
    """Return the state of networks and of the optimiser: tensors, and what else there is."""
    tensors, plain = optimizer_state(optimizer)
    for head, network in networks.items():
        tensors |= {f"{head}.{name}": value for name, value in network.state_dict().items()}
    return tensors, plain


def restore(
    found: Checkpoint, networks: dict[str, nn.Module], optimizer: torch.optim.Optimizer
) -> None:
    """Put back what `capture` returned."""
    for head, network in networks.items():
        network.load_state_dict(found.part(head))
    restore_optimizer(optimizer, found.part("optimizer"), found.record["optimizer"])


def optimizer_state(optimizer: torch.optim.Optimizer) -> tuple[Tensors, dict[str, Any]]:
    """Return the state for each parameter: tensors, and what else there is."""
    tensors, plain = {}, {}
    for index, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{name}"] = value
            elif value is None or isinstance(value, bool | int | float | str):
                plain[f"{index}.{name}"] = value
            else:
                raise ValueError(
                    f"optimizer must have a state of tensors and numbers, got {name} of type "
                    f"{type(value).__name__}: it cannot be checkpointed"
                )
    return tensors, plain


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Tensors, plain: dict[str, Any]
) -> None:
    """Put back what `optimizer_state` returned, each tensor laid out as its parameter."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**tensors, **plain}.items():
        index, name = key.split(".", 1)
        parameter = parameters[int(index)]
        if isinstance(value, Tensor) and value.shape == parameter.shape and value.ndim:
            value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def random_state(device: torch.device) -> Tensors:
    """Return the states of torch's own generators, which dropout and the like draw from."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore_random_state(states: Tensors, device: torch.device) -> None:
    """Put them back."""
    if "cpu" in states:
        torch.set_rng_state(states["cpu"])
    if "cuda" in states and device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)


def fingerprint(x: Tensor) -> str:
    """Hash of a data set: its type, its shape and its bytes."""
    content = x.detach().cpu().contiguous()
    found = hashlib.sha256(f"{content.dtype} {tuple(content.shape)}".encode())
    found.update(content.flatten().view(torch.uint8).numpy())  # NumPy does not know bfloat16
    return found.hexdigest()[:16]


def hyperparameters(optimizer: torch.optim.Optimizer) -> list[Any]:
    """Return its kind and the settings of its groups, as JSON holds them; the rate as it begins."""
    groups = [{k: v for k, v in group.items() if k not in ("params", "lr")}
              for group in optimizer.param_groups]  # fmt: skip
    return [type(optimizer).__name__, *_plain(groups)]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)


def shapes(network: nn.Module) -> dict[str, list[int]]:
    """Return the names and shapes of what a network holds."""
    return {name: list(value.shape) for name, value in network.state_dict().items()}
