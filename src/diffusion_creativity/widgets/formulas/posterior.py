"""Twins of posterior_1d.js and bayes_2d.js: the perfect denoiser as a posterior mean."""

from __future__ import annotations

import numpy as np

from .. import marks as m
from ..controls import Slider
from ..panel import Panel
from .common import Formula, fixed, numbers, softmax, square


def _line(state: dict, data: dict) -> dict:
    sigma, y, points = state["sigma"], state["y"], data["points"]
    spread = data["variance"] + sigma**2

    def denoise(u):
        distance = np.asarray(u, float)[..., None] - points
        w = softmax(distance**2, np.sqrt(spread))
        return (w * (points + data["variance"] / spread * distance)).sum(axis=-1)

    def density(u):
        return np.exp(-((np.asarray(u, float)[..., None] - points) ** 2) / (2 * spread)).sum(-1)

    low, high = data["low"], data["high"]
    grid = np.linspace(low, high, 321)
    p, top = density(grid), density(grid).max()
    at, x_hat = min(float(density(y) / top), 1.0), float(denoise(y))
    facts = (
        f"y = {fixed(y)} is denoised to {fixed(x_hat)}: the score "
        f"{fixed((x_hat - y) / sigma**2)} times σ² = {fixed(sigma**2, 3)} is the step "
        f"{fixed(x_hat - y)}."
    )
    step = "step σ² ∇ log p"
    return {
        "density": [
            m.area(grid, 0, p / top, color="noise", opacity=0.35),
            m.line(grid, p / top, color="noise"),
            m.points(points, 0 * points, color="data", size=5, label="data"),
            m.arrows(y, at, x_hat, at, color="denoiser", width=2.4, label=step),
            m.points([y], [at], color="ink", size=5, shape="cross", label="noisy y"),
        ],
        "denoiser": [
            m.line([low, high], [low, high], color="muted", dash=True, label="y itself",
                   label_at=0),
            m.line(grid, denoise(grid), color="denoiser", width=2.5, label="denoiser"),
            m.arrows(y, y, y, x_hat, color="denoiser"),
            m.points([y], [x_hat], color="denoiser", size=5),
            m.points([y], [y], color="ink", size=5, shape="cross"),
        ],
        "alt": f"Left: density of noisy data at σ = {fixed(sigma, 3)}. Right: the denoiser as a "
        f"curve. {facts}",
        "caption": facts,
    }  # fmt: skip


def _line_data(data: dict) -> dict:
    points = numbers(data, "points")
    room = 0.35 * float(np.ptp(points)) or 1.0
    low, high = float(points.min()) - room, float(points.max()) + room
    return {"points": points, "variance": float(data.get("variance", 0.0)),
            "low": float(data.get("low", low)), "high": float(data.get("high", high))}  # fmt: skip


def _line_panels(data: dict) -> dict[str, Panel]:
    limits = (data["low"], data["high"])
    return {
        "density": Panel("Density of the noisy data", "y", "density, scaled to its top",
                         xlim=limits, ylim=(-0.06, 1.1), drag=("y", None)),
        "denoiser": Panel("Perfect denoiser", "noisy y", "denoised", xlim=limits, ylim=limits,
                          drag=("y", None)),
    }  # fmt: skip


POSTERIOR_1D = Formula(
    name="posterior_1d",
    title="Denoising is a step up the log-density",
    python=_line,
    prepare=_line_data,
    controls=lambda data: [
        Slider("sigma", label="noise level σ", min=0.02, max=2 * float(data["high"] - data["low"]),
               log=True, points=121, start=0.5, play=True, interval=60),
        Slider("y", label="noisy value y", min=data["low"], max=data["high"],
               step=(data["high"] - data["low"]) / 160, format=".2f",
               start=data["low"] + 0.62 * (data["high"] - data["low"])),
    ],
    panels=_line_panels,
)  # fmt: skip


def _plane(state: dict, data: dict) -> dict:
    sigma, y = state["sigma"], np.array([state["y1"], state["y2"]], float)
    x = data["points"]
    w = softmax(((x - y) ** 2).sum(axis=1), sigma)
    mean = w @ x
    effective, largest = 1 / (w**2).sum(), np.sort(w)[::-1][:12]
    facts = (
        f"The average of {fixed(effective, 1)} training points, effectively; the nearest one has "
        f"weight {fixed(largest[0], 2)}."
    )
    training = "training points, sized by weight"
    return {
        "plane": [
            m.points(*x.T, color="data", size=2 + 11 * np.sqrt(w), opacity=0.75, label=training),
            m.ellipse(*y, sigma, sigma, color="noise", dash=True, width=1.4),
            m.arrows(*y, *mean, color="denoiser", width=2.4),
            m.points(y[:1], y[1:], color="ink", size=5, shape="cross", label="noisy y"),
            m.points(mean[:1], mean[1:], color="denoiser", size=6, label="denoised"),
        ],
        "weights": [m.bars(np.arange(1, len(largest) + 1), largest, width=0.8, color="data")],
        "alt": f"Training points in the plane and a noisy point at ({fixed(y[0])}, {fixed(y[1])}),"
        f" σ = {fixed(sigma, 3)}, denoised to ({fixed(mean[0])}, {fixed(mean[1])}). {facts}",
        "caption": facts,
    }


def _plane_panels(data: dict) -> dict[str, Panel]:
    limits = square(data["points"], 0.25)
    top = min(12, len(data["points"])) + 0.5
    return {
        "plane": Panel("Click or drag to move y", xlim=limits, ylim=limits, aspect="equal",
                       axes=False, drag=("y1", "y2")),
        "weights": Panel("Largest weights", "training points, heaviest first", "weight",
                         xlim=(0.4, top), ylim=(0, 1.05)),
    }  # fmt: skip


def _plane_controls(data: dict) -> list[Slider]:
    low, high = square(data["points"], 0.25)
    place = {"min": low, "max": high, "step": (high - low) / 100, "format": ".2f"}
    return [
        Slider("sigma", label="noise level σ", min=0.02 * (high - low), max=high - low, log=True,
               points=81, format=".3g", start=0.12 * (high - low), play=True, interval=80),
        Slider("y1", label="noisy point, across", start=low + 0.55 * (high - low), **place),
        Slider("y2", label="noisy point, up", start=low + 0.4 * (high - low), **place),
    ]  # fmt: skip


BAYES_2D = Formula(
    name="bayes_2d",
    title="The perfect denoiser averages training points",
    python=_plane,
    prepare=lambda data: {"points": numbers(data, "points", 2)},
    controls=_plane_controls,
    panels=_plane_panels,
)
