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
# **Start.** The perfect denoiser copies when the steps are many. We take steps away, for it and for
# a denoiser that sees windows, with two samplers, and let the oracle count. What a convincing answer
# needs is in the [chapter on projects](../18_project_ideas.ipynb).

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

# %%
family = dc.data.faces.Faces(positions=1)
chosen = family.split(run.size(smoke=60, book=300, gpu=2000), seed=seed).train
train, oracle = family.render(chosen), family.oracle(chosen)
n = run.size(smoke=24, book=300, gpu=4000)
noise = dc.sampling.initial_noise(n, train.shape[1:], seed=seed)
counts_of_steps = run.size(smoke=[1, 3, 12], book=[1, 2, 3, 4, 6, 9, 15, 30])
fits = {
    "perfect": dc.denoisers.Bayes.fit(train),
    "windows of 5": dc.denoisers.LocalScore.fit(train, window=5),
}
samplers = {"DDIM": dc.sampling.ddim, "Heun": dc.sampling.heun}

rows = {}
for name, denoise in fits.items():
    for sampler, sample in samplers.items():
        for steps in counts_of_steps:
            if name != "perfect" and sampler == "Heun":
                continue  # yours to run
            drawn = sample(denoise, noise, dc.noise.karras(steps))
            rows[name, sampler, steps] = oracle(drawn).counts()
print("denoiser      sampler steps  copy creative invalid")
for (name, sampler, steps), count in rows.items():
    print(f"{name:13} {sampler:7} {steps:5} {count['copy']:5} {count['creative']:8} "
          f"{count['invalid']:7}")  # fmt: skip

# %% mystnb={"image": {"alt": "Shares of copies and of creative faces against the number of steps on a logarithmic axis, for the perfect denoiser with two samplers and for windows of 5."}, "figure": {"caption": "Copies (solid) and creative faces (dashed) among the samples, against the number of steps.", "name": "fig-project-sampler"}} tags=["hide-input"]
lines = {
    ("perfect", "DDIM"): "data",
    ("perfect", "Heun"): "denoiser",
    ("windows of 5", "DDIM"): "generated",
}
for (name, sampler), color in lines.items():
    for kind, dash in (("copy", "-"), ("creative", "--")):
        shares = [rows[name, sampler, steps][kind] / n for steps in counts_of_steps]
        label = f"{name}, {sampler}" if kind == "copy" else None
        plt.semilogx(counts_of_steps, shares, dash, marker=".", color=COLORS[color], label=label)
plt.xlabel("steps")
plt.ylabel("share of samples")
plt.legend()
plt.show()

# %% [markdown]
# ## Self-check of the start
#
# Two answers are known. One DDIM step is the denoiser's estimate from pure noise, so all samples lie near
# the mean of the training set. And where the denoiser is affine, the law of K steps is exact
# ({prf:ref}`cor-finite-steps`): a target of variance 1.7 comes out with the variances below.

# %%
one = dc.sampling.ddim(fits["perfect"], noise, dc.noise.karras(1))
assert torch.equal(one, fits["perfect"](noise, 80.0))
scalar = dc.denoisers.Affine(torch.zeros(1), torch.tensor([[1.7]]))
for steps, variance in ((5, 0.4593), (10, 0.9800), (50, 1.5361)):
    assert abs(scalar.law(dc.noise.karras(steps)).cov.item() - variance) < 1e-4
assert rows["perfect", "DDIM", counts_of_steps[-1]]["creative"] == 0
print("The start is sound.")

# %% [markdown]
# ## Your work
#
# 1. Separate two effects of few steps: the error of each step, and the coarse choice of levels. Vary
# the schedule at a fixed number of steps (`rho`, `dc.noise.log_linear`).

# %%
# YOUR WORK 1: copy, creative and invalid against the schedule, with Wilson intervals.
...

# %% [markdown]
# 2. Fresh noise (`dc.sampling.ancestral`, `eta`, `churn`) and Heun for the windows. Compare at an equal
# number of calls of the denoiser: a step of Heun costs two.

# %%
# YOUR WORK 2: the same for stochastic samplers.
...

# %% [markdown]
# 3. The law: for which denoisers can you write down what K steps generate?

# %%
# YOUR WORK 3: a law, its certificate, and a control that fails.
...
