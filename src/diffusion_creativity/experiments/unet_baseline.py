"""Train the baseline UNet on faces, Fashion-MNIST and CIFAR-10, for the chapters that alter it."""

from dataclasses import asdict, dataclass, field

from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from ..data.faces.family import Faces
from ..data.images import load
from ..metrics.copying import copied_fraction, novelty_ratio
from ..metrics.features import random_convolution
from ..metrics.frechet import frechet_distance
from ..networks.preconditioning import Preconditioned
from ..networks.unet import UNet, UNetConfig
from ._unets import LEVELS, fit, loss_by_level, samples
from .registry import Config, Outcome, Unit, experiment
from .results import Result

SHOWN = 64  # samples on a sheet


@dataclass(frozen=True)
class UNetBaselineConfig(Config):
    """The network and how it is trained."""

    variants: tuple[str, ...] = ("fashion_mnist", "cifar10")
    images: int | None = None  # of the training set; None: all that the set has (5,000 faces)
    held_out: int = 1000  # images that it never sees
    design: UNetConfig = field(default_factory=UNetConfig)  # for channels and side of the images
    steps: int = 20_000
    batch: int = 512
    rate: float = 1e-3  # the highest learning rate of AdamW
    ema: float = 0.999
    save_every: int = 500  # steps between two checkpoints
    samples: int = 1000
    sampler_steps: int = 18  # of Heun's method, two calls each


@experiment(
    "train the baseline UNet and judge what it samples",
    profiles={
        "smoke": UNetBaselineConfig(
            variants=("faces",), images=100, held_out=50, steps=20, batch=16, samples=20,
            design=UNetConfig(depth=2, widths=(8, 8, 8)), save_every=5, sampler_steps=4,
        ),
        "book": UNetBaselineConfig(
            variants=("faces",), design=UNetConfig(depth=2, widths=(32, 64, 64)),
            steps=2500, batch=64, rate=2e-3, ema=0.998, samples=500,
        ),
        "t4": UNetBaselineConfig(
            variants=("faces", "fashion_mnist"), design=UNetConfig(depth=2, widths=(32, 64, 64)),
            steps=10_000, batch=128, rate=2e-3,
        ),
        "gpu": UNetBaselineConfig(
            design=UNetConfig(widths=(64, 96, 128, 128), attention=(8,)),
        ),
    },
    cost={
        "smoke": "5 s on one CPU core",
        "book": "15 min on one CPU core",
        "t4": "not measured; by its operations, 10 min on a GPU like Colab's free one",
        "gpu": "not measured",
    },
    full="gpu",
)  # fmt: skip
def unet_baseline(config: UNetBaselineConfig, unit: Unit) -> Outcome:
    """Train on one set; report losses by level, and how real and how new the samples are."""
    x, held_out = (part.to(unit.device) for part in _images(unit.variant, config))
    trainer = fit(
        config.design, x, steps=config.steps, batch=config.batch, rate=config.rate, ema=config.ema,
        seed=unit.seed, folder=unit.scratch, save_every=config.save_every,
        progress=lambda done: unit.progress(0.9 * done),
    )  # fmt: skip
    average = trainer.average
    shipped = {name: value.half() for name, value in average.network.state_dict().items()}
    average.network.load_state_dict({name: value.float() for name, value in shipped.items()})
    made = samples(average, x.shape[1:], config.samples, config.sampler_steps)
    seen = x[: len(held_out)]
    metrics = {
        "parameters": sum(p.numel() for p in average.parameters()),
        "images_per_s": config.steps * config.batch / trainer.history[-1].seconds,
        "last_loss": trainer.history[-1].loss,
        "sigmas": LEVELS,
        "loss_seen": loss_by_level(average, seen),
        "loss_held_out": loss_by_level(average, held_out),
        "sigma_data": average.sigma_data,
        "design": asdict(average.network.config),
        **judged(unit.variant, made, x, held_out, config),
    }
    return Outcome(metrics, tensors=shipped, sheets={"samples": made[:SHOWN]})


def judged(
    name: str, made: Tensor, x: Tensor, held_out: Tensor, config: UNetBaselineConfig
) -> dict:
    """Realism and novelty of samples, each beside what real images have."""
    made = made.clamp(-1, 1)
    n = min(len(made), len(held_out), len(x))
    see = random_convolution()
    real = see(held_out[:n])
    copies = copied_fraction(made, x, ratio=1 / 3, held_out=held_out, interval=0.95)
    found = {
        "frechet": frechet_distance(see(made[:n]), real),
        "frechet_real": frechet_distance(see(x[:n]), real),  # of training images
        "copied": copies.samples.value,
        "copied_high": copies.samples.high,  # Wilson, 95 %
        "copied_held_out": copies.held_out.value,
        "novelty_ratio": novelty_ratio(made, x, held_out),
    }
    if name == "faces":
        family, numbers, _ = _faces(config)
        shares = family.oracle(numbers)(made).summary()
        found |= {f"faces_{kind}": shares[kind].value for kind in ("copy", "creative", "invalid")}
    return found


def trained(result: Result, variant: str, seed: int = 0) -> Preconditioned:
    """Return the network that a run has left, in float32 on the CPU."""
    design = UNetConfig(**result.values("design", variant)[seed])
    network = Preconditioned(UNet(design), sigma_data=result.values("sigma_data", variant)[seed])
    weights = load_file(result.folder / f"{variant}-{seed}.safetensors")
    network.network.load_state_dict({name: value.float() for name, value in weights.items()})
    return network.eval()


def _images(name: str, config: UNetBaselineConfig) -> tuple[Tensor, Tensor]:
    """Training images and held-out ones, with a frame in the border's grey where they need one."""
    if name == "faces":
        family, numbers, others = _faces(config)
        x, held_out = family.render(numbers), family.render(others)
    else:
        x, held_out = (load(name, split).x for split in ("train", "test"))
        x, held_out = x[: config.images], held_out[: config.held_out]
    factor = 2**config.design.depth
    more = -x.shape[-1] % factor
    frame = (more // 2, more - more // 2) * 2
    return tuple(functional.pad(part, frame, value=-1.0) for part in (x, held_out))


def _faces(config: UNetBaselineConfig) -> tuple[Faces, Tensor, Tensor]:
    family = Faces()
    train_set, held_out = family.split(config.images or 5000, held_out=config.held_out)
    return family, train_set, held_out
