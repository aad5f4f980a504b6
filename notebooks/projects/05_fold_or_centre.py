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
# (sec-project-fold)=
# # Fold or keep the centre?
#
# **Question.** A machine that sees windows can keep the estimate of the centre pixel alone, or fold
# the estimates of all windows that cover a pixel into their average. When is which one better?
#
# **Start.** Same windows, same training digits, same noise: the error on held-out digits at several
# noise levels, and what both machines generate. What a convincing answer needs is in the
# [chapter on projects](../18_project_ideas.ipynb).

# %% tags=["parameters", "remove-input"]
profile = "book"  # "smoke": seconds, "book": a minute at most, "gpu": full size
seed = 0

# %% tags=["hide-input"]
import matplotlib.pyplot as plt
import torch

import diffusion_creativity as dc

run = dc.runtime.start(seed=seed, profile=profile)
COLORS = dc.style.COLORS

# %% [markdown]
# ## The start
#
# The centre pixel is `LocalScore`, the best denoiser of its window ({prf:ref}`thm-local-window`). Folding is
# `PatchPosterior`: of each window's posterior mean {cite:t}`niedoba2024towards` keep all pixels.
# A pixel near the middle of the image is then an average over all windows that cover it, and these
# together see more than one window does.

# %%
digits = dc.data.load("digits").x
order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(seed))
size, tests = run.size(smoke=150, book=800), run.size(smoke=40, book=250)
train, unseen = digits[order[:size]], digits[order[size : size + tests]]
levels, windows = [0.1, 0.2, 0.4, 0.8, 1.6], run.size(smoke=[1, 3], book=[1, 3, 5, 7])
machines = {"centre": dc.denoisers.LocalScore, "fold": dc.denoisers.PatchPosterior}
hiss = torch.randn(unseen.shape, generator=torch.Generator().manual_seed(seed + 1))

errors = {}
for window in windows:
    for name, machine in machines.items():
        denoise = machine.fit(train, window=window)
        errors[name, window] = torch.stack(
            [(denoise(unseen + s * hiss, s) - unseen).square().flatten(1).mean(1) for s in levels]
        )  # (levels, images)

# %% [markdown]
# The same images and the same noise: so compare in pairs. The table shows the error of folding less
# that of the centre pixel, as a share of the latter, with twice its standard error.

# %%
print("window " + "".join(f"   σ = {s:<11}" for s in levels))
for window in windows:
    centre, fold = errors["centre", window], errors["fold", window]
    gain = (fold - centre).mean(1) / centre.mean(1)
    error = 2 * (fold - centre).std(1) / len(unseen) ** 0.5 / centre.mean(1)
    print(
        f"{window:6} " + "".join(f"   {g:+.3f} ± {e:.3f}" for g, e in zip(gain, error, strict=True))
    )

# %% [markdown]
# And what do they generate?

# %%
n, sigmas = run.size(smoke=20, book=200), dc.noise.karras(run.size(smoke=12, book=30))
noise = dc.sampling.initial_noise(n, train.shape[1:], seed=seed)
window = windows[-2]
made = {
    name: dc.sampling.ddim(machine.fit(train, window=window), noise, sigmas)
    for name, machine in machines.items()
}
for name, samples in made.items():
    copies = dc.metrics.copied_fraction(samples, train, ratio=1 / 3)
    novelty = dc.metrics.novelty_ratio(samples, train, unseen)
    print(f"{name:6} windows of {window}: copies {copies:.3f}, novelty ratio {novelty:.2f}")

# %% mystnb={"image": {"alt": "Two rows of ten generated digits, from the centre pixel above and from folding below."}, "figure": {"caption": "Samples from the same noise: centre pixel above, folding below.", "name": "fig-project-fold"}} tags=["hide-input"]
dc.style.image_grid(torch.cat([samples[:10] for samples in made.values()]), columns=10)
plt.show()

# %% [markdown]
# ## Self-check of the start
#
# A window of one pixel has nothing to fold. A window that covers the image from everywhere is the
# perfect denoiser, which copies.

# %%
assert (errors["centre", 1] - errors["fold", 1]).abs().max() < 1e-5
everything = dc.denoisers.LocalScore.fit(train, window=15)
perfect = dc.denoisers.Bayes.fit(train)
y = unseen[:20] + 0.4 * hiss[:20]
assert (everything(y, 0.4) - perfect(y, 0.4)).abs().max() < 1e-4
print("The start is sound.")

# %% [markdown]
# ## Your work
#
# 1. The fair comparison: the best window of each machine for each level, chosen on other held-out images. Does
# the sign of the table survive?

# %%
# YOUR WORK 1: the table again, with windows chosen on one half and measured on the other.
...

# %% [markdown]
# 2. Three explanations: folding sees more pixels; folding averages errors; folding blurs. Design a control for
# each (the centre pixel of a window of twice the size; independent errors; a blurred centre).

# %%
# YOUR WORK 2: three controls.
...

# %% [markdown]
# 3. Which of the two is nearer to a trained network, at equal noise (`dc.metrics.r_squared`)?

# %%
# YOUR WORK 3: r and R² for each image, medians with intervals, three networks.
...

# %% [markdown]
# ## References
#
# ```{bibliography}
# ```
