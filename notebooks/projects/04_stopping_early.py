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
# (sec-project-stopping)=
# # Stopping early as an architecture
#
# **Question.** A network that is stopped early has not become every function that it could. Is
# stopping after time $\tau$ the same as having another, narrower architecture?
#
# **Start.** For linear denoisers both laws are exact: stopped at $\tau$, and squeezed through a
# bottleneck of rank $k$. For each $\tau$ we look for the rank whose law is nearest. What a convincing
# answer needs is in the [chapter on projects](../18_project_ideas.ipynb).

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
# Gradient flow learns directions of large variance first ({prf:ref}`prop-early-stopping`). So does a
# bottleneck ({prf:ref}`thm-bottle-linear`). Both laws are Gaussians with the eigenvectors of the
# data, so the Wasserstein distance between them is that between the roots of their variances
# (and the means).

# %%
x = dc.data.load("digits").x[: run.size(smoke=300, book=1797)]
sigmas = dc.noise.karras(run.size(smoke=20, book=100))
full = dc.denoisers.Affine.fit(x)
vectors = full.eigenvectors


def spread(law):
    """Mean and standard deviations of a law along the eigenvectors of the data."""
    variances = (vectors.T @ law.cov @ vectors).diagonal().clamp(min=0)
    return torch.cat([law.mean.flatten() @ vectors, variances.sqrt()])


ranks = range(1, full.mean.numel() + 1)
times = torch.logspace(-4, 3, run.size(smoke=8, book=36)).tolist()
narrow = torch.stack(
    [spread(dc.denoisers.LinearBottleneck.fit(x, rank=k).law(sigmas)) for k in ranks]
)
stopped = torch.stack([spread(dc.denoisers.Affine.fit(x, stopped_at=t).law(sigmas)) for t in times])
whole = spread(full.law(sigmas))
distance = torch.cdist(stopped, narrow)  # (times, ranks)
best = distance.min(1)
from_whole = (stopped - whole).norm(dim=1)

# %% mystnb={"image": {"alt": "Above: the rank of the nearest bottleneck against the time of stopping, on logarithmic axes. Below: the distance of the stopped law from the fully trained one and from the nearest bottleneck."}, "figure": {"caption": "Above: the bottleneck whose law is nearest to that of training stopped at τ. Below: how near it is, beside the distance to the law without stopping.", "name": "fig-project-stopping"}} tags=["hide-input"]
fig, (above, below) = plt.subplots(2, 1, figsize=(6, 5), sharex=True)
above.loglog(times, best.indices + 1, ".-", color=COLORS["law"])
above.set_ylabel("rank of the nearest")
below.semilogx(times, from_whole, color=COLORS["data"], label="to full training")
below.semilogx(times, best.values, color=COLORS["law"], label="to the nearest bottleneck")
below.set(xlabel="time of stopping τ", ylabel="Wasserstein distance")
below.legend()
plt.show()

# %%
middle = (from_whole - from_whole.max() / 2).abs().argmin().item()
print(f"half way (τ = {times[middle]:.3g}): {from_whole[middle]:.3f} from full training, "
      f"{best.values[middle]:.3f} from rank {best.indices[middle] + 1}")  # fmt: skip

# %% [markdown]
# ## Self-check of the start
#
# A bottleneck as wide as the image is none, and training without end is not stopped.

# %%
endless = spread(dc.denoisers.Affine.fit(x, stopped_at=1e12).law(sigmas))
assert (endless - whole).abs().max() < 1e-6
assert (narrow[-1] - whole).abs().max() < 1e-6
assert (from_whole.diff() <= 1e-9).all(), "longer training is never farther from its end"
print("The start is sound.")

# %% [markdown]
# ## Your work
#
# 1. Is stopping nearer to a ridge (`Affine.fit(x, ridge=...)`) than to a bottleneck?

# %%
# YOUR WORK 1: the nearest ridge for each time, and both distances on one axis.
...

# %% [markdown]
# 2. Which linear architecture *is* training stopped at τ? Write the set of matrices, or prove that none fits
# all targets.

# %%
# YOUR WORK 2: a statement, and a check that could refute it.
...

# %% [markdown]
# 3. Networks that can copy: the share of copies against training time and the size of the training set.

# %%
# YOUR WORK 3: train with dc.training.train, keep checkpoints, count copies; three seeds.
...
