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
# (sec-project-rule)=
# # A rule of your own
#
# **Question.** You give the cartoon faces one more rule, and train only on faces that keep it. Which
# architectures keep your rule without having been told?
#
# **Start.** The rule here: *nobody smiles or grins under a hat*. Hat and mouth are far apart, so a
# denoiser made of two halves must break the rule as often as chance would. We check that,
# and measure denoisers that see windows. What a convincing answer needs is in the
# [chapter on projects](../18_project_ideas.ipynb).

# %% tags=["parameters", "remove-input"]
profile = "book"  # "smoke": seconds, "book": a minute at most, "gpu": full size
seed = 0

# %% tags=["hide-input"]
import matplotlib.pyplot as plt
import torch
from scipy import stats

import diffusion_creativity as dc
from diffusion_creativity.data.faces import TRAITS

run = dc.runtime.start(seed=seed, profile=profile)
COLORS = dc.style.COLORS

# %% [markdown]
# ## The start
#
# A rule is a function of the attributes of faces: true where a face keeps it. Change it to yours.
# An attribute is a column; its values are numbered as in `family.values`.

# %%
family = dc.data.faces.Faces(positions=1)
names = list(family.values)
BARE = family.values["hat"].index("none")
SMILE, GRIN = (family.values["mouth"].index(name) for name in ("smile", "grin"))


def happy(mouth):
    return (mouth == SMILE) | (mouth == GRIN)


def keeps(hat, mouth):
    return (hat == BARE) | ~happy(mouth)


def columns(attributes):
    return attributes[:, names.index("hat")], attributes[:, names.index("mouth")]


candidates = family.split(1000, seed=seed).train
hats, mouths = columns(family.attributes(candidates))
chosen = candidates[keeps(hats, mouths)][: run.size(smoke=100, book=200, gpu=800)]
train = family.render(chosen)
print(f"{len(chosen)} training faces; the rule excludes {(~keeps(hats, mouths)).sum()} of 1000")

# %% [markdown]
# Now samples. The oracle reads the traits of each; samples whose top or mouth is not well drawn are
# left out, and counted. What would chance do? If hats and happy mouths of the samples were as frequent
# as they are, and independent, so many would break the rule: that is the last column.

# %%
n, sigmas = run.size(smoke=40, book=600, gpu=4000), dc.noise.karras(run.size(smoke=12, book=20))
noise = dc.sampling.initial_noise(n, train.shape[1:], seed=seed)
oracle = family.oracle(chosen)
fits = {
    "perfect": dc.denoisers.Bayes.fit(train),
    "upper and lower half": dc.denoisers.Blockwise.fit(train, block=(8, 16)),
    "windows of 5": dc.denoisers.LocalScore.fit(train, window=5),
    "windows of 9": dc.denoisers.LocalScore.fit(train, window=9),
}


def read(samples):
    """Hat and mouth of each sample, and whether both parts are well drawn."""
    verdicts = oracle(samples)
    hat, mouth = (verdicts.traits[:, 2 + TRAITS.index(name)] for name in ("hat", "mouth"))
    drawn = ~verdicts.breaks("top") & ~verdicts.breaks("mouth") & (hat >= 0) & (mouth >= 0)
    return hat, mouth, drawn


sheets, breaches = {}, {}
print("                       well drawn   break the rule   by chance")
for name, denoise in fits.items():
    sheets[name] = dc.sampling.ddim(denoise, noise, sigmas)
    hat, mouth, drawn = read(sheets[name])
    worn, merry = (hat != BARE)[drawn].double(), happy(mouth)[drawn].double()
    breaches[name] = int((worn * merry).sum())
    by_chance = (worn.sum() * merry.mean()).item()
    print(f"{name:22} {drawn.sum():10} {breaches[name]:16} {by_chance:11.1f}")

# %% mystnb={"image": {"alt": "Four rows of eight cartoon faces, one row for each denoiser, all from the same noise."}, "figure": {"caption": "Samples from the same noise. Rows: the perfect denoiser, two halves, windows of 5 and of 9.", "name": "fig-project-rule"}} tags=["hide-input"]
dc.style.image_grid(torch.cat([sheet[:8] for sheet in sheets.values()]), columns=8)
plt.show()

# %% [markdown]
# ## Self-check of the start
#
# The perfect denoiser copies, so it breaks nothing. The halves are independent, with any number of steps
# ({prf:ref}`thm-product`): Fisher's exact test of hats against happy mouths must find nothing. In the
# training faces, the control, it must find the rule.

# %%
assert breaches["perfect"] == 0
assert keeps(*columns(family.attributes(chosen))).all()


def independent(hat, mouth):
    """Fisher's p-value for hats and happy mouths."""
    worn, merry = hat != BARE, happy(mouth)
    pairs = ((worn, merry), (worn, ~merry), (~worn, merry), (~worn, ~merry))
    table = torch.stack([(a & b).sum() for a, b in pairs]).reshape(2, 2)
    return stats.fisher_exact(table.numpy()).pvalue


hat, mouth, _ = read(sheets["upper and lower half"])
of_halves, of_faces = independent(hat, mouth), independent(*columns(family.attributes(chosen)))
print(f"p-value: halves {of_halves:.2g}, training faces {of_faces:.0e}")
assert of_halves > 1e-4
assert of_faces < 1e-4
print("The start is sound.")

# %% [markdown]
# ## Your work
#
# 1. Write your own rule, and what you expect of each architecture *before* you run it.

# %%
# YOUR WORK 1: the rule, and the share of breaches that you expect of each architecture.
...

# %% [markdown]
# 2. Find the window from which on the rule is kept. Does the distance of the two parts decide?

# %%
# YOUR WORK 2: breaches against the size of the window, with intervals, for two rules at least.
...

# %% [markdown]
# 3. Train a network (`dc.networks.UNet`, as in chapter 13) with and without attention, three seeds.

# %%
# YOUR WORK 3: the same measure for trained networks.
...
