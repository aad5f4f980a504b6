"""Hold trained networks against theories of what they draw, image by image, from equal noise."""

import pathlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from .. import _files, sampling
from ..data.images import load
from ..metrics.agreement import pearson_r, r_squared
from ..metrics.copying import copied_fraction
from ..metrics.intervals import Bootstrap
from ..networks.preconditioning import Preconditioned
from ..networks.sight import effective_receptive_field
from ..networks.unet import UNetConfig
from ..noise import karras
from ._theories import THEORIES, Calibrated, Path, follow, held_out_errors, theories
from ._unets import fit
from .registry import Config, Outcome, Unit, experiment

#: Changes that make a network of the UNet: a ResNet is a UNet that never halves.
NETWORKS = {
    "resnet_circular": {"depth": 0, "padding": "circular"},
    "resnet_zeros": {"depth": 0, "padding": "zeros"},
    "unet_circular": {"padding": "circular"},
    "unet_zeros": {"padding": "zeros"},
    "unet_attention": {"padding": "zeros", "attends": True},
}
DATA = ("fashion_mnist", "cifar10")
# One network on both sets, then the next: cheap ones first, so that a run cut short says much.
ORDER = ("unet_zeros", "resnet_zeros", "resnet_circular", "unet_attention", "unet_circular")
SHOWN = len(THEORIES) + 1  # noises on the sheet: as many as rows


@dataclass(frozen=True)
class TheoryVsNetworkConfig(Config):
    """A variant is ``DATA-NETWORK``; networks and theories have the same training images.

    All but ELS, which compares each window with `anywhere` times H·W others.
    """

    variants: tuple[str, ...] = tuple(f"{data}-{name}" for name in ORDER for data in DATA)
    side: int = 16  # of the images: averages of squares of pixels where theirs is larger
    images: int = 2000  # of the training set, the first ones
    anywhere: int = 500  # of these give the windows of ELS, as many from each as it has pixels
    held_out: int = 32  # images of the test set on which denoisers err
    depth: int = 3  # of the UNets
    widths: tuple[int, ...] = (16, 32, 64, 32)  # of the UNets
    attention: tuple[int, ...] = (8,)  # sides at which the UNet with attention has it
    resnet_width: int = 32
    resnet_blocks: int = 1  # on each way: 4 · blocks + 2 convolutions in all
    norm: str = "none"  # group norm would tell each pixel of all others
    steps: int = 1500
    batch: int = 32
    rate: float = 3e-3
    ema: float = 0.998
    save_every: int = 500
    levels: int = 10  # of the sampler, DDIM, for networks and theories alike
    sigma_min: float = 0.03
    sigma_max: float = 40.0
    noises: int = 64  # from which samples are compared
    calibration: int = 3  # other noises, on whose paths windows are chosen
    windows: tuple[int, ...] = (3, 5, 7, 9, 11, 13)
    softmax_batch: int = 100  # of the control that averages softmaxes
    denoise_below: float = 6.0  # noise levels at which errors on held-out images are measured


@experiment(
    "compare samples of trained networks with those of theories, from equal noise",
    profiles={
        "smoke": TheoryVsNetworkConfig(
            variants=("faces-resnet_circular", "faces-unet_attention"),
            side=8, images=60, held_out=8, depth=2, widths=(8, 8, 8), attention=(4,),
            resnet_width=8, steps=60, batch=16, save_every=20, levels=5, noises=10, calibration=2,
            windows=(3, 5), softmax_batch=20,
        ),
        "book": TheoryVsNetworkConfig(),
        "gpu": TheoryVsNetworkConfig(
            seeds=3, side=32, images=10_000, anywhere=10_000, held_out=200,
            widths=(64, 128, 256, 128), attention=(8,), resnet_width=128, resnet_blocks=2,
            steps=40_000, batch=128, rate=5e-4, ema=0.9995, levels=20, noises=128, calibration=8,
            windows=(3, 5, 7, 9, 11, 13, 15, 17, 21, 25), softmax_batch=500,
        ),
    },
    cost={
        "smoke": "8 s on one CPU core",
        "book": "90 min on one busy CPU core",
        "gpu": "not measured",
    },
    full="gpu",
)  # fmt: skip
def theory_vs_network(config: TheoryVsNetworkConfig, unit: Unit) -> Outcome:
    """Train one network; predict its samples and its answers by each theory."""
    data, _, name = unit.variant.partition("-")
    x, held_out = (part.to(unit.device) for part in images(data, config))
    design = design_of(name, config)
    network = fit(
        design, x, steps=config.steps, batch=config.batch, rate=config.rate, ema=config.ema,
        seed=unit.seed, folder=unit.scratch, save_every=config.save_every,
        progress=lambda done: unit.progress(0.4 * done),
    ).average  # fmt: skip
    sigmas = schedule(config)
    noise, other = noises(x, config)
    _, path = follow(network.denoise, other, sigmas)
    found = theories(
        x, x[: config.anywhere], design.padding, config.windows, config.softmax_batch, path
    )
    unit.progress(0.7)
    made = sampling.ddim(network.denoise, noise, sigmas)
    drawn = _drawn(found, noise, sigmas, unit)
    compared = {theory: agreement(predicted, made) for theory, predicted in drawn.items()}
    levels = [s for s in path.sigmas if s <= config.denoise_below]
    denoisers = {"network": network.denoise, **{k: one.denoise for k, one in found.items()}}
    errors = {k: held_out_errors(d, held_out, levels) for k, d in denoisers.items()}
    metrics = {
        **about(network, x),
        **_on_paths(found, path),
        "levels": levels,
        "held_out_error": {k: each.mean(1) for k, each in errors.items()},
        "seen_error": held_out_errors(network.denoise, x[: len(held_out)], levels).mean(1),
        "copied": {
            k: copied_fraction(s, x, ratio=1 / 3) for k, s in {"network": made, **drawn}.items()
        },
        "agreement": {k: _summary(*three) for k, three in compared.items()},
        **{f"r_{k}": float(r.quantile(0.5)) for k, (r, _, _) in compared.items()},
        **{f"r2_{k}": float(r2.quantile(0.5)) for k, (_, r2, _) in compared.items()},
    }
    kept = _kept(made, drawn, compared) | {"held_out_error": torch.stack([*errors.values()])}
    return Outcome(metrics, tensors=kept, sheets=_sheet(made, drawn))


def _drawn(
    found: Mapping[str, Calibrated], noise: Tensor, sigmas: Tensor, unit: Unit
) -> dict[str, Tensor]:
    """Sample by each theory; what an interrupted run has sampled is read."""
    drawn = {}
    for i, (theory, one) in enumerate(found.items(), start=1):
        drawn[theory] = _once(
            unit.scratch / f"samples-{theory}.safetensors",
            lambda one=one: sampling.ddim(one.denoise, noise, sigmas),
        ).to(noise)
        unit.progress(0.7 + 0.25 * i / len(found))
    return drawn


def _on_paths(found: Mapping[str, Calibrated], path: Path) -> dict:
    """What the calibration saw and chose."""
    return {
        "sigmas": path.sigmas,
        "path_error": {k: one.error for k, one in found.items()},
        "setting": {k: one.setting for k, one in found.items() if one.setting},
        "calibration": {k: one.tried for k, one in found.items() if one.setting},
    }


def images(name: str, config: TheoryVsNetworkConfig) -> tuple[Tensor, Tensor]:
    """Training images and held-out ones (n, C, side, side), averages over squares of pixels."""
    sets = load(name, "train").x[: config.images], load(name, "test").x[: config.held_out]
    factor = -(-sets[0].shape[-1] // config.side)
    more = factor * config.side - sets[0].shape[-1]
    frame = (more // 2, more - more // 2) * 2  # black around 28×28
    return tuple(functional.avg_pool2d(functional.pad(x, frame, value=-1.0), factor) for x in sets)


def design_of(name: str, config: TheoryVsNetworkConfig) -> UNetConfig:
    """Return the design of a network in `NETWORKS`."""
    changes = dict(NETWORKS[name])
    attends = changes.pop("attends", False)
    flat = changes.get("depth") == 0
    widths, blocks = config.widths, 1
    if flat:
        widths, blocks = (config.resnet_width,), config.resnet_blocks
    base = UNetConfig(
        side=config.side, depth=0 if flat else config.depth, widths=widths, blocks=blocks,
        norm=config.norm, attention=config.attention if attends else (),
    )  # fmt: skip
    return replace(base, **changes)


def schedule(config: TheoryVsNetworkConfig) -> Tensor:
    """Return the levels of the sampler."""
    return karras(config.levels, config.sigma_min, config.sigma_max)


def noises(x: Tensor, config: TheoryVsNetworkConfig) -> tuple[Tensor, Tensor]:
    """Starts that are compared, and others for the calibration; no seed of a unit enters."""
    return tuple(
        sampling.initial_noise(n, x.shape[1:], config.sigma_max, seed, x.device)
        for seed, n in enumerate((config.noises, config.calibration))
    )


def about(network: Preconditioned, x: Tensor) -> dict:
    """Size and sight of a network."""
    raw = network.network
    sight = effective_receptive_field(raw, x.shape[1:])
    return {
        "parameters": sum(p.numel() for p in raw.parameters()),
        "reach": sight.reach,
        "effective": sight.effective,
    }


def agreement(predicted: Tensor, made: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Per image: r, R², and r with the prediction from another noise, each (n,)."""
    return (
        pearson_r(predicted, made),
        r_squared(predicted, made),
        pearson_r(predicted.roll(1, 0), made),
    )


def _summary(r: Tensor, r2: Tensor, others: Tensor) -> dict[str, dict[str, float]]:
    """Medians with 95 % intervals over images, and quartiles."""
    return {name: _spread(values) for name, values in (("r", r), ("r2", r2), ("other", others))}


def _spread(values: Tensor) -> dict[str, float]:
    bootstrap = Bootstrap(0.95, 1000, 0)
    median = bootstrap.percentile(float(values.quantile(0.5)), bootstrap.medians(values)[0])
    low, high = values.quantile(values.new_tensor([0.25, 0.75])).tolist()
    return {**median._asdict(), "q25": low, "q75": high}


def _once(path: pathlib.Path, compute: Callable[[], Tensor]) -> Tensor:
    """Compute a tensor, or read what an interrupted run has computed."""
    kept = _files.unpack(path) if path.is_file() else None
    if kept is None:
        answer = compute()
        _files.write(path, _files.pack({"answer": answer}, {}))
        return answer
    return kept[0]["answer"]


def _kept(made: Tensor, drawn: Mapping[str, Tensor], compared: Mapping[str, tuple]) -> dict:
    """All samples of the network, the first ones of theories, and r and R² of each image."""
    return {
        "network": made.half(),
        **{name: samples[:SHOWN].half() for name, samples in drawn.items()},
        "r": torch.stack([r for r, _, _ in compared.values()]).half(),
        "r2": torch.stack([r2 for _, r2, _ in compared.values()]).half(),
    }


def _sheet(made: Tensor, drawn: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A row for the network and each theory, a column for each noise."""
    return {"same_noise": torch.cat([made[:SHOWN], *(s[:SHOWN] for s in drawn.values())])}
