"""Networks on training sets of growing size: when do they copy, and when do two of them agree?"""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..data.faces.family import Faces
from ..data.faces.oracle import Oracle
from ..metrics.agreement import pearson_r
from ..metrics.copying import copied_fraction, nearest
from ..networks.unet import UNetConfig
from ._courses import Moment, Pace, course
from .registry import Config, Outcome, Unit, experiment

SHOWN = 24  # samples on a sheet
FILM = 12  # samples kept of every moment
# Steps, in the end a factor of √2 apart.
MOMENTS = (62, 125, 250, 354, 500, 707, 1000, 1414)


@dataclass(frozen=True)
class Kind:
    """What is trained; the default is a pair of networks that differ in their images alone."""

    halves: tuple[int, ...] = (0, 1)  # one network for each
    width: float = 1.0  # factor on the channels
    shuffled: bool = False  # the pixels of all images in another, fixed order
    reseeded: bool = False  # other weights at the start, other order of examples, other noise


KINDS = {
    "pair": Kind(),
    "shuffled": Kind((0,), shuffled=True),
    "single": Kind((0,)),
    "reseeded": Kind((1,), reseeded=True),
    "width_quarter": Kind((0,), width=0.25),
    "width_half": Kind((0,), width=0.5),
    "width_double": Kind((0,), width=2.0),
}


@dataclass(frozen=True)
class GeneralisationConfig(Config):
    """A variant is a name in `KINDS` and the number of training faces, joined by a hyphen."""

    variants: tuple[str, ...] = ()
    size: int = 16  # pixels on each side
    positions: int = 1  # places of the face on each axis: 17,496 valid faces in all
    most: int = 4096  # faces in each of the disjoint halves; a set of N is the first N of one
    held_out: int = 256  # valid faces in neither half
    design: UNetConfig = field(
        default_factory=lambda: UNetConfig(side=16, depth=2, widths=(16, 32, 64))
    )
    pace: Pace = field(default_factory=lambda: Pace(moments=MOMENTS))


@experiment(
    "train two networks on disjoint halves of N faces: do they copy, and do they agree?",
    profiles={
        "smoke": GeneralisationConfig(
            variants=("pair-16", "shuffled-16", "reseeded-16"), most=40, held_out=20,
            design=UNetConfig(side=16, depth=2, widths=(8, 8, 8)),
            pace=Pace(
                moments=(5, 10), batch=8, warmup=2, samples=20, sampler_steps=3, save_every=5
            ),
        ),
        "book": GeneralisationConfig(
            variants=(
                "pair-16", "pair-4096", "pair-256", "shuffled-4096", "single-32", "shuffled-16",
                "single-8", "width_quarter-16", "width_half-16", "pair-64",
                "pair-1024", "width_double-16", "reseeded-4096", "single-128", "single-24",
                "single-12",
            ),
        ),
        "gpu": GeneralisationConfig(
            variants=(
                *(f"pair-{4**k}" for k in range(2, 9)), "shuffled-64", "shuffled-65536",
                "width_quarter-1024", "width_half-1024", "width_double-1024", "reseeded-65536",
            ),
            seeds=3, size=32, positions=3, most=65536, held_out=1024,
            design=UNetConfig(side=32, depth=3, widths=(64, 96, 128, 128)),
            pace=Pace(
                moments=(*MOMENTS, 2000, 2828, 4000, 5657, 8000, 11314, 16000),
                batch=256, rate=1e-3, ema=0.999, samples=1000, sampler_steps=18,
                levels=(0.05, 0.1, 0.2, 0.5, 1.0, 2.0),
            ),
        ),
    },
    cost={
        "smoke": "5 s on one CPU core",
        "book": "about 23 min on one CPU core",
        "gpu": "not measured",
    },
)  # fmt: skip
def generalisation(config: GeneralisationConfig, unit: Unit) -> Outcome:
    """Train one network or a pair on N faces each; judge samples and losses at every moment."""
    name, _, n = unit.variant.rpartition("-")
    kind = KINDS[name]
    family, halves, others = faces(config, unit.seed)
    order = pixel_order(config.size, unit.seed) if kind.shuffled else None
    held_out = family.render(others).to(unit.device)
    courses, verdicts = [], []
    for k, half in enumerate(kind.halves):
        numbers = halves[half][: int(n)]
        x = family.render(numbers).to(unit.device)
        folder = unit.scratch / f"half-{half}"
        folder.mkdir(exist_ok=True)
        moments = course(
            widened(config.design, kind.width), shuffle(x, order), shuffle(held_out, order),
            config.pace, seed=unit.seed + 1000 * kind.reseeded, folder=folder,
            progress=lambda done, k=k: unit.progress((k + done) / len(kind.halves)),
        )  # fmt: skip
        moments = [m._replace(samples=shuffle(m.samples, order, back=True)) for m in moments]
        courses.append(moments)
        verdicts.append(judged(moments, x, held_out, family.oracle(numbers)))
    metrics = {
        "n": int(n),
        "steps": config.pace.moments,
        "levels": config.pace.levels,
        "base_rate": int(n) / len(family),
        **{key: [v[key] for v in verdicts] for key in verdicts[0]},
    }
    if len(courses) == 2:
        train = family.render(halves[0][: int(n)]).to(unit.device)
        metrics["agreement"] = [
            agreement(a.samples, b.samples, train, held_out, family)
            for a, b in zip(*courses, strict=True)
        ]
    last = [moments[-1].samples.clamp(-1, 1) for moments in courses]
    film = [torch.stack([m.samples[:FILM] for m in moments]) for moments in courses]
    return Outcome(
        metrics,
        tensors={"last": torch.stack(last).half(), "film": torch.stack(film).half()},
        sheets={"samples": torch.cat([y[:SHOWN] for y in last])},
    )


def faces(config: GeneralisationConfig, seed: int) -> tuple[Faces, tuple[Tensor, Tensor], Tensor]:
    """The family, the numbers of the faces in the two halves, and those held out from both."""
    family = Faces(size=config.size, positions=config.positions)
    train, held_out = family.split(2 * config.most, held_out=config.held_out, seed=seed)
    return family, (train[: config.most], train[config.most :]), held_out


def pixel_order(size: int, seed: int) -> Tensor:
    """Return an order of the size² pixels, drawn once."""
    return torch.randperm(size**2, generator=torch.Generator().manual_seed(seed))


def shuffle(x: Tensor, order: Tensor | None, *, back: bool = False) -> Tensor:
    """Put the pixels of x (n, C, H, W) in that order, or back; None leaves them where they are."""
    if order is None:
        return x
    order = (order.argsort() if back else order).to(x.device)
    return x.flatten(2)[:, :, order].reshape(x.shape)


def widened(design: UNetConfig, factor: float) -> UNetConfig:
    """Return the design with `factor` times as many channels."""
    return replace(design, widths=tuple(round(factor * width) for width in design.widths))


def judged(moments: list[Moment], x: Tensor, held_out: Tensor, oracle: Oracle) -> dict[str, list]:
    """For every moment: the oracle's shares, the third rule's, and losses by level."""
    rows = []
    for moment in moments:
        made = moment.samples.clamp(-1, 1)
        shares = oracle(made).summary()
        rows.append({
            **{kind: shares[kind].value for kind in ("copy", "creative", "invalid")},
            "local": shares["local"].value,  # some part is malformed
            "third_rule": copied_fraction(made, x, ratio=1 / 3),
            "to_train": distance(made, x),
            "seen": moment.seen.tolist(),
            "unseen": moment.held_out.tolist(),
        })  # fmt: skip
    last = copied_fraction(held_out, x, ratio=1 / 3)
    return {key: [row[key] for row in rows] for key in rows[0]} | {"third_rule_held_out": last}


def distance(samples: Tensor, images: Tensor) -> float:
    """Median distance to the nearest image, root mean square over pixels."""
    return float(nearest(samples, images)[0].median()) / samples[0].numel() ** 0.5


def agreement(
    a: Tensor, b: Tensor, train: Tensor, held_out: Tensor, family: Faces
) -> dict[str, list[float] | float]:
    """How alike samples a and b (n, C, H, W) are pair by pair, beside what else is alike.

    Correlations are medians with 95 % intervals, of images less the mean face, so that two faces
    that have nothing in common but being faces have about 0. The controls: b's sample from other
    noise, and the training image of a's network nearest to its sample. ``same_face`` is the share
    of pairs for which the oracle names one face as the nearest, ``same_traits`` the mean share of
    traits that the two decoded faces have in common; ``…_others`` pairs other noise.
    """
    a, b = a.clamp(-1, 1), b.clamp(-1, 1)
    mean, size = held_out.mean(0), a[0].numel()
    others = b.roll(1, 0)
    closest = train[nearest(a, train)[1]]

    def alike(y: Tensor) -> list[float]:
        return list(pearson_r(a - mean, y - mean, interval=0.95))

    def apart(y: Tensor) -> float:
        return float((a - y).flatten(1).norm(dim=1).median()) / size**0.5

    oracle = family.oracle()
    one, two = (oracle(y).nearest for y in (a, b))
    traits = family.attributes(one.cpu()), family.attributes(two.cpu())
    return {
        "r": alike(b),
        "r_others": alike(others),
        "r_train": alike(closest),
        "apart": apart(b),
        "apart_others": apart(others),
        "apart_train": apart(closest),
        "same_face": float((one == two).double().mean()),
        "same_face_others": float((one == two.roll(1)).double().mean()),
        "same_traits": float((traits[0] == traits[1]).double().mean()),
        "same_traits_others": float((traits[0] == traits[1].roll(1, 0)).double().mean()),
    }
