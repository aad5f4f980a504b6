# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (sec-study-design)=
# # Design of the study
#
# This page says how the networks of {doc}`14_small_changes_to_the_unet` are made and compared, and
# what we expect of each. It was written before they were trained; its tables come from the code that
# trains them.
#
# (sec-study-switches)=
# ## Question and baseline
#
# **Which design choices of a UNet decide what it creates?** A network of the study is the baseline with one
# switch of `UNetConfig` altered. Everything else is held fixed, as far as that is possible; where it is not,
# there is a control.

# %% tags=["parameters", "remove-input"]
profile = "book"  # "smoke": seconds, "book": what the site shows, "gpu": full size
seed = 0

# %% tags=["hide-input"]
from dataclasses import asdict

import diffusion_creativity as dc
from diffusion_creativity.experiments import hypotheses
from diffusion_creativity.experiments._study_designs import design, flops, names
from diffusion_creativity.experiments.registry import get
from diffusion_creativity.networks.describe import parameters

run = dc.runtime.start(seed=seed, profile=profile)
sizes = {name: get("unet_study").config(name) for name in ("book", "gpu")}


def words(value):
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


switches = {name: asdict(config.baseline) for name, config in sizes.items()}
dc.runtime.Table(
    ("switch of the baseline", "CPU size", "GPU size"),
    [(name, words(switches["book"][name]), words(switches["gpu"][name])) for name in switches["book"]],
)  # fmt: skip

# %% [markdown]
# Of these, `widths` are the channels of each grid, and `bottleneck` narrows the coarsest one to so many. `skips` says which grids
# a skip joins, and `combine` how. `down` and `up` are the ways to halve and to double, and `conditioning` is how the network is told the
# noise level. A network is named by its switch: *skips only 16* keeps the skip at 16×16 pixels alone, *kernel 1* has convolutions of one
# pixel, and in *attention 8* each block at 8×8 pixels looks at all of them.
#
# ## The networks
#
# Each variant has the baseline's number of parameters within a tenth: its widths are scaled. Where that would cost more
# than one and a half times the arithmetic, it gets as many parameters as it may cost, and a **control**: the baseline itself,
# made as small. The table shows the networks of the CPU size.

# %% tags=["hide-input"]
baseline = sizes["book"].baseline
shown = names(baseline) if profile != "smoke" else ("baseline", "kernel 1", "depth 0", "control depth 0")  # fmt: skip
rows = []
for name in shown:
    config = design(name, baseline)
    rows.append((name, words(config.widths), f"{parameters(config):,}",
                 f"{flops(config) / flops(baseline):.2f}"))  # fmt: skip
dc.runtime.Table(("network", "widths", "parameters", "arithmetic, baseline = 1"), rows)

# %% [markdown]
# ## The protocol
#
# - **Data.** Faces of one family, all in one place (CPU size), drawn by {doc}`12_measuring_creativity_and_realism`; every valid
#   face can be listed, and the oracle judges every sample. Two training sets: *few*, which the baseline copies, and *many*, from which it generalises. The few
#   are the first of the many. The same held-out faces for all. The GPU size adds larger faces in nine places, Fashion-MNIST,
#   CIFAR-10 and, where the reader brings it, CelebA.
# - **Training.** The same seed gives all networks the same examples, the same noise and the same order; AdamW, a rate that falls as half a cosine, gradients clipped at 1, an
#   average of the weights.
# - **Learning rate.** Each network and seed chooses its own: short runs at several rates, and the rate with the smallest *training* loss, averaged
#   over noise levels, is taken. No variant loses because the baseline's rate does not suit it; and held-out images play no part in the choice.
# - **Sampling.** Heun's method, the same schedule and the same initial noise for all.
# - **Seeds.** They decide the weights at the start, examples and noise of the training; not the faces, and not the noise of the samples.

# %% tags=["hide-input"]
fields = ("few", "many", "held_out", "steps", "sooner", "batch", "ema", "rates", "trial", "samples", "sampler_steps", "seeds")  # fmt: skip
dc.runtime.Table(
    ("setting", "CPU size", "GPU size"),
    [(name, *(words(getattr(config, name)) for config in sizes.values())) for name in fields],
)

# %% [markdown]
# `few`, `many` and `held_out` are numbers of images, `ema` is what the average of the weights keeps at each step, and `rates` are the learning
# rates that are tried. `sooner` is the length of the training on few images, and `trial` that of each short run, as a share of `steps`.
#
# ## Measures
#
# For each network, training set and seed: the oracle's counts (copies, creative, invalid; rules broken, by kind and one by one); Fréchet and kernel distance in features of random
# convolutions, precision and recall; copies by the third rule, and the novelty ratio; the loss at nine noise levels on training and on held-out images; the receptive field, and how far the network is from
# moving with its input. The definitions are in {doc}`12_measuring_creativity_and_realism` and {doc}`13_a_unet_from_scratch`.
#
# Intervals are over seeds. Networks are compared with the baseline by Dunnett's test on $\arcsin\sqrt{\text{share}}$: it pools the spread between seeds over all networks, and its 95 % hold for all
# comparisons of one measure together.
#
# ## Expectations
#
# *More* and *less* mean than the baseline; *same* means within ten points. Networks are trained on many images where the table does not say few. A few
# expectations follow from theorems of this book, the others are guesses with a reason.

# %% tags=["hide-input"]
reasons = {}  # of each: what is expected, and of which networks
for h in hypotheses.HYPOTHESES:
    expected = f"{h.expected} {h.measure}" + (" (few)" if h.size == "few" else "")
    reasons.setdefault(h.because, {}).setdefault(expected, []).append(h.network)
dc.runtime.Table(
    ("expected", "because"),
    [
        ("; ".join(f"{what}: {', '.join(nets)}" for what, nets in expected.items()), because)
        for because, expected in reasons.items()
    ],
)

# %% [markdown]
# ## What would change our mind
#
# If *same* were missed for most pooling and upsampling kinds, the story "sight decides" would be wrong, and details would decide. If *depth 0* made faces as well as
# the baseline, locality would not matter here. If the network with circular padding copied in clearly more than one of sixteen samples, which
# {prf:ref}`prop-study-places` rules out, our code would be wrong.
#
# Known limits, before any result: one family of drawn faces, one baseline, networks that are small and trained briefly; a
# control of size for two variants only; rates chosen after short runs may not be the best for long ones.
