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
# (sec-project-symmetry)=
# # Half a symmetry
#
# **Question.** A denoiser that treats mirror images alike invents the mirror image of everything it
# has seen. How symmetric must a target be for that to pay?
#
# **Start.** The cartoon faces are mirror symmetric. We make a world that is not: nobody looks to
# the right. A dial sets how many look to the left. The law of the best equivariant denoiser is
# known, so all shares below are exact. What a convincing answer needs is in the
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
# The best denoiser that commutes with a group is the perfect denoiser of the training set *and* its
# images under the group, and it generates all of them equally often ({prf:ref}`thm-equivariant`,
# {prf:ref}`thm-orbit`). With the mirror alone: half of all samples are training faces, the other
# half mirrored ones. We only have to judge the mirrored ones.

# %%
family = dc.data.faces.Faces()
names = list(family.values)
GAZE = names.index("gaze")
LEFT, AHEAD, RIGHT = range(3)  # as in family.values["gaze"]
size = run.size(smoke=60, book=400, gpu=4000)


def world(share, seed):
    """Numbers of `size` training faces, of which a share looks left and the rest ahead."""
    some = family.split(10 * size, seed=seed).train
    gaze = family.attributes(some)[:, GAZE]
    left = round(share * size)
    return torch.cat([some[gaze == LEFT][:left], some[gaze == AHEAD][: size - left]])


def mirrored(train):
    """Copies, new valid faces and forbidden ones among the mirrored training faces."""
    verdicts = family.oracle(train)(family.render(train).flip(-1))
    right = family.attributes(verdicts.nearest)[:, GAZE] == RIGHT
    forbidden = (verdicts.label == 2) | right
    return [
        int(((verdicts.label == 0) & ~forbidden).sum()),
        int(((verdicts.label == 1) & ~forbidden).sum()),
        int(forbidden.sum()),
    ]


shares = torch.linspace(0, 1, run.size(smoke=3, book=6)).tolist()
seeds = range(seed, seed + run.size(smoke=2, book=3, gpu=10))
counts = torch.tensor([[mirrored(world(s, k)) for k in seeds] for s in shares]).double()
of_all = counts / (2 * size)  # half of the samples are mirrored faces
of_all[..., 0] += 0.5  # the other half are the training faces themselves
for share, (copy, new, forbidden) in zip(shares, of_all.mean(1).tolist(), strict=True):
    print(f"{share:.0%} look left: copies {copy:.3f}, new and valid {new:.3f}, "
          f"forbidden {forbidden:.3f}")  # fmt: skip

# %% mystnb={"image": {"alt": "Three lines against the share of training faces that look left: copies stay a little above one half; new and valid faces fall towards zero; forbidden faces rise to one half."}, "figure": {"caption": "What the best mirror-equivariant denoiser generates, exactly, in a world where nobody looks right. A point for each of several training sets.", "name": "fig-project-symmetry"}} tags=["hide-input"]
kinds = {"copies": "data", "new and valid": "law", "forbidden": "warning"}
for k, (kind, color) in enumerate(kinds.items()):
    plt.plot(shares, of_all[..., k].mean(1), color=COLORS[color], label=kind)
    plt.plot(shares, of_all[..., k], ".", color=COLORS[color])
plt.xlabel("share of training faces that look left")
plt.ylabel("share of samples")
plt.legend()
plt.show()

# %% [markdown]
# ## Self-check of the start
#
# Without the extra rule the family is mirror symmetric: no mirrored face is malformed. With it, exactly
# those are forbidden whose original looks left. And real samples follow the law.

# %%
assert torch.equal(
    counts[..., 2],
    torch.tensor([[float(round(s * size))] for s in shares]).expand_as(counts[..., 2]),
)
few = family.render(world(0.5, seed)[:40])
denoise = dc.denoisers.Bayes.fit(torch.cat([few, few.flip(-1)]))  # the orbit under the mirror
n = run.size(smoke=100, book=1000)
start = dc.sampling.initial_noise(n, few.shape[1:], seed=seed)
drawn = dc.sampling.ddim(denoise, start, dc.noise.karras(run.size(smoke=40, book=60)))
assert dc.metrics.copied_fraction(drawn, torch.cat([few, few.flip(-1)])) == 1
from_train = (dc.metrics.nearest(drawn, few)[0] < 1e-3).sum().item()
print(f"{from_train} of {n} samples are training faces")
assert abs(from_train - n / 2) < 4.5 * (n / 4) ** 0.5 or run.profile == "smoke"
print("The start is sound.")

# %% [markdown]
# ## Your work
#
# 1. At which share does the symmetry cease to pay? Say first what a forbidden face costs in new ones.

# %%
# YOUR WORK 1: your price, the break-even share, and its spread over training sets.
...

# %% [markdown]
# 2. Other groups: `dc.denoisers.Equivariant(group="translations" | "flips" | "quarter_turns")`. Which
# share of an orbit is valid? Measure novelty modulo the group too (`dc.metrics.nearest_in_orbit`).

# %%
# YOUR WORK 2: a table of groups against copies, new faces, invalid ones; with and without `modulo`.
...

# %% [markdown]
# 3. A network whose equivariance is only approximate (a UNet with zero padding, or one trained on
# mirrored faces): where between the two laws does it fall?

# %%
# YOUR WORK 3: counts for a trained network, three seeds.
...
