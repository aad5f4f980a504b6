"""The live figures of prose pages: ``{live-figure} front`` on a page shows what `front` returns.

They are made with the site (``_ext/live_figure.py``), so what they show and count comes from the
package as it is.
"""

import torch

import diffusion_creativity as dc
from diffusion_creativity.widgets import Explorer, Panel, Playground, Slider, marks

IMAGES, SAMPLES, SHOWN, STEPS = 300, 60, 12, 25
WINDOWS = (1, 3, 5, 7, 9, 11, 15)  # with 15 each pixel sees the whole of an 8×8 image


def front() -> Explorer:
    """One slider: how much of the image a pixel of the denoiser sees; copies are counted."""
    train = dc.data.load("digits").subset(IMAGES, seed=0).x
    noise = dc.sampling.initial_noise(SAMPLES, train.shape[1:], seed=1)
    frames = {window: frame(train, noise, window) for window in WINDOWS}
    return Explorer.precomputed(
        lambda window: frames[window],
        [Slider("window", WINDOWS, "side of the window that each pixel sees", start=5,
                unit=" pixels")],
        {
            "made": Panel("Generated (copies have a frame)", kind="images"),
            "nearest": Panel("The nearest training images", kind="images"),
        },
        title="Move the slider: when do new images turn into copies?",
    )  # fmt: skip


def frame(train: torch.Tensor, noise: torch.Tensor, window: int) -> dict:
    """Samples of the best denoiser with this window, beside their nearest training images."""
    denoise = dc.denoisers.LocalScore.fit(train, window=window)
    samples = dc.sampling.ddim(denoise, noise, dc.noise.karras(steps=STEPS))
    nearest = train[dc.metrics.nearest(samples, train)[1]]
    copied = [dc.metrics.copied_fraction(s[None], train) == 1 for s in samples]
    counted = f"{sum(copied)} of {SAMPLES} samples copy one of the {IMAGES} training images"
    outline = ["data" if one else None for one in copied[:SHOWN]]
    return {
        "made": [marks.images(samples[:SHOWN], columns=6, cell=56, outline=outline)],
        "nearest": [marks.images(nearest[:SHOWN], columns=6, cell=56)],
        "caption": f"{counted}. The noise is always the same.",
        "alt": f"Window of {window}×{window} pixels: {counted}. Left, {SHOWN} generated digits, "
        f"{sum(copied[:SHOWN])} of them framed as copies; right, the nearest training images.",
    }


def playground() -> Playground:
    """Targets and architectures, 200 digits among them."""
    digits = dc.data.load("digits").subset(200, seed=0).x
    return Playground("spiral", "polynomial", parameter=3, images=digits, name="digits")
