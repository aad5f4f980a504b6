"""Train every constrained network, several seeds at once, and hold it against its closed form."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import sampling
from ..data.images import load
from ..denoisers.affine import Affine, affine_law
from ..denoisers.bayes import Bayes
from ..denoisers.bottleneck import LinearBottleneck
from ..denoisers.convolutional import Convolutional
from ..denoisers.encoder import EncoderBottleneck, pooling
from ..denoisers.factorised import Blockwise, Pixelwise
from ..denoisers.patches import EquivariantLocalScore
from ..denoisers.polynomial import Polynomial
from ..metrics.agreement import pearson_r, r_squared
from ..metrics.distances import energy_test, sliced_wasserstein
from ..metrics.intervals import Bootstrap
from ..networks import constrained as networks
from ..noise import karras
from ..training.settings import cosine_decay
from ..training.trainer import train
from .registry import Config, Outcome, Unit, experiment

Denoiser = Callable[[Tensor, float], Tensor]
ESCAPED = 1e3  # samples beyond are set to it: what polynomials let escape, the table should survive
PICTURED = 8  # samples of each kind on a sheet


@dataclass(frozen=True)
class Pair:
    """A network, and the closed form that is best in its class."""

    network: Callable[[Tensor, Tensor, Sequence[int]], networks.Stack]  # of x, sigmas, seeds
    closed: Callable[[Tensor], Denoiser]  # of x
    rate: float = 0.01  # the highest learning rate of Adam
    few: bool = False  # on few images, and longer: the best one knows each of them
    exact: bool = False  # closed.law(sigmas) is the law on that schedule, no limit of it


def units_of(x: Tensor) -> dict:
    """Centre and scale for a network that may know places."""
    centre = x.mean(0)
    return {"centre": centre, "scale": _size(x - centre)}


def units_by_entry(x: Tensor) -> dict:
    """The same with a scale for each entry, for a network that keeps entries apart."""
    centre = x.mean(0)
    return {"centre": centre, "scale": (x - centre).square().mean(0).sqrt()}


def even_units(x: Tensor) -> dict:
    """The same for a network that treats all places alike."""
    centre = x.mean((0, *range(2, x.ndim)), keepdim=True)[0]
    return {"centre": centre, "scale": _size(x - centre)}


def _size(centred: Tensor) -> float:
    return float(centred.square().mean().sqrt())


def _stack(kind: type, units: Callable[[Tensor], dict], **options) -> Callable:
    return lambda x, sigmas, seeds: kind(x.shape[1:], sigmas, seeds=seeds, **units(x), **options)


def _polynomial(degree: int, basis: str, components: int) -> Pair:
    """A polynomial on principal axes, which the network is given."""
    options = {"degree": degree, "basis": basis, "components": components}

    def build(x: Tensor, sigmas: Tensor, seeds: Sequence[int]) -> networks.Polynomial:
        best = Polynomial.fit(x, **options)
        code = (x.double() - best.mean).flatten(1) @ best.vectors
        return networks.Polynomial(
            x.shape[1:], sigmas, seeds=seeds, degree=degree, joint=basis == "joint",
            basis=best.vectors.T, scale=code.square().mean(0).sqrt(), centre=best.mean,
        )  # fmt: skip

    return Pair(build, lambda x: Polynomial.fit(x, **options))


def _convolution(kernel_size: int | None, padding: str = "circular") -> Pair:
    options = {"kernel_size": kernel_size, "padding": padding}
    return Pair(
        _stack(networks.Convolution, even_units, **options),
        lambda x: Convolutional.fit(x, **options),
        exact=True,
    )


def _pooled(x: Tensor, sigmas: Tensor, seeds: Sequence[int]) -> networks.EncoderBottleneck:
    encoder, units = pooling(x.shape[1:], 2), units_of(x)
    code = (x - units["centre"]).flatten(1).double() @ encoder.T
    units |= {"encoder": encoder, "code_scale": _size(code)}
    return networks.EncoderBottleneck(x.shape[1:], sigmas, seeds=seeds, width=128, **units)


CONSTRAINED = {
    "affine": Pair(_stack(networks.Affine, units_of), Affine.fit, exact=True),
    "conv3": _convolution(3),
    "conv_full": _convolution(None),
    "conv3_zeros": _convolution(3, "zeros"),
    "pixel_affine": _convolution(1),
    "rank8": Pair(
        _stack(networks.LinearBottleneck, units_of, rank=8),
        lambda x: LinearBottleneck.fit(x, rank=8),
        exact=True,
    ),
    "quadratic": Pair(
        _stack(networks.Polynomial, units_by_entry, degree=2),
        lambda x: Polynomial.fit(x, degree=2),
    ),
    "cubic": Pair(
        _stack(networks.Polynomial, units_by_entry, degree=3),
        lambda x: Polynomial.fit(x, degree=3),
    ),
    "cubic_pca": _polynomial(3, "pca", 20),
    "quadratic_joint": _polynomial(2, "joint", 8),
    "pixelwise": Pair(
        _stack(networks.Pixelwise, units_by_entry, width=16), Pixelwise.fit, rate=0.005
    ),
    "pixelwise_shared": Pair(
        _stack(networks.Pixelwise, even_units, width=32, shared=True),
        lambda x: Pixelwise.fit(x, shared=True),
        rate=0.005,
    ),
    "blocks2": Pair(
        _stack(networks.Blockwise, units_of, block=2, width=32),
        lambda x: Blockwise.fit(x, block=2),
        rate=0.005,
    ),
    "blocks4": Pair(
        _stack(networks.Blockwise, units_of, block=4, width=64, skip=False),
        lambda x: Blockwise.fit(x, block=4),
        few=True,
    ),
    "pooled": Pair(
        _pooled, lambda x: EncoderBottleneck.fit(x, encoder=pooling(x.shape[1:], 2)),
        rate=0.005, few=True,
    ),
    "resnet3": Pair(
        _stack(networks.ResNet, even_units, window=3, channels=24),
        lambda x: EquivariantLocalScore.fit(x, window=3, padding="circular"),
        rate=0.005, few=True,
    ),
    "mlp": Pair(
        _stack(networks.MLP, units_of, width=256), Bayes.fit, rate=0.003, few=True
    ),
}  # fmt: skip


@dataclass(frozen=True)
class ConstrainedConfig(Config):
    """A variant is a data set and a name in `CONSTRAINED`, joined by a hyphen.

    The perceptron of the whole image has an experiment of its own, `capacity`.
    """

    variants: tuple[str, ...] = tuple(f"digits-{name}" for name in CONSTRAINED if name != "mlp")
    members: int = 3  # seeds that train side by side in a unit
    levels: int = 12  # of Karras' schedule, from 80 to 0.002
    images: int = 2000  # at most so many, the first ones
    few: int = 10  # and so many where the best denoiser knows each of them
    steps: int = 1000
    longer: int = 3  # times as many steps there
    batch: int = 64
    samples: int = 1000  # generated by each seed and by the closed form
    tests: int = 2000  # noisy images at each level, at least


FACES = ("affine", "conv3", "conv3_zeros", "rank8")
GPU = ("affine", "conv3", "conv3_zeros", "rank8", "cubic", "cubic_pca", "pixelwise_shared",
       "blocks2", "blocks4", "pooled", "resnet3", "mlp")  # fmt: skip


@experiment(
    "train every constrained network and compare it with its closed form",
    profiles={
        "smoke": ConstrainedConfig(
            variants=("digits-affine", "digits-pixelwise_shared"),
            members=2, levels=6, images=200, steps=60, batch=32, samples=60, tests=200,
        ),
        "book": ConstrainedConfig(
            variants=ConstrainedConfig.variants + tuple(f"faces-{name}" for name in FACES)
        ),
        "gpu": ConstrainedConfig(
            variants=tuple(f"fashion_mnist-{name}" for name in GPU),
            images=10_000, steps=5000, batch=256, samples=2000,
        ),
    },
    cost={
        "smoke": "5 s on one CPU core",
        "book": "25 min on one CPU core",
        "gpu": "not measured",
    },
)  # fmt: skip
def constrained(config: ConstrainedConfig, unit: Unit) -> Outcome:
    """Train one network with all its seeds; report loss, law and samples at equal noise."""
    data, name = unit.variant.split("-")
    pair, x = CONSTRAINED[name], load(data).x
    x = x[: config.few if pair.few else config.images]
    steps = config.steps * (config.longer if pair.few else 1)
    sigmas = karras(config.levels)
    seeds = [unit.seed * config.members + k for k in range(config.members)]
    network = pair.network(x, sigmas, seeds).to(unit.device)
    trainer = train(
        network, x, steps=steps, batch=config.batch, seed=unit.seed, bar=False,
        optimizer=lambda p: torch.optim.Adam(p, lr=pair.rate, betas=(0.9, 0.99)),
        schedule=cosine_decay(steps, warmup=steps // 20),
        folder=unit.scratch, progress=lambda done: unit.progress(0.8 * done),
    )  # fmt: skip
    closed = pair.closed(x.to(unit.device))
    metrics = excess_loss(network, closed, x.to(unit.device), config.tests)
    metrics["parameters"] = sum(p.numel() for p in network.parameters()) // config.members
    metrics["training_s"] = trainer.history[-1].seconds
    compared, sheet = samples(network, closed, sigmas, config.samples, pair.exact)
    return Outcome(metrics | compared, sheets={"same_noise": sheet})


def excess_loss(network: networks.Stack, closed: Denoiser, x: Tensor, tests: int) -> dict:
    """Denoising loss above that of the closed form, by seed and level, on noise not trained on.

    In the network's unit: 1 is about what the best constant multiple of y - c has at that level.
    Intervals are over the noisy images.
    """
    generator = torch.Generator().manual_seed(2**31 - 1)
    x = x.repeat(-(-tests // len(x)), *[1] * (x.ndim - 1))
    best, excess = [], []
    for sigma, unit in zip(network.levels.tolist(), network.unit.tolist(), strict=True):
        y = x + sigma * torch.randn(x.shape, generator=generator).to(x)

        def loss(x_hat: Tensor, unit: float = unit) -> Tensor:
            return (x_hat - x).double().div(unit).square().flatten(1).mean(1)

        least = loss(closed(y, sigma))
        best.append(float(least.mean()))
        gaps = [loss(network.denoise(y, sigma, s)) - least for s in range(network.seeds)]
        excess.append([list(Bootstrap(0.95, 200, 0).mean(gap.cpu())) for gap in gaps])
    values = torch.tensor(excess)[..., 0]  # (K, S)
    return {
        "excess": float(values.mean()),
        "excess_worst": float(values.mean(1).max()),  # of the levels
        "excess_by_level": excess,  # (K, S): value, low, high
        "best_by_level": best,
        "sigmas": network.levels.tolist(),
    }


def samples(
    network: networks.Stack, closed: Denoiser, sigmas: Tensor, n: int, exact: bool
) -> tuple[dict, Tensor]:
    """Samples of every seed against the closed form's: at equal noise, and as a law."""
    device = network.levels.device
    starts = [sampling.initial_noise(n, network.shape, float(sigmas[0]), seed, device)
              for seed in (11, 12, 13)]  # fmt: skip
    same, other, another = (_kept(sampling.ddim(closed, start, sigmas)) for start in starts)
    if exact:
        other, another = (closed.law(sigmas).sample(n, seed).to(device) for seed in (12, 13))
    made = [_kept(sampling.ddim(network.denoiser(s), starts[0], sigmas))
            for s in range(network.seeds)]  # fmt: skip
    rows = {"pearson_r": [], "r_squared": [], "law_p": [], "law_distance": []}
    for drawn in made:
        rows["pearson_r"].append(list(pearson_r(drawn, same, interval=0.95)))
        rows["r_squared"].append(list(r_squared(drawn, same, interval=0.95)))
        rows["law_p"].append(energy_test(drawn, other).p_value)
        rows["law_distance"].append(float(sliced_wasserstein(drawn, other)))
    learnt = {}
    if isinstance(network, networks.LinearStack):
        learnt["learnt_law_p"] = [_own_law(network, s, sigmas, made[s])
                                  for s in range(network.seeds)]  # fmt: skip
    summary = {
        "r": _mean(value for value, _, _ in rows["pearson_r"]),
        "r_lowest": min(low for _, low, _ in rows["pearson_r"]),  # end of an interval
        "r2": _mean(value for value, _, _ in rows["r_squared"]),
        "r2_lowest": min(low for _, low, _ in rows["r_squared"]),
        "r_mismatched": float(pearson_r(made[0].roll(1, 0), same).nanmedian()),
        "distance": _mean(rows["law_distance"]),
        "distance_by_chance": float(sliced_wasserstein(another, other)),
        "p": min(rows["law_p"]),
    }
    pictures = torch.cat([part[:PICTURED] for part in (same, *made)])
    by_seed = {f"{key}_by_seed": value for key, value in rows.items()}
    return summary | by_seed | learnt, pictures.clamp(-1, 1).cpu()


def _kept(x: Tensor) -> Tensor:
    return x.nan_to_num(ESCAPED, ESCAPED, -ESCAPED).clamp(-ESCAPED, ESCAPED)


def _own_law(network: networks.LinearStack, s: int, sigmas: Tensor, drawn: Tensor) -> float:
    """The smallest p-value of the samples under the exact law of the trained maps."""
    law = affine_law(lambda sigma: network.maps(sigma, s), sigmas, tuple(network.shape))
    found = law.agreement(drawn.cpu()).statistics
    return min(line.p_value for line in found if line.p_value is not None)


def _mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)
