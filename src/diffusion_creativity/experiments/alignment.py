"""Which rules of a target reach which architecture? Faces of several families, by sight."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import sampling
from ..data.faces.attributes import RULES, TRAITS
from ..data.faces.composing import PLACE
from ..data.faces.family import Faces
from ..data.faces.verdicts import Verdicts
from ..denoisers.affine import Affine
from ..denoisers.bayes import Bayes
from ..denoisers.bottleneck import LinearBottleneck
from ..denoisers.factorised import Blockwise
from ..denoisers.patches import EquivariantLocalScore, LocalScore, PatchPosterior
from ..networks.describe import layers
from ..networks.sight import effective_receptive_field
from ..networks.unet import UNetConfig
from ..noise import karras
from ._parts import Denoiser, population, rule_gaps, slot_of
from ._unets import fit
from .registry import Config, Outcome, Unit, experiment

TARGETS = {
    "rules0": {"positions": 1, "long_range_rules": 0},
    "rules2": {"positions": 1, "long_range_rules": 2},
    "rules6": {"positions": 1, "long_range_rules": 6},
    "places": {"positions": 3, "long_range_rules": 6},
}
WINDOWS = (5, 7, 9, 11, 15, 23, 31)  # in cells: 16 of them are a side of the image
SHOWN = 32  # samples on a sheet

# Every norm acts on each pixel alone: over all pixels it would see the whole image. Widths such
# that a forward pass of a 16×16 image takes 14 to 20 MFLOP.
NETWORKS = {
    "flat1": UNetConfig(depth=0, widths=(28,), norm="pixel"),
    "flat2": UNetConfig(depth=0, widths=(20,), blocks=2, norm="pixel"),
    "deep1": UNetConfig(depth=1, widths=(20, 40), norm="pixel"),
    "deep2": UNetConfig(depth=2, widths=(16, 48, 48), norm="pixel"),
    "deep3": UNetConfig(depth=3, widths=(16, 32, 64, 32), norm="pixel"),
    "flat1.attention": UNetConfig(side=16, depth=0, widths=(28,), norm="pixel", attention=(16,)),
    "deep3.narrow": UNetConfig(depth=3, widths=(16, 32, 64, 32), norm="pixel", skips="none",
                               bottleneck=4),
}  # fmt: skip

# What a machine is called, and how it is fitted to training images; the number is a window or a
# block in cells, or a rank.
CLOSED: dict[str, Callable[[Tensor, int], Denoiser]] = {
    "bayes": lambda x, _: Bayes.fit(x),
    "affine": lambda x, _: Affine.fit(x),
    "rank": lambda x, number: LinearBottleneck.fit(x, rank=number),
    "blocks": lambda x, number: Blockwise.fit(x, block=number * _unit(x)),
    "local": lambda x, number: LocalScore.fit(x, window=_window(x, number)),
    "patches": lambda x, number: PatchPosterior.fit(x, window=_window(x, number)),
    "anywhere": lambda x, number: EquivariantLocalScore.fit(x, window=_window(x, number)),
}


def _variants() -> tuple[str, ...]:
    """All units of the full grid, the main story first."""
    targets = ("rules6", "rules0", "rules2")
    seen = [f"{t}-seen{w}" for t in targets for w in WINDOWS]
    main = [f"{t}-{n}" for t in targets for n in ("deep3", "flat1", "deep1")]
    known = [f"{t}-{m}" for m in ("bayes", "affine", "rank16", "blocks4", "local11")
             for t in targets]  # fmt: skip
    more = [f"{t}-{n}" for n in ("deep2", "flat1.attention", "deep3.narrow", "flat2")
            for t in ("rules6", "rules0")]  # fmt: skip
    last = ["rules6-local7", "rules6-local15", "rules6-patches7", "places-deep3", "places-flat1"]
    return (*seen, *known[:-3], *main, *known[-3:], *more, *last)


@dataclass(frozen=True)
class AlignmentConfig(Config):
    """A variant is a target in `TARGETS` and an architecture, joined by a hyphen.

    Architectures: ``seen`` and a window, the best denoiser of *all* faces of the target with that
    window; one of `CLOSED` with its number, fitted to the training images; one of `NETWORKS`,
    trained on them.
    """

    variants: tuple[str, ...] = _variants()
    size: int = 16  # side of the images
    images: int = 1000  # of the training set
    samples: int = 300
    sampler_steps: int = 18  # of Heun's method, two calls each
    steps: int = 2500
    batch: int = 32
    rate: float = 3e-3  # the highest learning rate of AdamW
    ema: float = 0.995
    save_every: int = 250  # steps between two checkpoints


@experiment(
    "hold faces with more and more distant rules against architectures that see more and more",
    profiles={
        "smoke": AlignmentConfig(
            variants=("rules6-seen5", "rules2-local7", "rules0-blocks4", "rules6-flat1"),
            images=60, samples=20, sampler_steps=5, steps=10, batch=8, save_every=4,
        ),
        "book": AlignmentConfig(),
        "gpu": AlignmentConfig(size=32, images=5000, samples=2000, steps=20_000, batch=256,
                               rate=1e-3, ema=0.999, seeds=3),
    },
    cost={
        "smoke": "5 s on one CPU core",
        "book": "40 min of one CPU core",
        "gpu": "not measured",
    },
)  # fmt: skip
def alignment(config: AlignmentConfig, unit: Unit) -> Outcome:
    """Fit or train one architecture on one target, sample, and count the rules it breaks."""
    target, _, name = unit.variant.partition("-")
    family = Faces(size=config.size, **TARGETS[target])
    train, _ = family.split(config.images, held_out=0, seed=unit.seed)
    x = family.render(train).to(unit.device)
    begun = time.process_time()
    machine = build(name, family, x, config, unit)
    fitted = time.process_time()
    noise = sampling.initial_noise(config.samples, x.shape[1:], seed=unit.seed, device=unit.device)
    made = sampling.heun(machine.denoise, noise, karras(config.sampler_steps))
    times = {"fit_s": fitted - begun, "sample_s": time.process_time() - fitted}
    verdicts = family.oracle(train)(made)
    metrics = judged(verdicts) | machine.facts | times
    return Outcome(metrics, sheets={"samples": made[:SHOWN].clamp(-1, 1)})


class Machine(NamedTuple):
    """A denoiser, and what is known of it besides its samples."""

    denoise: Denoiser
    facts: dict[str, Any]


def build(name: str, family: Faces, x: Tensor, config: AlignmentConfig, unit: Unit) -> Machine:
    """Return the architecture of that name for a family and training images x (N, C, H, W)."""
    if name in NETWORKS:
        return _trained(NETWORKS[name], x, config, unit)
    kind, number = re.fullmatch(r"([a-z]+)(\d*)", name).groups()
    if kind == "seen":
        fit_window = partial(LocalScore.fit, window=_window(x, int(number)))
        return Machine(population(family, fit_window), {"gaps": rule_gaps(family)})
    return Machine(CLOSED[kind](x, int(number or 0)), {})


def _trained(design: UNetConfig, x: Tensor, config: AlignmentConfig, unit: Unit) -> Machine:
    attention = tuple(x.shape[-1] for _ in design.attention)  # at the full side
    design = UNetConfig(**{**vars(design), "side": x.shape[-1], "attention": attention})
    trainer = fit(
        design, x, steps=config.steps, batch=config.batch, rate=config.rate, ema=config.ema,
        seed=unit.seed, folder=unit.scratch, save_every=config.save_every,
        progress=lambda done: unit.progress(0.95 * done),
    )  # fmt: skip
    network, parts = trainer.average, layers(design)
    # At σ = 1/2: there the parts of a face are decided.
    field = effective_receptive_field(
        network.network, x.shape[1:], noise_label=torch.tensor(0.5).log().item() / 4
    )
    return Machine(network.denoise, {
        "parameters": sum(part.parameters for part in parts),
        "mflop": sum(part.flops for part in parts) / 1e6,
        "reach": field.reach,
        "effective": field.effective,
        "last_loss": trainer.history[-1].loss,
        "images_per_s": config.steps * config.batch / trainer.history[-1].seconds,
    })  # fmt: skip


def judged(verdicts: Verdicts) -> dict[str, Any]:
    """Count classes, kinds of broken rules, and agreement of tied parts, as plain numbers.

    For each of `RULES`, in force or not: in how many images both parts are well drawn (`judged`),
    in how many of these they disagree, and in how many they would if they were drawn independently,
    each as it is here: (1 - Σ_v a_v b_v) · judged.
    """
    counts, n = verdicts.counts(), len(verdicts)
    metrics = {name: counts[name] / n for name in ("copy", "creative", "invalid")}
    metrics |= {f"breaks_{k}": counts[k] / n for k in ("local", "long-range", "global")}
    pairs = {rule: _both(verdicts, rule) for rule in RULES}
    return metrics | {
        "samples": n,
        "drawn": int((~(verdicts.of_kind("local") | verdicts.of_kind("global"))).sum()),
        "judged": {rule: len(a) for rule, (a, _) in pairs.items()},
        "disagree": {rule: int((a != b).sum()) for rule, (a, b) in pairs.items()},
        "chance": {rule: len(a) * chance(a, b) for rule, (a, b) in pairs.items()},
        "base_rate": verdicts.base_rate,
        "distinct": len(verdicts.nearest[verdicts.label < 2].unique()),
    }


def chance(a: Tensor, b: Tensor) -> float:
    """Share that would disagree if values a (n,) and b (n,) were drawn independently."""
    size = int(torch.cat([a, b]).max()) + 1 if len(a) else 1
    shares = [v.bincount(minlength=size).double() / max(len(v), 1) for v in (a, b)]
    return 1 - float(shares[0] @ shares[1])


def _both(verdicts: Verdicts, rule: str) -> list[Tensor]:
    """Values of the two traits of a rule, in the images where both parts are well drawn."""
    slots = [verdicts.parts.index(slot_of(trait)) for trait in RULES[rule]]
    traits = verdicts.traits[:, [len(PLACE) + TRAITS.index(trait) for trait in RULES[rule]]]
    good = (verdicts.used[:, slots] <= 1).all(1) & (traits >= 0).all(1)
    return list(traits[good].cpu().T)


def _unit(x: Tensor) -> int:
    return x.shape[-1] // 16  # pixels on a side of a cell


def _window(x: Tensor, cells: int) -> int:
    """Side of a window, in pixels, that reaches as far as one of so many cells."""
    return (cells - 1) * _unit(x) + 1
