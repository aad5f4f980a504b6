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
# (sec-project-ideal)=
# # A target made for an architecture
#
# **Question.** For which targets does a convolution with a small kernel generate the target itself?
#
# **Start.** Train on its own samples: let what the architecture generates be the next target, and
# again. Targets that stay put are ideal. For linear convolutions each round is a formula, so we can
# watch the spectrum travel, without any sampling error. What a convincing answer needs is in the
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
# On a ring of 64 pixels a stationary Gaussian target is its power spectrum $S(\omega)$. The best
# kernel of $k$ pixels generates another spectrum ({prf:ref}`thm-conv-window`). We put that in for
# $S$, scaled to the same variance, and repeat.

# %%
length = 64
frequency = torch.fft.fftfreq(length, dtype=torch.float64)
targets = {
    "smooth": 1 / (0.02 + frequency.abs()) ** 2,
    "rough": 0.1 + frequency.abs(),
    "Markov": 1 / (1.25 - torch.cos(2 * torch.pi * frequency)),  # each pixel from its neighbours
}
rounds = run.size(smoke=4, book=60, gpu=400)


def generated(spectrum, kernel):
    """What the best kernel of this size generates, in the limit of many steps, at variance 1."""
    made = dc.denoisers.Convolutional.from_spectrum(0.0, spectrum, kernel_size=kernel).spectrum()
    return made / made.mean()


def distance(a, b):
    """Wasserstein distance per pixel between the Gaussians with these spectra."""
    return (a.sqrt() - b.sqrt()).square().mean().sqrt().item()


paths = {}
for name, spectrum in targets.items():
    for kernel in (3, 5, 9):
        path = [spectrum / spectrum.mean()]
        for _ in range(rounds):
            path.append(generated(path[-1], kernel))
        paths[name, kernel] = path
white = torch.ones(length, dtype=torch.float64)
print("target  kernel  first move  last move  from the start  from white")
for (name, kernel), path in paths.items():
    print(f"{name:7} {kernel:6}  {distance(path[0], path[1]):10.4f} {distance(path[-2], path[-1]):10.1e} "
          f"{distance(path[0], path[-1]):15.4f} {distance(path[-1], white):11.4f}")  # fmt: skip

# %% mystnb={"image": {"alt": "Three panels with power spectra on a logarithmic axis, for the smooth, the rough and the Markov target with a kernel of 5: the target and the spectra after 1, 4 and all rounds."}, "figure": {"caption": "Power spectra for a kernel of 5 pixels: the target (dark) and what is generated after 1, 4 and all rounds.", "name": "fig-project-ideal"}} tags=["hide-input"]
fig, axes = plt.subplots(1, 3, figsize=(7.2, 2.6), sharey=True)
half = slice(0, length // 2)
for ax, name in zip(axes, targets, strict=True):
    path = paths[name, 5]
    ax.semilogy(frequency[half], path[0][half], color=COLORS["data"], lw=2)
    for k, color in ((1, "generated"), (4, "denoiser"), (rounds, "law")):
        ax.semilogy(frequency[half], path[k][half], color=COLORS[color], label=f"{k}")
    ax.set(title=name, xlabel="frequency")
axes[0].set_ylabel("power")
axes[0].legend(title="rounds")
plt.show()

# %% [markdown]
# ## Self-check of the start
#
# White noise stays white for every kernel. The full kernel generates each target itself. And the known
# variances of chapter 5's example come out.

# %%
for kernel in (1, 3, 9, 31):
    assert (generated(white, kernel) - 1).abs().max() < 1e-9
for spectrum in targets.values():
    scaled = spectrum / spectrum.mean()
    assert (generated(scaled, None) / scaled - 1).abs().max() < 1e-6
smooth = targets["smooth"] / targets["smooth"].mean()
known = {1: 0.987, 3: 0.806, 7: 0.885, 31: 0.969}
for kernel, variance in known.items():
    denoise = dc.denoisers.Convolutional.from_spectrum(0.0, smooth, kernel_size=kernel)
    assert abs(denoise.spectrum(dc.noise.karras(400)).mean().item() - variance) < 1e-3
print("The start is sound.")

# %% [markdown]
# ## Your work
#
# 1. Where do the paths end? Is white noise the only target that stays put, for a kernel smaller than the ring?

# %%
# YOUR WORK 1: more targets, more rounds, the last move against the number of rounds.
...

# %% [markdown]
# 2. Two notions of ideal: the best denoiser lies in the architecture at *every* level (aligned, chapter 10), or only
# the law comes out right. Prove which spectra satisfy the first.

# %%
# YOUR WORK 2: a proof, and a check that could refute it.
...

# %% [markdown]
# 3. The same for blocks, bottlenecks, windows: what does each make of its own samples? Use a training set that is
# drawn afresh each round; what does its finite size do?

# %%
# YOUR WORK 3: generations of another architecture, with a control that is trained on the first target each time.
...
