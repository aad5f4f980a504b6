"""Alter one switch of a UNet at a time, train all alike, and judge what each creates."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace

from torch import Tensor
from torch.nn import functional

from ..data.faces.family import Faces
from ..data.images import load
from ..metrics.copying import copied_fraction, novelty_ratio
from ..metrics.features import random_convolution
from ..metrics.frechet import frechet_distance
from ..metrics.kernel import kernel_distance
from ..metrics.manifold import precision_recall
from ..networks.describe import parameters
from ..networks.preconditioning import Preconditioned
from ..networks.sight import effective_receptive_field, equivariance_error
from ..networks.unet import UNetConfig
from . import store
from ._study_designs import design, flops, names
from ._unets import LEVELS, fit, loss_by_level, samples
from .registry import Config, Outcome, Unit, experiment

SHOWN = 64  # samples on a sheet, from the same noise for all networks
FAR = 3.0  # a sample with a pixel beyond has escaped
SIGHT_AT = 2.0  # noise level at which the receptive field is measured


@dataclass(frozen=True)
class UNetStudyConfig(Config):
    """A variant is a data set, the size of the training set and a network, joined by hyphens."""

    family: Faces = field(default_factory=lambda: Faces(positions=1))
    baseline: UNetConfig = field(default_factory=UNetConfig)  # for channels and side of the images
    few: int = 16  # training images that the baseline copies
    many: int | None = 2000  # and those from which it generalises; None: all that a set has
    held_out: int = 1000  # images that no network sees
    steps: int = 3000  # with many images
    sooner: float = 0.5  # length of the training with few, as a share of it
    batch: int = 32
    ema: float = 0.998
    rates: tuple[float, ...] = (2e-3, 4e-3, 8e-3, 1.6e-2)  # tried by each network
    trial: float = 0.08  # length of a trial, as a share of the steps
    save_every: int = 500
    samples: int = 500
    sampler_steps: int = 18  # of Heun's method, two calls each

    def steps_with(self, size: str) -> int:
        """Steps of the training with "many" or "few" images."""
        return round(self.steps * (self.sooner if size == "few" else 1))

    @property
    def tried(self) -> float:
        """The share of a unit's steps that its trials take."""
        return 1 - 1 / (1 + len(self.rates) * self.trial)


def _variants(
    data: Iterable[str], baseline: UNetConfig, chosen: Iterable[str] | None = None
) -> tuple[str, ...]:
    networks = [name.replace(" ", "_") for name in (chosen or names(baseline))]
    return tuple(f"{d}-{size}-{n}" for d in data for size in ("many", "few") for n in networks)


SMOKE = UNetConfig(side=16, depth=2, widths=(8, 8, 8))
BOOK = UNetConfig(side=16, depth=2, widths=(20, 36, 72))
GPU = UNetConfig(side=32, depth=3, widths=(32, 96, 96, 64))


@experiment(
    "alter one switch of a UNet at a time and judge what each creates",
    profiles={
        "smoke": UNetStudyConfig(
            variants=_variants(["faces"], SMOKE, ["baseline", "depth 0"]), baseline=SMOKE, few=8,
            many=100, held_out=50, steps=10, batch=8, rates=(1e-3, 4e-3), trial=0.3, save_every=5,
            samples=20, sampler_steps=4,
        ),
        "book": UNetStudyConfig(
            variants=_variants(["faces"], BOOK), seeds=2, baseline=BOOK,
        ),
        "gpu": UNetStudyConfig(
            variants=_variants(["faces", "fashion_mnist", "cifar10", "celeba"], GPU), seeds=3,
            family=Faces(size=32), baseline=GPU, few=64, many=20_000, steps=8000, batch=256,
            ema=0.999, rates=(5e-4, 1e-3, 2e-3, 4e-3), samples=2000,
        ),
    },
    cost={
        "smoke": "30 s on one CPU core",
        "book": "13 h on one CPU core",
        "gpu": "not measured",
    },
    full="gpu",
)  # fmt: skip
def unet_study(config: UNetStudyConfig, unit: Unit) -> Outcome:
    """Train one network on one set, at the best of several learning rates, and judge it."""
    data, size, name = unit.variant.split("-", 2)
    x, held_out = (part.to(unit.device) for part in _images(data, size, config))
    baseline = replace(config.baseline, channels=x.shape[1], side=x.shape[2])
    network = design(name.replace("_", " "), baseline)
    trials = _trials(network, x, round(config.trial * config.steps_with(size)), config, unit)
    rate = min(zip(trials, config.rates, strict=True))[1]
    trainer = fit(
        network, x, steps=config.steps_with(size), batch=config.batch, rate=rate, ema=config.ema,
        seed=unit.seed, folder=unit.scratch / "run", save_every=config.save_every,
        progress=lambda done: unit.progress(0.9 * (config.tried + (1 - config.tried) * done)),
    )  # fmt: skip
    average = trainer.average
    made = samples(average, x.shape[1:], config.samples, config.sampler_steps)
    metrics = {
        "parameters": parameters(network),
        "flops": flops(network),
        "design": asdict(network),
        "training_images": len(x),
        "rate": rate,
        "trial_losses": trials,
        "images_per_s": trainer.step * config.batch / trainer.history[-1].seconds,
        "last_loss": _finite(trainer.history[-1].loss),
        "escaped": float((made.abs() > FAR).flatten(1).any(1).float().mean()),
        **_seen(average, x, held_out),
        **_distances(made.clamp(-1, 1), x, held_out),
        **(_verdicts(made.clamp(-1, 1), size, config) if data == "faces" else {}),
    }
    return Outcome(metrics, sheets={"samples": made[:SHOWN]})


def _trials(
    network: UNetConfig, x: Tensor, steps: int, config: UNetStudyConfig, unit: Unit
) -> list[float]:
    """Return the mean training loss over all levels after a short run at each rate."""
    record = unit.scratch / "trials.json"
    found: list[float] = store.read_json(record)["losses"] if record.is_file() else []
    for rate in config.rates[len(found) :]:
        trainer = fit(
            network, x, steps=steps, batch=config.batch, rate=rate, ema=config.ema, seed=unit.seed
        )
        losses = loss_by_level(trainer.average, x[: config.held_out])
        found.append(_finite(sum(losses) / len(losses), worst=1e9))
        store.write_json(record, {"losses": found})
        unit.progress(0.9 * config.tried * len(found) / len(config.rates))
    return found


def _seen(network: Preconditioned, x: Tensor, held_out: Tensor) -> dict:
    """Losses by level, and how the trained network sees."""
    own, shape, label = network.network, tuple(x.shape[1:]), math.log(SIGHT_AT) / 4
    field = effective_receptive_field(own, shape, noise_label=label)
    grid = 2**own.config.depth
    return {
        "sigmas": LEVELS,
        "loss_seen": [_finite(v) for v in loss_by_level(network, x[: len(held_out)])],
        "loss_held_out": [_finite(v) for v in loss_by_level(network, held_out)],
        "field": field.effective,
        "reach": field.reach,
        "equivariance_error": _finite(equivariance_error(own, shape, noise_label=label)),
        "equivariance_error_grid": _finite(
            equivariance_error(own, shape, step=grid, noise_label=label)
        ),
    }


def _distances(made: Tensor, x: Tensor, held_out: Tensor) -> dict:
    """Realism and novelty that need no oracle, each beside what held-out images have."""
    n = min(len(made), len(held_out) // 2)
    see = random_convolution()
    real, other, fake = see(held_out[:n]), see(held_out[n : 2 * n]), see(made[:n])
    balls, best = precision_recall(fake, real), precision_recall(other, real)
    copies = copied_fraction(made, x, ratio=1 / 3, held_out=held_out)
    return {
        "frechet": frechet_distance(fake, real),
        "frechet_real": frechet_distance(other, real),
        "kernel": kernel_distance(fake, real),
        "precision": balls.precision,
        "precision_real": best.precision,
        "recall": balls.recall,
        "recall_real": best.recall,
        "third_rule": copies.samples,
        "third_rule_held_out": copies.held_out,
        "novelty_ratio": novelty_ratio(made, x, held_out),
    }


def _verdicts(made: Tensor, size: str, config: UNetStudyConfig) -> dict:
    """The oracle's counts as shares, and the base rate of copies."""
    numbers, _ = _numbers(size, config)
    verdicts = config.family.oracle(numbers)(made.cpu())
    shares = {name: count / len(made) for name, count in verdicts.counts().items()}
    return {**shares, "base_rate": verdicts.base_rate, "margin": float(verdicts.margin.median())}


def _numbers(size: str, config: UNetStudyConfig) -> tuple[Tensor, Tensor]:
    """Numbers of the training faces and the held-out ones: the few are the first of the many."""
    train, held_out = config.family.split(config.many, held_out=config.held_out)
    return (train[: config.few] if size == "few" else train), held_out


def _images(data: str, size: str, config: UNetStudyConfig) -> tuple[Tensor, Tensor]:
    """Training images and held-out ones, with a frame in the border's grey where they need one."""
    if data == "faces":
        return tuple(config.family.render(numbers) for numbers in _numbers(size, config))
    x, held_out = (load(data, split).x for split in ("train", "test"))
    x, held_out = x[: config.few if size == "few" else None], held_out[: config.held_out]
    more = -x.shape[-1] % 2**config.baseline.depth
    frame = (more // 2, more - more // 2) * 2
    return tuple(functional.pad(part, frame, value=-1.0) for part in (x, held_out))


def _finite(value: float, worst: float | None = None) -> float | None:
    return value if math.isfinite(value) else worst
