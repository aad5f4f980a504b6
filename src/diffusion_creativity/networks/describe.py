"""What a `UNetConfig` builds, layer by layer, and what it alters against a baseline."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from .._table import Table
from .sight import ReceptiveField, effective_receptive_field
from .unet import UNet, UNetConfig


class Layer(NamedTuple):
    """One step of the forward pass."""

    name: str
    output: tuple[int, ...]  # (C, H, W), or () for the conditioning
    parameters: int
    flops: int  # of one image, multiplications and additions
    parts: str  # what it is made of
    structure: str  # all that distinguishes it


@dataclass(frozen=True, repr=False)
class Description:
    """A network beside its baseline; prints as a table."""

    config: UNetConfig
    baseline: UNetConfig
    layers: tuple[Layer, ...]
    altered: dict[str, str]  # by layer: "new", "absent", or what it was in the baseline
    field: ReceptiveField
    baseline_field: ReceptiveField

    @property
    def switches(self) -> dict[str, tuple]:
        """Switches that differ: name → (baseline's value, value)."""
        old, new = asdict(self.baseline), asdict(self.config)
        return {name: (old[name], new[name]) for name in new if old[name] != new[name]}

    @property
    def parameters(self) -> int:
        """Trainable numbers."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def flops(self) -> int:
        """Multiplications and additions of one image's forward pass."""
        return sum(layer.flops for layer in self.layers)

    @property
    def tables(self) -> tuple[Table, Table]:
        """The network as a whole, and layer by layer."""
        before = layers(self.baseline)
        whole = [
            *((name, str(old), str(new)) for name, (old, new) in self.switches.items()),
            ("parameters", f"{sum(b.parameters for b in before):,}", f"{self.parameters:,}"),
            ("MFLOP an image", f"{sum(b.flops for b in before) / 1e6:,.1f}",
             f"{self.flops / 1e6:,.1f}"),
            ("effective receptive field", _field(self.baseline_field.effective, self.baseline.side),
             _field(self.field.effective, self.config.side)),
            ("exact reach", _field(self.baseline_field.reach, self.baseline.side),
             _field(self.field.reach, self.config.side)),
        ]  # fmt: skip
        rows = [
            (a.name, "×".join(map(str, a.output)), f"{a.parameters:,}", f"{a.flops / 1e6:,.1f}",
             a.parts, self.altered.get(a.name, ""))
            for a in (*self.layers, *(b for b in before if self.altered.get(b.name) == "absent"))
        ]  # fmt: skip
        head = ("layer", "output", "parameters", "MFLOP", "made of", "against the baseline")
        return Table(("", "baseline", "here"), whole), Table(head, rows)

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.tables))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return "".join(table._repr_html_() for table in self.tables)


def describe(design: UNetConfig | UNet, *, baseline: UNetConfig | None = None) -> Description:
    """Compare a design with `baseline` (``UNetConfig()``), layer by layer.

    The receptive field is that of the network given; for a configuration, that of a new network
    whose zero layers are drawn like all others, since a new `UNet` returns zeros.
    """
    config = design.config if isinstance(design, UNet) else design
    baseline = baseline or UNetConfig()
    here, before = layers(config), layers(baseline)
    old, new = {a.name: a for a in before}, {a.name: a for a in here}
    altered = {name: "absent" for name in old if name not in new}
    altered |= {
        name: _difference(old.get(name), layer)
        for name, layer in new.items()
        if name not in old or (old[name].structure, old[name].output) != (layer[-1], layer.output)
    }
    field = _measured(design) if isinstance(design, UNet) else _new_field(config)
    return Description(config, baseline, here, altered, field, _new_field(baseline))


@lru_cache(maxsize=64)
def layers(config: UNetConfig) -> tuple[Layer, ...]:
    """Return the layers of a `UNet` in the order in which an image passes them."""
    with torch.device("meta"):  # shapes and counts without a number computed
        network = UNet(config)
        x, label = torch.empty(1, config.channels, config.side, config.side), torch.empty(1)
    outputs: dict[str, tuple[int, ...]] = {}
    for path, module in _steps(network):
        module.register_forward_hook(
            lambda _module, _inputs, output, path=path: outputs.update({path: output.shape[1:]})
        )
    with FlopCounterMode(display=False) as counter:
        network(x, label)
    counts = {path: sum(ops.values()) for path, ops in counter.get_flop_counts().items()}
    found = []
    for path, module in _steps(network):
        inner = ("noise.embed", "noise.film") if path == "noise" else (path,)
        found.append(
            Layer(
                _name(path, config),
                tuple(outputs.get(path, ())),
                sum(p.numel() for p in module.parameters()),
                sum(counts.get(f"UNet.{p}", 0) for p in inner),
                ", ".join(dict.fromkeys(_part(m) for m in module.modules() if _part(m))),
                repr(module),
            )
        )
    return tuple(found)


def parameters(config: UNetConfig) -> int:
    """Count the trainable numbers of a `UNet` without building it in memory."""
    with torch.device("meta"):
        return sum(p.numel() for p in UNet(config).parameters())


def _steps(network: UNet) -> Iterator[tuple[str, nn.Module]]:
    depth = network.config.depth
    order = ["noise", "stem"]
    for i in range(depth + 1):
        order += [f"encoder.{i}.{j}" for j in range(len(network.encoder[i]))]
        order += [f"down.{i}"] if i < depth else ["bottleneck"]
    for i in reversed(range(depth + 1)):
        order += [f"up.{i}"] if i < depth else []
        order += [f"decoder.{i}.{j}" for j in range(len(network.decoder[i]))]
    return ((path, network.get_submodule(path)) for path in [*order, "head"])


def _name(path: str, config: UNetConfig) -> str:
    kind, *places = path.split(".")
    sides = config.sides
    if kind in ("down", "up"):
        i = int(places[0])
        start, end = (sides[i], sides[i + 1]) if kind == "down" else (sides[i + 1], sides[i])
        return f"{kind} {start} → {end}"
    return f"{kind} {sides[int(places[0])]}.{int(places[1]) + 1}" if places else kind


def _part(module: nn.Module) -> str:
    """Name a module that computes something; empty for one that holds others or does nothing."""
    bare = "" if getattr(module, "bias", True) is not None else " without bias"
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        k, s = module.kernel_size[0], module.stride[0]
        kind = "conv" if isinstance(module, nn.Conv2d) else "transposed conv"
        padded = f" {module.padding_mode}" if k > 1 and kind == "conv" else ""
        return f"{kind} {k}×{k}{' / 2' if s > 1 else ''}{padded}{bare}"
    if isinstance(module, nn.Linear):
        return f"linear {module.in_features} → {module.out_features}"
    named = type(module).__name__.removeprefix("_")
    silent = ("Identity", "Sequential", "ModuleList", "Block", "Noise", "Attention")
    return "attention" if named == "Attention" else "" if named in silent else named + bare


def _difference(old: Layer | None, new: Layer) -> str:
    if old is None:
        return "new"
    was = [old.parts or "nothing"] if old.parts != new.parts else []
    was += ["×".join(map(str, old.output))] if old.output != new.output else []
    return f"was {', '.join(was)}" if was else f"was {old.parameters:,} parameters"


def _field(side: int, whole: int) -> str:
    return f"{side}×{side}" + (" (the whole image)" if side >= whole else "")


def _measured(network: UNet) -> ReceptiveField:
    c = network.config
    return effective_receptive_field(network, (c.channels, c.side, c.side))


@lru_cache(maxsize=64)
def _new_field(config: UNetConfig) -> ReceptiveField:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = UNet(config)
        for module in network.modules():
            if isinstance(module, nn.Conv2d) and not module.weight.any():
                module.reset_parameters()
    return _measured(network)
