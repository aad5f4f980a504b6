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
# (sec-unet)=
# # A UNet from scratch
#
# Every denoiser so far was a formula, or was trained to be one. The networks that draw the pictures
# of our time are not. Many of them are {term}`UNets <UNet>`: convolutions that shrink the image step by step, and grow it
# again, with short cuts across. No closed form says what they generate.
#
# In this chapter we build one, small enough to read in a sitting, and train it while you watch. Then we
# hold it against what we *can* compute: the perfect denoiser of its training images, and the linear
# one. We shall see where it misses the perfect denoiser, that it does well to miss it, and
# what it draws in consequence.
#
# ```{admonition} This chapter
# :class: tip
# - **You will learn** what each part of a UNet is for, and what is lost without it; why its input and
#   its target are scaled; how far a trained network is from the least loss, at each noise
#   level, exactly; and whether its samples are copies.
# - **Time** about 60 minutes; two hours with every proof and exercise.
# - **Prerequisites** {doc}`02_denoising_scores_samplers`, {doc}`03_the_perfect_denoiser_copies`, {doc}`04_linear` and, for
#   the measures near the end, {doc}`12_measuring_creativity_and_realism`.
# ```

# %% tags=["parameters", "remove-input"]
profile = "book"  # "smoke": seconds, "book": what the site shows, "gpu": full size
seed = 0

# %% tags=["hide-input"]
import inspect
import math
import textwrap
import time
from dataclasses import replace

import matplotlib.pyplot as plt
import torch

import diffusion_creativity as dc
from diffusion_creativity import metrics, training
from diffusion_creativity.experiments.classifier import part
from diffusion_creativity.networks import (
    Preconditioned,
    UNet,
    UNetConfig,
    describe,
    effective_receptive_field,
    equivariance_error,
)
from diffusion_creativity.widgets import Choice, Explorer, Panel, Slider, marks

run = dc.runtime.start(seed=seed, profile=profile)
COLORS = dc.style.COLORS


def percent(value, digits=0):
    return f"{100 * value:.{digits}f} %"


# %% [markdown]
# ## Train it first
#
# The data are the real digits of 8×8 pixels. One in five is held out: neither the network nor the feature map that
# judges it later has seen those. Below is all that it takes to train. Now and then it stops for a moment, to draw the
# same twenty samples, always from the same noise, and to measure its loss at a few noise levels.

# %%
train, held_out = part("digits", "train").x, part("digits", "test").x  # (N, 1, 8, 8)
config = UNetConfig(side=8, depth=2, widths=(24, 32, 32))
network = Preconditioned(UNet(config), sigma_data=train.std().item())

steps, batch = run.size(smoke=100, book=3200), 64
trainer = training.Trainer(
    network,
    train,
    steps=steps,
    batch=batch,
    seed=seed,
    optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=2e-3),
    schedule=training.cosine_decay(steps, warmup=50),
    ema=0.995,  # samples come from a moving average of the weights
)

# %% tags=["hide-input"]
bayes, affine = dc.denoisers.Bayes.fit(train), dc.denoisers.Affine.fit(train)
levels = torch.logspace(math.log10(0.02), math.log10(20), run.size(smoke=7, book=13)).tolist()
schedule = dc.noise.karras(18)  # with Heun's method, two calls a step
start = dc.sampling.initial_noise(len(held_out), train.shape[1:], seed=seed)


def weight(sigma):
    """1 / c_out²: what the squared error of the denoiser counts in training."""
    return network.scalings(torch.as_tensor(sigma)).weight


def loss_by_level(denoise, x):
    """Weighted loss of each image at each level, (levels, n), always with the same noise."""
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed + 1))
    return torch.stack([
        weight(sigma) * (denoise(x + sigma * noise, sigma) - x).square().flatten(1).mean(1)
        for sigma in levels
    ])  # fmt: skip


few = train[:256]
sheets, curves = {}, {}


def keep(step):
    denoise = trainer.average.denoise
    sheets[step] = dc.sampling.heun(denoise, start[:20], schedule)
    curves[step] = loss_by_level(denoise, few).mean(1)


# %%
moments = [0, 10, 25, 50, 100, 200, 400, 600, 800, 1200, 1600, 2000, 2400, steps]
begun = time.process_time()
keep(0)
for progress in trainer:
    if progress.step in moments:
        keep(progress.step)
denoise = trainer.average.denoise  # denoise(y, sigma) -> x_hat, like every denoiser of this book

# %% tags=["hide-input"]
spent = time.process_time() - begun
floor = loss_by_level(bayes, few).mean(1)
print(f"{steps:,} steps of {batch} images, {spent:.0f} seconds of processor time")


def draw_training(step):
    words = f"After {step:,} of {steps:,} steps."
    return {
        "samples": [marks.images(sheets[step], columns=5, cell=64)],
        "loss": [
            marks.line(levels, floor, color="law", label="least possible", label_at=0.0),
            marks.line(levels, curves[step], color="denoiser", label="network", label_at=0.0),
            marks.points(levels, curves[step], color="denoiser"),
        ],
        "alt": f"{words} Twenty samples of 8×8 pixels, and the loss by noise level, "
        f"{curves[step].mean():.2f} on average, {floor.mean():.2f} is the least possible.",
        "caption": words,
    }


Explorer.precomputed(
    draw_training,
    [Slider("step", sorted(sheets), "training steps", format=",", play=True, start=steps)],
    {"samples": Panel("Twenty samples, always from the same noise", kind="images"),
     "loss": Panel("Loss by noise level", xlabel="noise level σ", ylabel="weighted loss", xlog=True)},
    title="Noise becomes digits while a network learns",
)  # fmt: skip

# %% [markdown]
# Go back to step 0 and move slowly, or press play. The samples of the new network are white noise, and its loss is 1 at low noise and a
# little more at high noise; both will be explained below. First it learns what is large: where digits are bright on the whole.
# At high noise its loss soon comes down to the least possible. Strokes take longer, and at low noise the loss never comes down that far.
# Keep this gap in mind; it is what the chapter is about.
#
# (sec-unet-parts)=
# ## The parts
#
# A UNet walks down a staircase of grids and up again. On each grid it computes with **residual blocks**,
# $h \leftarrow h + g(h)$, where $g$ consists of two convolutions.

# %% tags=["hide-input"] mystnb={"image": {"alt": "The UNet as a diagram: boxes descend on the left, one for each grid, and ascend on the right; arrows across join boxes of one grid."}, "figure": {"caption": "The network of this chapter, drawn from its configuration: channels × side × side on each grid. Left: the way down. Right: the way up. Across: the skips.", "name": "fig-unet-shape"}}
fig, ax = plt.subplots(figsize=(7.2, 3.4))
arrow = {"arrowstyle": "-|>", "color": COLORS["muted"], "shrinkA": 0, "shrinkB": 0}
depth, middle = config.depth, 2.6 * (config.depth + 1)
for i, (side, width) in enumerate(zip(config.sides, config.widths, strict=True)):
    for sign in (-1, 1):
        x, y = middle + sign * (2.6 * (depth - i) + 1.2), -1.5 * i
        ax.add_patch(plt.Rectangle((x - 0.9, y - 0.4), 1.8, 0.8, facecolor="none",
                                   edgecolor=COLORS["denoiser"], linewidth=1.8))  # fmt: skip
        ax.text(x, y, f"{width}×{side}×{side}", ha="center", va="center", fontsize=9)
        if i < depth:
            ends = [(x - sign * 0.4, y - 0.4), (x - sign * 2.2, y - 1.1)][::-sign]
            ax.annotate("", ends[1], ends[0], arrowprops=arrow)
    label = "skip" if i < depth else ""
    ends = [middle + sign * (2.6 * (depth - i) + 0.3) for sign in (-1, 1)]
    ax.annotate("", (ends[1], -1.5 * i), (ends[0], -1.5 * i), arrowprops=arrow)
    ax.text(middle, -1.5 * i + 0.12, label, ha="center", fontsize=9, color=COLORS["muted"])
for sign, word in ((-1, "in"), (1, "out")):
    x = middle + sign * (2.6 * depth + 1.2)
    ends = [(x, 1.2), (x, 0.42)][::-sign]
    ax.annotate("", ends[1], ends[0], arrowprops=arrow)
    ax.text(x + 0.2, 0.8, f"{word} {config.channels}×{config.side}×{config.side}", fontsize=9)
ax.set(xlim=(0, 2 * middle), ylim=(-1.5 * depth - 0.6, 1.3))
ax.axis("off")
plt.show()

# %% [markdown]
# The picture is the program. Here is the whole forward pass, as it ran above:

# %% tags=["hide-input"]
print(textwrap.dedent(inspect.getsource(UNet.forward)))

# %% [markdown]
# and a residual block:

# %% tags=["hide-input"]
block = network.network.encoder[0][0]
print(inspect.getsource(type(block)))

# %% [markdown]
# Layer by layer (`dc.networks.describe`; MFLOP are millions of multiplications and additions for one image):

# %% tags=["hide-input"]
described = describe(config)
dc.runtime.Table(
    ("layer", "output", "parameters", "MFLOP", "made of"),
    [
        (a.name, "×".join(map(str, a.output)), f"{a.parameters:,}", f"{a.flops / 1e6:.2f}", a.parts)
        for a in described.layers
    ]
    + [("together", "", f"{described.parameters:,}", f"{described.flops / 1e6:.2f}", "")],
)

# %% [markdown]
# (sec-unet-halving)=
# ### Why halve? To see far at little cost
#
# A pixel of the output depends on a square of the input. How large is it?
#
# ```{prf:proposition} The reach of a chain of convolutions
# :label: prop-unet-reach
#
# Let layers $1, \dots, m$ have kernels of side $k_\ell$ and strides $s_\ell$. An output depends on no input outside a square of side
#
# $$ R = 1 + \sum_{\ell=1}^m (k_\ell - 1)\, a_{\ell - 1} $$
#
# with the steps $a_0 = 1$ and $a_\ell = s_1 s_2 \cdots s_\ell$, and it depends on the edges of this square if no weight is zero.
# ```
#
# ```{prf:proof}
# In one dimension; rows and columns behave alike. Let $R_\ell$ be the claim for the first $\ell$ layers. Output $p$ of layer $\ell$ sees the inputs from
# $a_\ell\, p$ to $a_\ell\, p + R_\ell - 1$. This holds for $\ell = 0$, where nothing has happened. Output $p$ of layer $\ell + 1$ reads the outputs $s_{\ell+1}p$ to
# $s_{\ell+1}p + k_{\ell+1} - 1$ of layer $\ell$. The first of them sees from $a_\ell s_{\ell + 1} p = a_{\ell+1}p$ on, the last up to $a_{\ell+1} p + (k_{\ell+1} - 1)\, a_\ell + R_\ell - 1$. With
# $R_{\ell+1} = R_\ell + (k_{\ell+1} - 1)\, a_\ell$ that is the claim. Weights that are not zero carry the outermost inputs through.
# ```
#
# Every halving doubles what each later kernel adds, and makes it cheaper by four, since a quarter of the pixels are left. Doubling the image back on the way up
# lets the step $a$ shrink again. So a UNet buys reach on the coarse grids. Compare networks for 32×32 images, all with 32 channels:

# %% tags=["hide-input"]
shapes = [(0, 1), (0, 4), (1, 1), (2, 1), (3, 1)]
wide = {}
for d, blocks in shapes:
    design = UNetConfig(depth=d, widths=(32,) * (d + 1), blocks=blocks, norm="pixel")
    wide[d, blocks] = describe(design)
dc.runtime.Table(
    ("halvings", "blocks on a grid, each way", "MFLOP an image", "exact reach", "holds 95 % of the gradient"),
    [
        (str(d), str(b), f"{w.flops / 1e6:.0f}", *(f"{side}×{side}" for side in (w.field.reach, w.field.effective)))
        for (d, b), w in wide.items()
    ],
)  # fmt: skip

# %% tags=["remove-input"]
deep, flat, thick = wide[3, 1], wide[0, 1], wide[0, 4]
dc.runtime.report(
    unet_deep_cost=percent(deep.flops / flat.flops - 1),
    unet_deep_field=f"{deep.field.effective}×{deep.field.effective}",
    unet_flat_field=f"{flat.field.effective}×{flat.field.effective}",
    unet_thick_field=f"{thick.field.effective}×{thick.field.effective}",
    unet_thick_cost=f"{thick.flops / flat.flops:.1f}",
)

# %% [markdown]
# Three halvings cost {glue:text}`unet_deep_cost` more than none, and what matters to an output pixel grows from {glue:text}`unet_flat_field` to {glue:text}`unet_deep_field`
# pixels. Four times as many blocks on the fine grid cost {glue:text}`unet_thick_cost` times as much for {glue:text}`unet_thick_field`. The last column is the
# {term}`effective receptive field` {cite:p}`luo2016understanding`, the square with 95 % of the squared gradient, here of networks with random weights. It is smaller than the
# reach: more paths lead to the centre than to the edge.
#
# What is on the coarse grid is at home there. A network that halves and doubles knows the coarse pixels, and so it is not equivariant to shifts in the way of
# {doc}`08_factorised_and_equivariant`, even where the image has no border:
#
# ```{prf:proposition} A UNet moves with its input, in large steps
# :label: prop-unet-shifts
#
# Let a UNet halve $L$ times and pad its convolutions circularly. For a circular shift $S$ by multiples of $2^L$ pixels, $F(Sx) = S F(x)$. There are
# weights for which this fails for every other shift.
# ```
#
# ```{prf:proof}
# A circular convolution, an activation, a norm over pixels or channels, and FiLM commute with every shift of their grid. Halving turns a shift by $2j$ pixels into
# one by $j$, doubling turns it back. A shift by a multiple of $2^L$ is a whole shift on each grid, so it passes all layers on the way down. On the way up, the two tensors that
# a skip joins have been shifted alike.
#
# For the second part take no skips, kernels that read their centre only, and nearest-neighbour doubling. Then $F(x)$ is constant on the cells of the coarsest grid, squares of $2^L\times2^L$ pixels, and
# so is $F(Sx)$. Choose weights and an $x$ for which the values of $F(x)$ on different cells differ. If the shift is no multiple of $2^L$, the borders of $SF(x)$ lie inside cells, and
# $SF(x) \ne F(Sx)$.
# ```
#
# Below, the error of "shift, then $F$" against "$F$, then shift", as a share of the output (about 1.4 where the two have nothing in common).


# %% tags=["hide-input"]
def random_network(**switches):
    """A UNet whose every layer acts: a new one returns zeros, which are as equivariant as can be."""
    torch.manual_seed(seed)
    net = UNet(replace(config, **switches))
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d) and not module.weight.any():
            module.reset_parameters()
    return net


shifted = {
    name: [equivariance_error(net, (1, 8, 8), step=s, seed=seed) for s in (1, 2, 4)]
    for name, net in {
        "circular padding, random weights": random_network(padding="circular"),
        "zero padding, trained": trainer.average.network,
    }.items()
}
assert shifted["circular padding, random weights"][2] < 1e-5 < min(shifted["zero padding, trained"])
dc.runtime.Table(
    ("network, two halvings", "any shift", "multiples of 2", "multiples of 4"),
    [(name, *(f"{e:.2g}" for e in errors)) for name, errors in shifted.items()],
)

# %% [markdown]
# Ours is padded with zeros, so it sees the border besides, and no shift leaves it alone. A digit stands in the middle of its image; a network that knows where the middle is can use that.
#
# (sec-unet-skips)=
# ### Why skips? Detail goes around the narrow part
#
# ```{prf:proposition} What passes without skips
# :label: prop-unet-rank
#
# Let $F$ be a UNet without skips in which everything passes a grid of $h\times w$ pixels with $c$ channels. Wherever $F$ is differentiable, the rank of its Jacobian is at most
# $c\,h\,w$. With a skip on the finest grid, no norms and SiLU as activation there are weights with which it is $d$, the number of pixels of a grey image, for almost every image.
# ```
#
# ```{prf:proof}
# Without skips $F = g \circ f$, where $f$ maps the image to the $c\,h\,w$ numbers and $g$ computes the output from them. By the chain rule the Jacobian is a product with an inner
# dimension of $c\,h\,w$.
#
# With the skip, let the stem copy the image into one channel, let all blocks on the finest grid add zero, let what comes up from the coarse grids be zero, and let the head return the activated channel. Then
# $F(x) = a(x)$, pixel by pixel. The slope of SiLU is zero at one point only, so the Jacobian is diagonal, and almost everywhere its $d$ entries are not zero.
# ```
#
# For noise this matters doubly. At low noise a denoiser has to return nearly what it was given, all $d$ directions of it, which no narrow network can. The denoiser is made of $F$ as
# $D = c_\text{skip}\, y + c_\text{out} F$, as we shall see: this is one more skip, around everything. So even a UNet without skips makes a denoiser that passes all directions; only what it
# *changes* has low rank.


# %% tags=["hide-input"]
def jacobian_rank(skips):
    """Rank of ∂F/∂x of a network with random weights and a narrow bottleneck."""
    net = random_network(skips=skips, bottleneck=4).double()
    x, label = train[:1].double(), torch.zeros(1, dtype=torch.float64)
    J = torch.autograd.functional.jacobian(lambda v: net(v, label), x).reshape(64, 64)
    values = torch.linalg.svdvals(J)
    return int((values > 1e-9 * values[0]).sum())


ranks = {skips: jacobian_rank(skips) for skips in ("none", (4,), "all")}
assert ranks["none"] <= 4 * 2 * 2 < ranks["all"]
dc.runtime.Table(
    ("skips, with 4 channels on 2×2 pixels at the bottom", "rank of the Jacobian, of 64"),
    [(name, str(r)) for name, r in zip(("none", "on the grid of 4×4", "all"), ranks.values(), strict=True)],
)  # fmt: skip

# %% [markdown]
# UNets were invented with skips, for outlining cells under a microscope {cite:p}`ronneberger2015unet`: *what* is in the picture is found on the coarse grids, *where* exactly its border runs comes
# through the skips.
#
# (sec-unet-film)=
# ### Why FiLM? One network for all noise levels
#
# The formulas of this book have new coefficients at each $\sigma$. A UNet is told $\sigma$ and must do the rest. In {term}`FiLM` {cite:p}`perez2018film` every channel of every block is multiplied by a factor and
# shifted by an offset, both computed from $\sigma$. Does the network listen? Take held-out digits with noise of one level and tell the network another.

# %% tags=["hide-input"]
told_levels = torch.logspace(math.log10(0.05), math.log10(5), run.size(smoke=9, book=17)).tolist()
true_levels = {"0.2": 0.2, "0.5": 0.5, "1": 1.0}
probe = held_out[:5]
probe_noise, all_noise = (
    torch.randn(x.shape, generator=torch.Generator().manual_seed(seed + 2))
    for x in (probe, held_out)
)
told_error = {
    s: [(denoise(held_out + s * all_noise, t) - held_out).square().mean().sqrt().item() for t in told_levels]
    for s in true_levels.values()
}  # fmt: skip


def draw_told(true, told):
    y, errors = probe + true * probe_noise, told_error[true]
    now = errors[told_levels.index(told)]
    words = f"Noise of level {true:g}, told {told:.2g}: root mean square error {now:.2f}, {min(errors):.2f} at best."
    return {
        "images": [marks.images(torch.cat([y, denoise(y, told)]), vmin=-1, vmax=1, columns=5, cell=72)],
        "error": [
            marks.line(told_levels, errors, color="denoiser", label="error", label_at=0.9),
            marks.vline(true, label="the truth"),
            marks.points([told], [now], color="warning", size=5),
        ],
        "alt": f"Five noisy digits above, their estimates below. {words}",
        "caption": words,
    }  # fmt: skip


Explorer.precomputed(
    draw_told,
    [Slider("told", told_levels, "what the network is told, σ", format=".2g", start=0.5),
     Choice("true", true_levels, "true noise level", start=0.5)],
    {"images": Panel("Noisy above, estimates below", kind="images"),
     "error": Panel("Error on all held-out digits", xlabel="σ that the network is told", ylabel="error per pixel",
                    xlog=True)},
    title="Tell the network the wrong noise level",
)  # fmt: skip

# %% tags=["remove-input"]
best_told = {s: told_levels[min(range(len(e)), key=e.__getitem__)] for s, e in told_error.items()}
dc.runtime.report(
    unet_told=", ".join(f"{best:.2g} for {s:g}" for s, best in best_told.items()),
    unet_told_step=f"{told_levels[1] / told_levels[0]:.2f}",
)

# %% [markdown]
# Told too little, it leaves noise in the image. Told too much, it takes strokes for noise. The levels at which it errs least are {glue:text}`unet_told` (told, for true; the slider moves in steps of a factor {glue:text}`unet_told_step`).
#
# (sec-unet-target)=
# ## What the network is asked
#
# A network's first weights are drawn for inputs and answers of size 1. Noisy images are not of that size: at $\sigma = 80$ they are eighty times as large as at $\sigma = 0$. So the network $F$ gets
# a scaled image, and its answer is scaled too:
# ```{math}
# :label: eq-unet-precondition
# D_\sigma(y) = c_\text{skip}\, y + c_\text{out}\, F_\sigma(c_\text{in}\, y).
# ```
#
# Of $\sigma$ the network is told $\tfrac14 \ln \sigma$, which does not grow large either.
# To have $D_\sigma(y) = x$, the network must answer the **target** $t = (x - c_\text{skip}\, y) / c_\text{out}$. What are good coefficients? This is the derivation of {cite:t}`karras2022elucidating`.
#
# ```{prf:proposition} Input and target of variance one
# :label: prop-unet-precondition
#
# Let a random pixel of a random image have mean $m$ and variance $s^2$, and let $y = x + \sigma n$.
#
# 1. $c_\text{in}\, y$ has variance 1 for $c_\text{in} = 1/\sqrt{s^2 + \sigma^2}$.
# 2. For every $c_\text{skip}$, the target has variance 1 if $c_\text{out}^2 = (1 - c_\text{skip})^2 s^2 + c_\text{skip}^2 \sigma^2$.
# 3. Among these, $c_\text{out}$ is smallest, and with it what an error of $F$ does to $D$, at
#
#    $$
#    \begin{aligned}
#    c_\text{skip} &= \frac{s^2}{s^2 + \sigma^2}, \\
#    c_\text{out} &= \frac{\sigma s}{\sqrt{s^2 + \sigma^2}} .
#    \end{aligned}
#    $$
#
# 4. With these coefficients, a network that returns zeros has the loss
#
#    $$ \frac1d\, \E\norm{t}^2 = 1 + \frac{m^2}{s^2}\, \frac{\sigma^2}{s^2 + \sigma^2} . $$
# ```
#
# ```{prf:proof}
# Image and noise are independent, so variances add: that of $y$ is $s^2 + \sigma^2$, which gives (1). For (2), $x - c_\text{skip}\, y = (1 - c_\text{skip})\, x - c_\text{skip}\, \sigma n$. The variance in (2) is a parabola in
# $c_\text{skip}$. Half its derivative, $c_\text{skip}\sigma^2 - (1 - c_\text{skip})s^2$, vanishes at the value in (3), and there
#
# $$ c_\text{out}^2 = \frac{\sigma^4 s^2 + s^4\sigma^2}{(s^2 + \sigma^2)^2} = \frac{\sigma^2 s^2}{s^2 + \sigma^2} . $$
#
# For (4), the mean square of the target is its variance, 1, plus its squared mean,
#
# $$ \frac{(1 - c_\text{skip})^2 m^2}{c_\text{out}^2} = \frac{m^2}{s^2}\, \frac{\sigma^2}{s^2 + \sigma^2} . $$
# ```
#
# At low noise $c_\text{skip}$ is near 1 and the network is asked for the noise; at high noise $c_\text{skip}$ is near 0 and it is asked for the image. In between it is asked for a mixture of both.
# Part 4 can be checked on the network of step 0, all of whose answers are zero:

# %% tags=["hide-input"] mystnb={"image": {"alt": "Left: three coefficients by noise level; c_skip falls from one to zero, c_out rises from zero to the standard deviation of the data, c_in falls. Right: the loss of a new network, dots on the curve of the formula."}, "figure": {"caption": "Left: the coefficients for digits. Right: loss of the new network by noise level, measured (dots) and by the proposition (line).", "name": "fig-unet-coefficients"}}
fine = torch.logspace(-2, 1.7, 200)
fig, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3))
looks = (("c_skip", "law"), ("c_out", "denoiser"), ("c_in", "generated"))
for (name, color), values in zip(looks, network.scalings(fine), strict=True):
    left.semilogx(fine, values, color=COLORS[color], label=f"${name[0]}_{{\\rm {name[2:]}}}$")
left.legend()
left.set(xlabel="noise level σ", title="Coefficients")
s, m = few.std(correction=0).item(), few.mean().item()
c_skip, c_out, _ = network.scalings(fine)
second = (1 - c_skip) ** 2 * (s**2 + m**2) + c_skip**2 * fine**2  # of x - c_skip y, these images
right.semilogx(fine, second / c_out**2, color=COLORS["law"], label="proposition")
right.semilogx(levels, curves[0], "o", color=COLORS["denoiser"], label="measured")
right.legend()
right.set(xlabel="noise level σ", title="Loss of a new network", ylim=(0, None))
plt.show()
predicted_new = torch.stack([
    ((1 - c.c_skip) ** 2 * (s**2 + m**2) + c.c_skip**2 * level**2) / c.c_out**2
    for level in levels for c in [network.scalings(torch.tensor(level))]
])  # fmt: skip
new_gap = (curves[0] / predicted_new - 1).abs().max().item()
assert new_gap < 0.05  # 16,384 draws of noise: a standard error of at most 1.1 %, of the noise part
dc.runtime.report(unet_new_gap=percent(new_gap, 1))

# %% [markdown]
# The largest difference is {glue:text}`unet_new_gap`. And we can say what the new network draws: its denoiser is $D_\sigma(y) = \frac{s^2}{s^2 + \sigma^2}\, y$, the linear denoiser for white noise of variance
# $s^2$ ({prf:ref}`thm-affine-denoiser`). By {prf:ref}`thm-affine-law` its samples are that white noise, as the widget showed at step 0.
#
# Much of the literature asks networks for something else: for the clean image, for the noise {cite:p}`ho2020denoising`, or for the velocity $v = (n - \sigma x)/\sqrt{1 + \sigma^2}$ {cite:p}`salimans2022progressive`.
#
# ```{prf:proposition} Four questions, one answer
# :label: prop-unet-predictions
#
# Let a network predict the clean image, the noise, the velocity, or the target of {prf:ref}`prop-unet-precondition`. For $\sigma > 0$ each answer determines the denoised image and is determined by it, given $y$. The mean squared error of the answer is
# that of the denoised image, $\norm{D_\sigma(y) - x}^2/d$, times
#
# $$ 1, \quad \frac1{\sigma^2}, \quad 1 + \frac1{\sigma^2}, \quad \frac1{s^2} + \frac1{\sigma^2}. $$
#
# So the ideal denoiser is the same, $\E[x \mid y]$; what differs is how much each noise level counts. At $s = 1$ the fourth question is the third with its sign changed.
# ```
#
# ```{prf:proof}
# Each answer has the form {eq}`eq-unet-precondition` with $c_\text{out} \ne 0$: the clean image with $c_\text{skip} = 0$, $c_\text{out} = 1$; the noise with $1$ and $-\sigma$; the velocity with $1/(1 + \sigma^2)$ and
# $-\sigma/\sqrt{1 + \sigma^2}$, since $x = \bigl(y - \sigma\sqrt{1 + \sigma^2}\, v\bigr)/(1 + \sigma^2)$. For given $y$, the map from $F$ to $D$ is affine with slope $c_\text{out}$, so errors are multiplied by it, and $\norm{F - t}^2 = \norm{D - x}^2/c_\text{out}^2$. For the fourth, $1/c_\text{out}^2 = (s^2 + \sigma^2)/(\sigma^2 s^2)$. At one
# $\sigma$ a constant factor does not move the minimum, which is the posterior mean by {prf:ref}`thm-mmse`. At $s = 1$ the fourth has the $c_\text{skip}$ of the third and the opposite $c_\text{out}$.
# ```
#
# A network of limited size shares itself out among the levels, and there the weight counts, together with how often a level is drawn in training. Here $\ln \sigma$ is normal with mean $-1.2$ and standard deviation $1.2$, the choice of
# {cite:t}`karras2022elucidating`.
#
# (sec-unet-floor)=
# ## How far from perfect?
#
# A loss by itself says little. Is 0.3 good? By {prf:ref}`thm-mmse` the loss of any denoiser is
#
# $$
# \begin{aligned}
# \E\norm{D - x}^2 = {} & \underbrace{\E\norm{D - D^*}^2}_{\text{excess}} \\
# & + \underbrace{\E \tr \Cov(x \mid y)}_{\text{floor}},
# \end{aligned}
# $$
#
# with the perfect denoiser $D^*$, and for a finite training set we *have* the perfect denoiser: it is `Bayes`, the machine of {doc}`03_the_perfect_denoiser_copies`. So floor and excess can be measured apart.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Training loss by step: it falls fast, then slowly, and ends well above a line that marks the least possible loss, and below the line of the linear denoiser."}, "figure": {"caption": "Loss during training, over all noise levels; each dot is the mean of 50 steps. Lines: the best linear denoiser and the perfect one, on the same training set.", "name": "fig-unet-loss"}}
n_levels = run.size(smoke=4000, book=20_000)
generator = torch.Generator().manual_seed(seed + 3)
sigma_drawn = training.LogNormal()(n_levels, generator, train.device)
x_drawn = train[torch.randint(len(train), (n_levels,), generator=generator)]
column = sigma_drawn[:, None, None, None]
y_drawn = x_drawn + column * torch.randn(x_drawn.shape, generator=generator)
w_drawn = weight(sigma_drawn)


def mean_loss(f, x=x_drawn, y=y_drawn):
    """Training loss of any denoiser: mean, and its standard error."""
    each = w_drawn * (f(y, sigma_drawn) - x).square().flatten(1).mean(1)
    return each.mean().item(), each.std().item() / len(each) ** 0.5


whole = {name: mean_loss(f) for name, f in (("network", denoise), ("perfect", bayes), ("linear", affine))}  # fmt: skip
fig, ax = plt.subplots(figsize=(7.2, 3.2))
ax.plot(
    [h.step for h in trainer.history],
    [h.loss for h in trainer.history],
    "o-",
    linewidth=1,
    color=COLORS["denoiser"],
)
for name, color in (("linear", "generated"), ("perfect", "law")):
    ax.axhline(whole[name][0], color=COLORS[color], linewidth=1.8)
    ax.text(steps, whole[name][0] + 0.012, f"{name} denoiser", ha="right", color=COLORS[color])
ax.set(xlabel="training step", ylabel="weighted loss", ylim=(0, None))
plt.show()
excess = (w_drawn * (denoise(y_drawn, sigma_drawn) - bayes(y_drawn, sigma_drawn)).square().flatten(1).mean(1)).mean().item()  # fmt: skip
gap = whole["network"][0] - whole["perfect"][0]
slack = 5 * (whole["network"][1] + whole["perfect"][1])
assert abs(excess - gap) < slack  # the theorem: floor and excess add up to the loss
dc.runtime.report(
    unet_loss=f"{whole['network'][0]:.3f}",
    unet_floor=f"{whole['perfect'][0]:.3f}",
    unet_linear=f"{whole['linear'][0]:.3f}",
    unet_excess=f"{excess:.3f}",
    unet_gap=f"{gap:.3f}",
    unet_steps=f"{steps:,}",
    unet_epochs=f"{steps * batch / len(train):.0f}",
    unet_seconds=f"{spent:.0f}",
)

# %% [markdown]
# After {glue:text}`unet_steps` steps ({glue:text}`unet_epochs` times through the training set, {glue:text}`unet_seconds` seconds of one processor) the loss is {glue:text}`unet_loss`. The perfect denoiser has {glue:text}`unet_floor`, the best linear one {glue:text}`unet_linear`. The
# excess, measured as the distance between the two denoisers, is {glue:text}`unet_excess`; the difference of the two losses is {glue:text}`unet_gap`, as the theorem says.
#
# So the network is far from the least loss. Has training failed? Look at images that the perfect denoiser was not fitted to.
#
# ```{prf:proposition} The perfect denoiser of other images
# :label: prop-unet-held-out
#
# Let $D^*_\sigma$ be the perfect denoiser of training images $x_1, \dots, x_N$, and $x$ an image that is not among them, with one nearest training image $x_1$.
#
# 1. At every $\sigma$, $\norm{D^*_\sigma(y) - x}$ is at least the distance of $x$ to the convex hull of the training images.
# 2. As $\sigma \to 0$, its loss on $x$ tends to $\norm{x_1 - x}^2 > 0$, while that of doing nothing, $D(y) = y$, is $\sigma^2 d \to 0$.
# ```
#
# ```{prf:proof}
# 1\. $D^*_\sigma(y) = \sum_i w_i x_i$ with weights $w_i \ge 0$ that sum to one.
#
# 2\. With $y = x + \sigma n$, the weights satisfy
#
# $$
# \begin{aligned}
# \ln \frac{w_i}{w_1} = {} & -\frac{\norm{x - x_i}^2 - \norm{x - x_1}^2}{2\sigma^2} \\
# & - \frac{\langle n, x_1 - x_i\rangle}{\sigma} .
# \end{aligned}
# $$
#
# The first term tends to $-\infty$ like $1/\sigma^2$, the second grows at most like $1/\sigma$. So $w_1 \to 1$ for every $n$, and $D^*_\sigma(y) \to x_1$. Errors are bounded, by the distance to the furthest training image, so the mean of their squares converges too. The loss of $D(y) = y$ is $\E\norm{\sigma n}^2$.
# ```
#
# At low noise it is a mistake to be perfect. It pays only on the training set.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Two panels with the loss by noise level on training and on held-out images, for the network, the perfect and the linear denoiser. On training images the perfect one is at zero for small noise; on held-out images it leaves the figure at the top. The network is nearly the same in both."}, "figure": {"caption": "Loss by noise level on training images (left) and on held-out ones (right). Bands: 95 % intervals over images. The perfect denoiser of the training set leaves the right panel at the top.", "name": "fig-unet-levels"}}
seen, unseen = train[: len(held_out)], held_out
fitted = {
    "network": (denoise, "denoiser"),
    "perfect": (bayes, "law"),
    "linear": (affine, "generated"),
}
by_level = {
    (name, where): loss_by_level(f, x)
    for name, (f, _) in fitted.items() for where, x in (("train", seen), ("held out", unseen))
}  # fmt: skip
fig, panels = plt.subplots(1, 2, figsize=(7.2, 3.3), sharey=True)
for ax, where in zip(panels, ("train", "held out"), strict=True):
    for name, (_, color) in fitted.items():
        each = by_level[name, where]
        mean, half = each.mean(1), 1.96 * each.std(1) / each.shape[1] ** 0.5
        ax.semilogx(levels, mean, color=COLORS[color], label=name)
        ax.fill_between(
            levels, mean - half, mean + half, color=COLORS[color], alpha=0.2, linewidth=0
        )
    ax.set(
        title="Training images" if where == "train" else "Held-out images",
        xlabel="noise level σ",
        ylim=(0, 1.4),
    )
panels[0].set_ylabel("weighted loss")
panels[0].legend()
plt.show()

# %% tags=["remove-input"]
losses = {key: each.mean(1) for key, each in by_level.items()}


def up_to(better, worse):
    """The last level up to which one mean loss is below another at all levels."""
    count = int((better < worse).long().cumprod(0).sum())
    assert count > 0
    return f"{levels[count - 1]:.2g}"


nothing = torch.tensor([level**2 * weight(level) for level in levels])
at = min(range(len(levels)), key=lambda k: abs(math.log(levels[k] / 0.3)))
ratio = (losses["perfect", "held out"][at] / losses["perfect", "train"][at]).item()
dc.runtime.report(
    unet_beats=up_to(losses["network", "held out"], losses["perfect", "held out"]),
    unet_nothing=up_to(nothing, losses["perfect", "held out"]),
    unet_level=f"{levels[at]:.2g}",
    unet_ratio_network=f"{losses['network', 'held out'][at] / losses['network', 'train'][at]:.2f}",
    unet_ratio_perfect=f"{ratio:,.0f}" if ratio < 1e6 else "more than a million",
    **{
        f"unet_{name}_{where.split()[0]}": f"{losses[name, where][at]:.3f}"
        for name, where in losses
    },
)

# %% [markdown]
# At $\sigma =$ {glue:text}`unet_level`, for instance:
#
# | weighted loss | training images | held-out images |
# |---|---|---|
# | perfect denoiser of the training set | {glue:text}`unet_perfect_train` | {glue:text}`unet_perfect_held` |
# | network | {glue:text}`unet_network_train` | {glue:text}`unet_network_held` |
# | best linear denoiser | {glue:text}`unet_linear_train` | {glue:text}`unet_linear_held` |
#
# On held-out images the network is better than the perfect denoiser of the training set up to $\sigma =$ {glue:text}`unet_beats`. Up to $\sigma =$ {glue:text}`unet_nothing`, even doing nothing is better than perfection. The network was trained on the left panel, and
# no term in its loss asked for the right one. It has not found the function with the least loss, and this is what makes it useful: its loss on images that it has never seen is {glue:text}`unet_ratio_network` times that on those it was trained on. For the perfect denoiser
# the factor is {glue:text}`unet_ratio_perfect`. Which of its parts matter is the question of {doc}`14_small_changes_to_the_unet`.
#
# (sec-unet-sight)=
# ## What it looks at
#
# How far does a pixel of the denoised image depend on the noisy one? Again the squared gradient of the central pixel, now at noisy digits, $y = x + \sigma n$.

# %% tags=["hide-input"] mystnb={"image": {"alt": "A grid of heat maps: rows network, linear, perfect; columns are noise levels. At low noise the network and the linear denoiser look at one pixel, at high noise at the whole image."}, "figure": {"caption": "Mean squared gradient of the central pixel of the denoised image, each map scaled to its largest value; above it, the side of the square that holds 95 %.", "name": "fig-unet-sight"}}
sight_levels = (0.1, 0.3, 1.0, 3.0, 10.0)
looks_at = train[:: len(train) // 64][:64]


def sight(f, sigma):
    """Field of view of a denoiser at noisy digits; the noise is the function's own."""
    return effective_receptive_field(
        lambda z, _: f(looks_at + sigma * z, sigma), (1, 8, 8), examples=len(looks_at), seed=seed
    )


views = {
    name: [sight(f, sigma) for sigma in sight_levels]
    for name, f in {"network": trainer.average, "linear": affine, "perfect": bayes}.items()
}
fig, axes = plt.subplots(3, len(sight_levels), figsize=(6.6, 4.6))
for row, (name, fields) in zip(axes, views.items(), strict=True):
    for ax, field, sigma in zip(row, fields, sight_levels, strict=True):
        ax.imshow(field.gradient / field.gradient.max(), cmap="gray", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
        ax.set_title(
            f"{f'σ = {sigma:g}, ' if name == 'network' else ''}{field.effective}×{field.effective}",
            fontsize=9,
        )
    row[0].set_ylabel(name)
plt.show()

# %% tags=["remove-input"]
sides = [field.effective for field in views["network"]]
dc.runtime.report(
    unet_sight_low=f"{sides[0]}×{sides[0]}",
    unet_sight_high=f"{sides[-1]}×{sides[-1]}",
    unet_sight_perfect=f"{views['perfect'][1].effective}×{views['perfect'][1].effective}",
    unet_sight_network=f"{sides[1]}×{sides[1]}",
)

# %% [markdown]
# At $\sigma = 0.1$ the network looks at {glue:text}`unet_sight_low` pixels, at $\sigma = 10$ at {glue:text}`unet_sight_high`: at low noise the nearest pixels say most about a pixel, at high noise all that is left is the image as a whole. The weights of its
# layers are the same at all levels. FiLM makes the difference, and at low noise the skip around everything, $c_\text{skip}\, y$. The *perfect* denoiser looks elsewhere. Where it is torn between two training images, it looks wherever these differ, at $\sigma = 0.3$ in a
# square of {glue:text}`unet_sight_perfect` pixels, against {glue:text}`unet_sight_network` for the network. A network with a local view cannot tell which training image it is looking at: this is how the machines of
# {doc}`09_local_patches` create.
#
# (sec-unet-creative)=
# ## Is it creative?
#
# Now sample, from the same noise for each denoiser.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Three pairs of rows: samples of the network, of the perfect and of the linear denoiser, each above its nearest training images."}, "figure": {"caption": "Samples from the same noise; below each its nearest training image. The perfect denoiser's samples are their neighbours.", "name": "fig-unet-samples"}}
made = {name: dc.sampling.heun(f, start, schedule) for name, (f, _) in fitted.items()}
fig, axes = plt.subplots(len(made), 1, figsize=(7.2, 4.2))
for ax, (name, x) in zip(axes, made.items(), strict=True):
    nearest = train[metrics.nearest(x[:14], train)[1]]
    dc.style.image_grid(torch.cat([x[:14], nearest]).clamp(-1, 1).numpy(), columns=14, ax=ax)
    ax.set_title(f"{name} (above), nearest training images (below)", fontsize=9)
plt.show()

# %% tags=["hide-input"]
see = metrics.features.classifier("digits")
drawn = {"interval": 0.95, "resamples": run.size(smoke=20, book=200), "seed": seed}
sets = {**made, "training images": train[: len(held_out)]}
measured = {}
for name, x in sets.items():
    rate = metrics.copied_fraction(x, train, ratio=1 / 3, held_out=held_out, interval=0.95)
    measured[name] = {
        "copied": rate.samples,
        "held out": rate.held_out,
        "novelty": metrics.novelty_ratio(x, train, held_out, **drawn),
        "distance": metrics.frechet_distance(see(x), see(held_out), **drawn),
    }
    if name in made and name != "network":
        measured[name]["alike"] = metrics.pearson_r(x, made["network"], **drawn)
measured["held-out images"] = {
    "copied": measured["network"]["held out"],
    "novelty": metrics.novelty_ratio(held_out, train, held_out, **drawn),
}


def cell(interval):
    return f"{interval.value:.3g} ({interval.low:.2g} to {interval.high:.2g})"


dc.runtime.Table(
    (
        "images",
        "copies, third rule",
        "novelty ratio",
        "Fréchet distance to held-out images",
        "correlation with the network's sample",
    ),
    [
        (name, *(cell(found[k]) if k in found else "" for k in ("copied", "novelty", "distance", "alike")))
        for name, found in measured.items()
    ],
)  # fmt: skip

# %% tags=["remove-input"]
assert measured["perfect"]["copied"].value > 0.9 > 0.1 > measured["network"]["copied"].value
if run.profile != "smoke":  # what the prose and the summary say of a network that was trained
    assert losses["network", "held out"][at] < losses["linear", "held out"][at]
    assert measured["network"]["distance"].high < measured["linear"]["distance"].low
network_found = measured["network"]
fake, real = network_found["distance"], measured["training images"]["distance"]
overlap = fake.low <= real.high and real.low <= fake.high
others = metrics.pearson_r(made["perfect"].roll(1, 0), made["network"], **drawn)
dc.runtime.report(
    unet_n=f"{len(start):,}",
    unet_copies=percent(network_found["copied"].value, 1),
    unet_copies_high=percent(network_found["copied"].high, 1),
    unet_copies_held=percent(network_found["held out"].value, 1),
    unet_overlap="overlap" if overlap else "do not overlap",
    unet_alike_perfect=f"{measured['perfect']['alike'].value:.2f}",
    unet_alike_linear=f"{measured['linear']['alike'].value:.2f}",
    unet_alike_others=f"{others.value:.2f}",
    unet_novelty=f"{network_found['novelty'].value:.2f}",
    unet_novelty_range=f"{network_found['novelty'].low:.2f} to {network_found['novelty'].high:.2f}",
    **{
        f"unet_frechet_{name.split()[0]}": f"{measured[name]['distance'].value:.2f}"
        for name in sets
    },
)

# %% [markdown]
# The **third rule** ({prf:ref}`prop-third-rule`) calls {glue:text}`unet_copies` of {glue:text}`unet_n` samples of the network copies, at most {glue:text}`unet_copies_high` by the 95 % interval. Of held-out digits, which nobody copied, it calls {glue:text}`unet_copies_held` so. The samples are {glue:text}`unet_novelty` times
# (95 %: {glue:text}`unet_novelty_range`) as far from the training set as held-out digits are. The perfect denoiser copies.
#
# So they are new. Are they digits? In the features of a classifier of digits the network's Fréchet distance to held-out images is {glue:text}`unet_frechet_network`, against {glue:text}`unet_frechet_linear` for the linear denoiser. The copies of the perfect denoiser have
# {glue:text}`unet_frechet_perfect`, and real training images {glue:text}`unet_frechet_training`, which is what finite samples of one law are apart ({prf:ref}`prop-frechet-bias`). The intervals of the network and of real training images {glue:text}`unet_overlap`. Where they overlap, this measure
# cannot tell the network's samples from real digits at this number of samples; that is not to say that they are all digits. Look at the figure: some are strokes that form none, and a novelty ratio above 1 is in part just that. In the sense of
# {doc}`12_measuring_creativity_and_realism` the network is creative, as far as these measures see.
#
# One more thing shows in the figure. From the same noise the three denoisers draw related images: the median correlation between a sample of the network and that of the perfect denoiser is {glue:text}`unet_alike_perfect`, and {glue:text}`unet_alike_linear` with that of the linear one; with the perfect
# denoiser's sample from *other* noise it is {glue:text}`unet_alike_others`. At high noise all three agree ({numref}`fig-unet-levels`), and so they start in the same direction. They part where the perfect denoiser begins to know which training image it will end on.
#
# (sec-unet-large)=
# ## The larger run
#
# The same code trains larger networks on larger images, best where a GPU is at hand. What to look for: few copies, and losses on training and held-out images
# that lie together, as in {numref}`fig-unet-levels`.

# %% tags=["hide-input"]
large = dc.experiments.largest("unet_baseline")
print(
    dc.experiments.origin(large)
    if large
    else "There is no result of the larger run here. On a machine with a GPU,\n"
    "python -m diffusion_creativity run unet_baseline --profile gpu\nwrites it; --profile t4 is a "
    "size for the GPU that Colab lends for nothing."
)
names = large.record["config"]["variants"] if large else []
dc.runtime.Table(
    ("data", "parameters", "Fréchet distance", "that of training images", "copies, third rule",
     "that of held-out images", "novelty ratio"),
    [
        (name.replace("_", " "), f"{one['parameters']:,}", f"{one['frechet']:.3g}", f"{one['frechet_real']:.3g}",
         percent(one["copied"], 1), percent(one["copied_held_out"], 1), f"{one['novelty_ratio']:.2f}")
        for name in names
        for one in [{u["variant"]: u["metrics"] for u in large.record["units"]}[name]]
    ],
) if large else None  # fmt: skip

# %% tags=["hide-input"] mystnb={"image": {"alt": "For each data set a sheet of samples of the larger network, and below it the loss by noise level on training and on held-out images."}, "figure": {"caption": "The larger run: samples, and below them the weighted loss by noise level on training images (line) and on held-out ones (dashes).", "name": "fig-unet-large"}}
if large:
    fig, axes = plt.subplots(2, len(names), figsize=(7.2, 6), height_ratios=(3, 2), squeeze=False)
    for (top, below), name in zip(axes.T, names, strict=True):
        top.imshow(plt.imread(next(large.folder.glob(f"{name}-0-*.png"))), cmap="gray")
        top.set_title(name.replace("_", " "))
        top.axis("off")
        at_levels = large.values("sigmas", name)[0]
        for metric, dash in (("loss_seen", "-"), ("loss_held_out", "--")):
            below.semilogx(at_levels, large.values(metric, name)[0], dash, color=COLORS["denoiser"])
        below.set(xlabel="noise level σ", ylabel="weighted loss", ylim=(0, None))
    plt.show()

# %% [markdown]
# ## Exercises
#
# ```{exercise} The coefficients
# :label: ex-13-edm
#
# Write `edm(sigma, s)`: the tensors $c_\text{skip}$, $c_\text{out}$ and $c_\text{in}$ for data of standard deviation $s$.
# ```


# %%
def edm(sigma, s): ...  # your code: return c_skip, c_out, c_in


# dc.exercises.check_edm(edm)

# %% [markdown]
# ```{solution-start} ex-13-edm
# :class: dropdown
# ```
#
# {prf:ref}`prop-unet-precondition`, parts 1 and 3.


# %%
def edm_solution(sigma, s):
    total = (s**2 + sigma**2).sqrt()
    return (s / total) ** 2, sigma * s / total, 1 / total


assert dc.exercises.check_edm(edm_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} How far does it see?
# :label: ex-13-reach
#
# Write `reach(layers)`, where `layers` is a list of pairs (kernel, stride): the side of the square that one output depends on. How many 3×3 layers with stride 1 see 63 pixels? How many if every fourth one has stride 2?
# ```


# %%
def reach(layers): ...  # your code: return a whole number


# dc.exercises.check_reach(reach)

# %% [markdown]
# ```{solution-start} ex-13-reach
# :class: dropdown
# ```
#
# {prf:ref}`prop-unet-reach`: add first, with the step so far, then multiply the step. With stride 1 every layer adds 2, so it takes 31. With a stride of 2 in every fourth layer, the layers add $2, 2, 2, 2, 4, 4, 4, 4, 8, \dots$, and
# twelve of them see $1 + 8 + 16 + 32 = 57$; one more adds 16, so it takes 13.


# %%
def reach_solution(layers):
    side, step = 1, 1
    for kernel, stride in layers:
        side += (kernel - 1) * step
        step *= stride
    return side


assert dc.exercises.check_reach(reach_solution)
assert reach_solution([(3, 1)] * 31) == 63
assert reach_solution([(3, 1), (3, 1), (3, 1), (3, 2)] * 3) == 57

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} The average of the weights
# :label: ex-13-average
#
# The samples came from a moving average of the weights, $a_t = \beta_t a_{t-1} + (1 - \beta_t)\, w_t$ for $t = 1, 2, \dots$, with $\beta_t = \min(\beta, t/(t + 9))$. The second term is a warm-up, so that the random weights $a_0$ at the start are forgotten soon.
# Write `average_weights(start, weights, decay)`: $a_0$, the rows $w_1, w_2, \dots$ and $\beta$ in, the last average out.
# ```


# %%
def average_weights(start, weights, decay): ...  # your code: return a tensor like start


# dc.exercises.check_average_weights(average_weights)

# %% [markdown]
# ```{solution-start} ex-13-average
# :class: dropdown
# ```
#
# Without the warm-up, $a_0$ would have the share $\beta^t$: for $\beta = 0.995$ still 37 % after 200 steps.


# %%
def average_weights_solution(start, weights, decay):
    average = start
    for t, w in enumerate(weights, start=1):
        beta = min(decay, t / (t + 9))
        average = beta * average + (1 - beta) * w
    return average


assert dc.exercises.check_average_weights(average_weights_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} The excess
# :label: ex-13-excess
#
# Write `excess_loss(denoise, train, sigma, noise)`: by how much a denoiser's loss on `train + sigma * noise` exceeds the least possible, per pixel. The difference of two losses has the right mean; {prf:ref}`thm-mmse` allows less chance. Use that.
# ```


# %%
def excess_loss(denoise, train, sigma, noise): ...  # your code: return a number


# dc.exercises.check_excess(excess_loss)

# %% [markdown]
# ```{solution-start} ex-13-excess
# :class: dropdown
# ```
#
# Compare the two estimates; the clean image is not needed.


# %%
def excess_loss_solution(denoise, train, sigma, noise):
    y = train + sigma * noise
    best = dc.denoisers.Bayes.fit(train)(y, sigma)
    return (denoise(y, sigma) - best).square().mean().item()


assert dc.exercises.check_excess(excess_loss_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Where the parameters are
# :label: ex-13-count
#
# Write `count_block(inside, outside, kernel, embedding)`: the number of parameters of a residual block with that many channels in and out, with biases, group norms, a 1×1 shortcut where the two numbers differ, and its share of the linear layer of FiLM, which gives a factor and a
# shift for each of the `outside` channels from `embedding` numbers.
# ```


# %%
def count_block(inside, outside, kernel, embedding): ...  # your code: return a whole number


# dc.exercises.check_count_block(count_block)

# %% [markdown]
# ```{solution-start} ex-13-count
# :class: dropdown
# ```
#
# A norm has a factor and a shift for each channel. Convolutions have $k^2$ numbers for each pair of channels and one bias for each output. The table near the start of this chapter has the sum without FiLM, which is listed
# under "noise".


# %%
def count_block_solution(inside, outside, kernel, embedding):
    norms = 2 * inside + 2 * outside
    convolutions = kernel**2 * (inside + outside) * outside + 2 * outside
    shortcut = 0 if inside == outside else inside * outside + outside
    film = 2 * outside * (embedding + 1)
    return norms + convolutions + shortcut + film


assert dc.exercises.check_count_block(count_block_solution)
own = sum(p.numel() for p in block.parameters()) + 2 * config.widths[0] * (config.embedding + 1)
assert count_block_solution(config.widths[0], config.widths[0], 3, config.embedding) == own

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Summary
#
# - A UNet halves the image to see far at little cost ({prf:ref}`prop-unet-reach`), and is thereby bound to its coarsest grid ({prf:ref}`prop-unet-shifts`). Skips let detail around the narrow part
#   ({prf:ref}`prop-unet-rank`). FiLM makes one network serve all noise levels.
# - Its input and its target are scaled to variance one ({prf:ref}`prop-unet-precondition`). Whether it is asked for the image, the noise or the velocity changes the weight of each level, not the ideal
#   denoiser ({prf:ref}`prop-unet-predictions`).
# - The loss has a floor that we can compute. The trained network stays far above it on its training images, and on held-out images at low noise it is better than the perfect denoiser, which pays for its memory
#   ({prf:ref}`prop-unet-held-out`).
# - Its samples are no copies, and in the features of a classifier they are nearer to real digits than those of the linear denoiser, by far.
#
# **Proved:** the statements above. **Measured:** the table of reach, the losses, the fields of view and the novelty of *one* network of one size, from one seed, on one small set; intervals are over images, not over networks.
# **Not covered:** why it misses the perfect denoiser in just this way, and how that changes with its switches ({doc}`14_small_changes_to_the_unet`) and the number of training images ({doc}`16_from_copying_to_generalising`).
#
# UNets are due to {cite:t}`ronneberger2015unet`, their use as denoisers for diffusion to {cite:t}`ho2020denoising`, the preconditioning to {cite:t}`karras2022elucidating`. The question of this book is due to {cite:t}`levine2026diffusion`.
#
# ## References
#
# ```{bibliography}
# :filter: docname in docnames
# ```
