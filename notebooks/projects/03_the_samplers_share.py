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
# (sec-project-sampler)=
# # The sampler's share
#
# **Question.** With few steps a sampler does not follow its flow. Can that error make new *valid*
# images, or only blur?
#
# **Start.** We take steps away from two denoisers whose laws are known for endless steps: the perfect
# one, which copies, and one of two halves, which recombines. Two samplers; the oracle counts. Mind the last
# column. What a convincing answer needs is in the [chapter on projects](../18_project_ideas.ipynb).

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
# A sample is creative if it is valid and no training face. But a thousand times the same new face is one
# creation, so we count the *different* ones too.

# %%
family = dc.data.faces.Faces(positions=1)
chosen = family.split(run.size(smoke=40, book=120, gpu=500), seed=seed).train
train, oracle = family.render(chosen), family.oracle(chosen)
n = run.size(smoke=40, book=400, gpu=4000)
noise = dc.sampling.initial_noise(n, train.shape[1:], seed=seed)
counts_of_steps = run.size(smoke=[1, 2, 12], book=[1, 2, 3, 4, 6, 10, 20, 50])
fits = {
    "perfect": dc.denoisers.Bayes.fit(train),
    "halves": dc.denoisers.Blockwise.fit(train, block=(8, 16)),
}
samplers = {"DDIM": dc.sampling.ddim, "Heun": dc.sampling.heun}


def count(samples):
    """Copies, creative and invalid samples, and how many different creative ones."""
    verdicts = oracle(samples)
    different = len(verdicts.nearest[verdicts.label == 1].unique())
    return [*verdicts.label.bincount(minlength=3).tolist(), different]


rows = {}
for name, denoise in fits.items():
    for sampler, sample in samplers.items():
        for steps in counts_of_steps:
            rows[name, sampler, steps] = count(sample(denoise, noise, dc.noise.karras(steps)))
print("denoiser sampler steps  copy creative invalid   different creative")
for (name, sampler, steps), (copy, creative, invalid, different) in rows.items():
    print(f"{name:8} {sampler:7} {steps:5} {copy:5} {creative:8} {invalid:7} {different:20}")

# %% [markdown]
# For endless steps the law of the halves is known: all chimeras, each equally often
# ({prf:ref}`thm-chimeras`). We judge all of them.

# %%
upper, lower = train.split(8, dim=2)
size = len(train)
chimeras = torch.cat([upper.repeat_interleave(size, 0), lower.repeat(size, 1, 1, 1)], dim=2)
law = [share / size**2 for share in count(chimeras)]
print(f"all chimeras: {law[0]:.3f} copies, {law[1]:.3f} creative, {law[2]:.3f} invalid")

# %% mystnb={"image": {"alt": "Two panels against the number of steps, for two halves with two samplers. Left: the share of creative samples, with a dashed line for endless steps. Right: how many different creative faces there are among the samples."}, "figure": {"caption": "Two halves. Left: share of creative samples; dashed: all chimeras. Right: different creative faces among all samples.", "name": "fig-project-sampler"}} tags=["hide-input"]
fig, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.9))
for sampler, color in (("DDIM", "generated"), ("Heun", "denoiser")):
    found = torch.tensor([rows["halves", sampler, steps] for steps in counts_of_steps])
    left.semilogx(counts_of_steps, found[:, 1] / n, ".-", color=COLORS[color], label=sampler)
    right.semilogx(counts_of_steps, found[:, 3], ".-", color=COLORS[color])
left.axhline(law[1], ls="--", color=COLORS["law"])
left.set(xlabel="steps", ylabel="creative samples")
right.set(xlabel="steps", ylabel="different creative faces")
left.legend()
plt.show()

# %% [markdown]
# ## Self-check of the start
#
# Three answers are known. One step is the estimate from pure noise, so all samples lie near
# the mean of the training set. The last step, from a low level, copies, however few there were before
# ({prf:ref}`cor-last-step`). And with an affine denoiser the law of K steps is exact
# ({prf:ref}`cor-finite-steps`): a target of variance 1.7 comes out with the variances below.

# %%
one = dc.sampling.ddim(fits["perfect"], noise, dc.noise.karras(1))
assert torch.equal(one, fits["perfect"](noise, 80.0))
for steps in counts_of_steps[1:]:
    assert rows["perfect", "DDIM", steps][0] == n
scalar = dc.denoisers.Affine(torch.zeros(1), torch.tensor([[1.7]]))
for steps, variance in ((5, 0.4593), (10, 0.9800), (50, 1.5361)):
    assert abs(scalar.law(dc.noise.karras(steps)).cov.item() - variance) < 1e-4
print("The start is sound.")

# %% [markdown]
# ## Your work
#
# 1. Separate two effects of few steps: the error of each step, and the coarse choice of levels. Vary
# the schedule at a fixed number of steps (`sigma_max`, `sigma_min`, `rho`, `dc.noise.log_linear`).

# %%
# YOUR WORK 1: creative and different creative faces against the schedule, with intervals.
...

# %% [markdown]
# 2. Windows (`dc.denoisers.LocalScore`), and fresh noise (`dc.sampling.ancestral`, `eta`, `churn`). Compare at an
# equal number of calls of the denoiser: a step of Heun costs two.

# %%
# YOUR WORK 2: the same for windows and for stochastic samplers.
...

# %% [markdown]
# 3. The law: for which denoisers can you write down what K steps generate?

# %%
# YOUR WORK 3: a law, its certificate, and a control that fails.
...
