"""The picture on the preface: two denoisers, the same noise. ``python book/figures.py`` redraws it.

It writes ``_static/cover.svg`` and, beside it, ``cover.json`` with what was measured; a test runs
the same experiment again and holds both against it.
"""

import hashlib
import json
from pathlib import Path

import matplotlib.pyplot as plt
import torch

import diffusion_creativity as dc

HERE = Path(__file__).parent
SVG, FACTS = HERE / "_static" / "cover.svg", HERE / "_static" / "cover.json"
SAMPLES, SHOWN = 240, 10  # the first ten of the samples are shown: none was picked


def experiment() -> dict[str, dict]:
    """Sample both denoisers of the digits from one noise; find each sample's nearest image."""
    digits = dc.data.load("digits").x
    sigmas = dc.noise.karras(steps=40)
    noise = dc.sampling.initial_noise(SAMPLES, digits.shape[1:], seed=0)
    results = {}
    for name in ("Bayes", "Affine"):
        denoise = getattr(dc.denoisers, name).fit(digits)
        samples = dc.sampling.heun(denoise, noise, sigmas)
        distances, indices = dc.metrics.nearest(samples, digits)
        results[name] = {
            "samples": samples[:SHOWN],
            "nearest": digits[indices[:SHOWN]],
            "copies": round(SAMPLES * dc.metrics.copied_fraction(samples, digits)),
            "median_distance": round(distances.median().item(), 2),
            "indices": indices[:SHOWN].tolist(),
        }
    return results


def facts(results: dict[str, dict]) -> dict:
    """What the test compares: everything but the pictures."""
    shown = ("copies", "median_distance", "indices")
    measured = {name: {key: one[key] for key in shown} for name, one in results.items()}
    return {"samples": SAMPLES, **measured}


def draw(results: dict[str, dict]) -> plt.Figure:
    """Four strips: samples above their nearest training images, twice."""
    dc.style.use()
    figure, axes = plt.subplots(4, 1, figsize=(4.6, 3.3))
    strips = (
        ("The perfect denoiser generates", "Bayes", "samples", "generated"),
        ("nearest training images; copied: {copies} of {n}", "Bayes", "nearest", "data"),
        ("The linear one, from the same noise", "Affine", "samples", "generated"),
        ("nearest training images; copied: {copies} of {n}", "Affine", "nearest", "data"),
    )
    for ax, (title, name, key, colour) in zip(axes, strips, strict=True):
        dc.style.image_grid(results[name][key], columns=SHOWN, ax=ax)
        text = title.format(copies=results[name]["copies"], n=SAMPLES)
        ax.set_title(text, color=dc.style.COLORS[colour], fontsize=11.5, pad=3)
    return figure


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    """Draw, and write down what was measured and with which script."""
    torch.set_num_threads(1)
    results = experiment()
    SVG.write_text(dc.style.themed_svg(draw(results)), encoding="utf-8")
    record = {**facts(results), "script": digest(Path(__file__)), "svg": digest(SVG)}
    FACTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"{SVG.name}: {SVG.stat().st_size / 1000:.0f} kB; {json.dumps(facts(results))}")


if __name__ == "__main__":
    main()
