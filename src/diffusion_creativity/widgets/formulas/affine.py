"""Twins of affine_variance.js and ellipse_2d.js: what a linear denoiser generates."""

from __future__ import annotations

import numpy as np

from .. import marks as m
from ..controls import Choice, Slider
from ..panel import Panel
from .common import Formula, checked, fixed, generated_variance, karras, numbers, square

SIGMA_MIN, SIGMA_MAX = 0.002, 80.0
STEPS = [*range(1, 21), *range(22, 41, 2), *range(45, 101, 5), *range(110, 201, 10)]


def _variance(state: dict, data: dict) -> dict:
    steps, top, rho, ridge = (state[k] for k in ("steps", "sigma_max", "rho", "ridge"))
    low, target = data["sigma_min"], data["eigenvalues"]
    rank = np.arange(1, len(target) + 1)
    finite = generated_variance(target, karras(steps, low, top, rho), ridge)
    c = target + ridge
    limit = top**2 * (low / top) ** (2 * ridge / c) * ((low**2 + c) / (top**2 + c)) ** (target / c)
    limit = limit * (target / (c + low**2)) ** 2
    total, weakest = 100 * finite.sum() / target.sum(), 100 * finite[-1] / target[-1]
    facts = (
        f"{steps} steps keep {fixed(total, 1)} % of the total variance and "
        f"{fixed(weakest, 1)} % in the weakest direction."
    )
    many = "infinitely many steps"
    ring = {"shape": "ring", "label": "generated"}
    return {
        "spectrum": [
            m.line([rank], [limit], color="law", dash=True, label=many),
            m.points(rank, target, color="data", size=3.2, label="data"),
            m.points(rank, finite, color="generated", size=3.2, **ring) | {"width": 1.6},
        ],
        "ratio": [
            m.hline(1, color="data", label="data"),
            m.line(target, limit / target, color="law", dash=True),
            m.line(target, finite / target, color="generated", width=2.5),
        ],
        "alt": "Two plots against the eigenvalues of the data, "
        f"ridge {fixed(ridge, 3)}, largest noise level {fixed(top, 1)}, "
        f"schedule exponent {fixed(rho, 1)}. {facts}",
        "caption": facts,
    }


def _spectrum(data: dict) -> dict:
    values = numbers(data, "eigenvalues")
    values = np.sort(values[values > 1e-12 * values.max()])[::-1].copy()
    if not values.size:
        raise ValueError("data['eigenvalues'] holds no positive number")
    return {"eigenvalues": values, "sigma_min": float(data.get("sigma_min", SIGMA_MIN))}


AFFINE_VARIANCE = Formula(
    name="affine_variance",
    title="Few steps lose variance",
    python=_variance,
    prepare=_spectrum,
    controls=lambda data: [
        Slider("steps", STEPS, "steps K", start=18, play=True, interval=180),
        Slider("sigma_max", [1, 2, 5, 10, 20, 40, 80, 160], "largest noise level σ₀", start=80),
        Slider("rho", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], "schedule exponent ρ", start=7),
        Slider("ridge", [0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1], "ridge γ"),
    ],
    panels=lambda data: {
        "spectrum": Panel(
            "Variance along each eigenvector",
            "eigenvector, strongest first",
            "variance",
            xlim=(0, len(data["eigenvalues"]) + 1),
            ylim=(data["eigenvalues"][-1] / 30, data["eigenvalues"][0] * 3),
            ylog=True,
        ),
        "ratio": Panel(
            "Share of the data's variance",
            "eigenvalue λ of the data",
            "generated / data",
            xlim=(data["eigenvalues"][-1] / 1.5, data["eigenvalues"][0] * 1.5),
            ylim=(0, 1.15),
            xlog=True,
        ),
    },
)


def _ellipse(state: dict, data: dict) -> dict:
    target, steps = state["target"], state["steps"]
    points = data["targets"][target]
    mean, covariance = points.mean(axis=0), np.cov(points.T, bias=True)
    (a, b), (_, c) = covariance
    half, angle = np.hypot((a - c) / 2, b), np.arctan2(2 * b, a - c) / 2
    least = (a + c) / 2 - half  # below rounding: the target is a line
    variances = np.array([(a + c) / 2 + half, least if least > 1e-12 * (a + c) else 0.0])
    sigmas = karras(steps, data["sigma_min"], data["sigma_max"], 7)
    sd = np.sqrt(generated_variance(variances, sigmas))
    axes = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    centre = (axes @ mean * (1 - sd / data["sigma_max"])) @ axes
    samples = centre + (data["noise"] @ axes.T * sd) @ axes
    shares = 100 * sd**2 / np.where(variances > 0, variances, np.inf)
    facts = (
        f"Target {target}, {steps} steps: the samples have {fixed(shares[0], 1)} % and "
        f"{fixed(shares[1], 1)} % of the target's variance along the two axes."
    )
    spread, label = 2 * np.sqrt(variances), "mean ± 2 standard deviations"
    return {
        "data": [
            m.points(*points.T, color="data", size=1.8, opacity=0.8),
            m.ellipse(*mean, *spread, angle, color="ink", dash=True, width=1.4, label=label),
        ],
        "generated": [
            m.points(*samples.T, color="generated", size=1.8, opacity=0.8),
            m.ellipse(*centre, *(2 * sd), angle, color="law", width=2, label="predicted law"),
        ],
        "alt": f"Left: the target. Right: samples inside an ellipse. {facts}",
        "caption": facts,
    }


def _targets(data: dict) -> dict:
    if not isinstance(data.get("targets"), dict) or not data["targets"]:
        raise ValueError("the formula needs data['targets'], a dictionary: name → points (n, 2)")
    targets = {str(k): checked(v, f"target {k!r}", 2) for k, v in data["targets"].items()}
    count = max(len(v) for v in targets.values())
    noise = data.get("noise", np.random.default_rng(0).standard_normal((count, 2)))
    levels = {"sigma_min": SIGMA_MIN, "sigma_max": SIGMA_MAX}
    given = {k: float(data.get(k, v)) for k, v in levels.items()}
    return {"targets": targets, "noise": checked(noise, "data['noise']", 2), **given}


def _planes(data: dict) -> dict[str, Panel]:
    reach = [v.mean(axis=0) + s * 2.6 * v.std(axis=0) for v in data["targets"].values()
             for s in (-1, 1)]  # fmt: skip
    limits = square(np.concatenate([*data["targets"].values(), reach]), 0.04)
    plane = {"xlim": limits, "ylim": limits, "aspect": "equal", "axes": False}
    return {"data": Panel("Target", **plane), "generated": Panel("Generated", **plane)}


ELLIPSE_2D = Formula(
    name="ellipse_2d",
    title="Any target becomes an ellipse",
    python=_ellipse,
    prepare=_targets,
    controls=lambda data: [
        Choice("target", list(data["targets"]), "target"),
        Slider("steps", STEPS, "steps K", start=40, play=True, interval=180),
    ],
    panels=_planes,
)
