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
# (sec-relu)=
# # Shallow ReLU networks dream sums
#
# So far an architecture was a wall: a matrix *cannot* store an image. A network with one wide
# hidden layer can store every training image. Suppose it does: it sends every training image with a
# little noise on it back to that image, without error.
# Many functions do that, and they differ where there were no data. Which one do we get? Weight
# decay prefers small weights, so let us take the network with the *smallest* weights.
#
# Its samples are no longer only training images. For images that share no pixels, the network also
# generates their *sums*: every subset of the training images, drawn on one canvas. With nine images
# that makes 512 pictures, of which ten were in the training set.
#
# ```{admonition} This chapter
# :class: tip
# - **You will learn** what small weights mean for a function; the exact form of the smallest
#   network on a line and on a right-angled corner of points; which points its flow can end on, and
#   with which probability; how the noise schedule decides between training points, their sums and
#   points in between.
# - **Time** about 40 minutes; two hours with every proof and exercise.
# - **Prerequisites** the probability flow of {doc}`02_denoising_scores_samplers`, and that perfect
#   denoisers copy ({doc}`03_the_perfect_denoiser_copies`).
# ```

# %% tags=["parameters", "remove-input"]
profile = "book"  # "smoke": seconds, "book": what the site shows, "gpu": full size
seed = 0

# %% tags=["hide-input"]
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy import optimize, stats

import diffusion_creativity as dc
from diffusion_creativity.denoisers import ShallowReLU
from diffusion_creativity.widgets import Choice, Explorer, Panel, Slider, marks

run = dc.runtime.start(seed=seed, profile=profile)
COLORS = dc.style.COLORS
LEVEL = 1e-5  # of each test below

# %% [markdown]
# ## Move the radius
#
# Three training points on a line: $-1$, $0.2$ and $1.6$. The network must return each of them for
# all noisy copies within a radius $r$. Left: the function with the smallest weights. Right: the
# flow, from many starts, as the noise level falls (to the right). Move the radius; then let it
# shrink with the noise level, as it would if a network were trained at each level.

# %% tags=["hide-input"]
three = torch.tensor([[-1.0], [0.2], [1.6]], dtype=torch.float64)
starts = torch.linspace(-3, 3.4, 25, dtype=torch.float64)[:, None]
clock = dc.noise.log_linear(60, sigma_min=0.02, sigma_max=2.0)
grid = torch.linspace(-2.2, 2.8, 201, dtype=torch.float64)[:, None]


def draw_line(radius, follows):
    network = ShallowReLU.fit(three, radius=radius, per_sigma=radius / 2.0 if follows else None)
    paths = dc.sampling.ddim(network, starts, clock, return_trajectory=True)[..., 0]
    time = torch.log(clock[0] / clock[:-1].clamp(min=1e-9))
    ends = paths[-1]
    between = int(((ends[:, None] - three[:, 0]).abs().min(1).values > 1e-6).sum())
    words = (
        f"Radius {radius:g}, {'shrinking with the noise level' if follows else 'the same at every'}"
        f"{'' if follows else ' level'}: {between} of {len(ends)} paths end between the points."
    )
    return {
        "function": [
            marks.line(grid[:, 0], grid[:, 0], color="muted", dash=True),
            marks.line(grid[:, 0], network(grid, 2.0)[:, 0], color="denoiser", label="h(y)"),
            marks.points(three[:, 0], three[:, 0], color="data", size=5),
        ],
        "flow": [
            marks.line(time.expand(len(starts), -1), paths[:-1].T, color="generated", opacity=0.6),
            marks.points(time[-1].expand(len(ends)), ends, color="generated", size=3),
            marks.points(time[-1].expand(3) * 1.03, three[:, 0], color="data", size=5),
        ],
        "alt": words,
        "caption": words,
    }


Explorer.precomputed(
    draw_line,
    [
        Slider("radius", [0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.55], "radius r", start=0.3),
        Choice(
            "follows", {"the same at every level": False, "shrinks with σ": True}, "kind of radius"
        ),
    ],
    {
        "function": Panel("Smallest network", "y", "h(y)"),
        "flow": Panel("Flow", "ln(σ_max / σ)", "y"),
    },
    title="The smallest network on a line, and its flow",
)

# %% [markdown]
# Around each point the function is flat, and in between it is as straight as it can be. With a
# fixed radius all paths but a few end on a training point; a small radius leaves more of them in
# between, because the clock runs out. With a shrinking radius they spread over the whole line.
# The rest of the chapter proves what you saw, and carries it to images.
#
# (sec-relu-cost)=
# ## What small weights mean
#
# A **shallow network** has one hidden layer and an affine skip:
# ```{math}
# :label: eq-relu-network
# h(y) = \sum_{k} a_k\, [w_k \cdot y + b_k]_+ + Vy + c ,
# \qquad [z]_+ = \max(z, 0) ,
# ```
# with any number of neurons. Its **cost** is half the squared size of the weights in and out of
# the hidden layer, $\frac12 \sum_k (\norm{a_k}^2 + \norm{w_k}^2)$: what weight decay penalises.
# Biases and the skip are free. This is the setting of {cite:t}`zeno2023how`, who ask the same
# question; the cost of a function on a line was found by {cite:t}`savarese2019how`. The statements
# below are proved from scratch. On a line we call a jump of the derivative $h'$ a *kink*.
#
# ```{prf:lemma} The cost of a function
# :label: lem-relu-cost
#
# 1. Rescaling its neurons, without changing the function, brings the cost of a network down to
#    $\sum_k \norm{a_k}\norm{w_k}$ and no further.
# 2. On a line ($d = 1$) the least cost of all networks that are the same function $h$ is the total
#    variation of its slope, the sum of the sizes of all kinks.
# ```
#
# ```{prf:proof}
# *1.* For $t > 0$, the neuron $(a/t,\, tw,\, tb)$ is the same function as $(a, w, b)$. Its cost
# $\frac12(\norm{a}^2/t^2 + t^2\norm{w}^2)$ is at least $\norm{a}\norm{w}$, with equality at
# $t^2 = \norm{a}/\norm{w}$. (If one of the two is zero, the neuron is constant; let $t$ take its
# cost to zero, or move it to $c$.)
#
# *2.* A neuron has one kink, at $-b/w$, of size $a\abs{w}$. At each place the kinks of the neurons
# there add up to that of $h$, so $\sum_k \abs{a_k}\abs{w_k}$ is at least the sum of the sizes of
# the kinks of $h$. One neuron with $w = 1$ for each kink of $h$ reaches it: what remains is affine
# and free.
# ```
#
# (sec-relu-line)=
# ## The smallest network on a line
#
# ```{prf:theorem} On a line
# :label: thm-relu-line
#
# Let $x_1 < \dots < x_N$, $\Delta_i = x_{i+1} - x_i$ and $0 < r < \frac12 \min_i \Delta_i$. Among
# all shallow networks with $h(y) = x_i$ for $\abs{y - x_i} \le r$ and all $i$, exactly one
# *function* has the least cost: $h = x_i$ in the balls, straight between them, and constant
# outside. With the slopes $s_i = \Delta_i / (\Delta_i - 2r)$ its cost is $2 \sum_i s_i$.
#
# The same holds if $h(y) = x_i$ is asked only at the two ends, $y = x_i \pm r$.
# ```
#
# ```{prf:proof}
# Let $h$ have $h(x_i \pm r) = x_i$. Between $x_i + r$ and $x_{i+1} - r$ it climbs by $\Delta_i$ over
# a length $\Delta_i - 2r$, so the largest slope there, $M_i$, is at least the mean $s_i$. Between
# $x_i - r$ and $x_i + r$ it gains nothing, so the least slope there, $m_i$, is at most 0. Read from
# left to right, the slope goes through $m_1, M_1, m_2, \dots, M_{N-1}, m_N$, and its total
# variation is at least
#
# $$\sum_{i=1}^{N-1} (M_i - m_i) + (M_i - m_{i+1}) \ \ge\ 2 \sum_i M_i \ \ge\ 2 \sum_i s_i .$$
#
# By {prf:ref}`lem-relu-cost` that is a bound on the cost, and the function of the theorem reaches
# it. If $h$ reaches it, both inequalities are equalities. Then $M_i = s_i$: in each gap the
# largest slope is the mean, so the slope is $s_i$ throughout. Likewise $m_i = 0$ is the mean, and
# the slope in the ball is 0. No variation is left for the two outer parts, where the slope
# stays 0.
# ```
#
# **Check.** On a fine grid of possible kinks, the cheapest network is a linear program: pay
# $\abs{a_k}$ for each kink, fit the balls. A solver that knows nothing of the theorem should find
# the same function.


# %%
def cheapest_on_a_line(sites, radius, knots):
    """Least Σ|a_k| that fits the balls, and the function's values on `knots`."""
    y = np.concatenate([sites - radius, sites + radius])
    relu = np.maximum(y[:, None] - knots, 0)
    affine = np.stack([y, np.ones_like(y)], 1)
    price = np.concatenate([np.ones(2 * len(knots)), np.zeros(4)])
    A = np.hstack([relu, -relu, affine, -affine])
    found = optimize.linprog(price, A_eq=A, b_eq=np.tile(sites, 2), bounds=(0, None))
    a = found.x[: len(knots)] - found.x[len(knots) : 2 * len(knots)]
    v, c = found.x[-4:-2] - found.x[-2:]
    return found.fun, np.maximum(knots[:, None] - knots, 0) @ a + v * knots + c


sites = three[:, 0].numpy()
worst_cost, worst_value = 0.0, 0.0
for radius in (0.1, 0.3, 0.5):
    own = np.concatenate([sites - radius, sites + radius])
    knots = np.unique(np.concatenate([np.linspace(-2, 3, 251), own]))
    network = ShallowReLU.fit(three, radius=radius)
    cost, values = cheapest_on_a_line(sites, radius, knots)
    closed = network(torch.tensor(knots)[:, None], 1.0)[:, 0].numpy()
    worst_cost = max(worst_cost, abs(cost / network.cost(1.0) - 1))
    worst_value = max(worst_value, abs(values - closed).max())
    print(f"r = {radius}: linear program {cost:.6f}, 2 Σ s_i = {network.cost(1.0):.6f}")
assert worst_cost < 1e-7
assert worst_value < 1e-6

# %% tags=["remove-input"]
dc.runtime.report(relu_program_gap=f"{max(worst_value, 1e-16):.0e}")

# %% [markdown]
# Costs agree to all digits shown, and the functions differ by at most {glue:text}`relu_program_gap`.
#
# (sec-relu-box)=
# ## The smallest network at a right-angled corner
#
# Now images. Call one training point the *corner*, $x_0$, and suppose that the edges from it to the
# other training points, $x_n - x_0 = \ell_n u_n$, are mutually orthogonal; $\ell_n$ is the length
# of an edge and $u_n$ its direction. Drawings that share no pixels on a black canvas are of this
# kind, with the black image as the corner. Write $\varphi_n$ for the function of
# {prf:ref}`thm-relu-line` for the two numbers $0$ and $\ell_n$, and $B(x, r)$ for the ball of
# radius $r$ around $x$.
#
# ```{prf:theorem} At a corner
# :label: thm-relu-box
#
# Let $x_0$ and $x_n = x_0 + \ell_n u_n$, $n = 1, \dots, N$, with orthonormal $u_n$, and
# $0 < r < \frac12 \min_n \ell_n$. Among all shallow networks with $h = x_n$ on $B(x_n, r)$ for
# $n = 0, \dots, N$, exactly one function has the least cost:
#
# $$h(y) = x_0 + \sum_{n=1}^N u_n\, \varphi_n\bigl(u_n \cdot (y - x_0)\bigr) .$$
#
# Its cost is $2 \sum_n s_n$ with $s_n = \ell_n / (\ell_n - 2r)$.
# ```
#
# ````{prf:proof}
# Shift coordinates so that $x_0 = 0$. *It fits:* in $B(x_m, r)$ the coordinate $u_m \cdot y$ is
# within $r$ of $\ell_m$ and the others are within $r$ of 0, so $h(y) = \ell_m u_m = x_m$. It needs
# two neurons for each $n$, and costs $2\sum_n s_n$.
#
# *Nothing is cheaper.* Let $h$ be a network {eq}`eq-relu-network` that fits, with
# $\norm{w_k} = 1$, and write $a_{kn} = u_n \cdot a_k$ and $w_{kn} = u_n \cdot w_k$. Walk along
# edge $n$ and look at its own coordinate only: $g_n(t) = u_n \cdot h(t u_n)$ equals $0$ within $r$
# of $0$ and $\ell_n$ within $r$ of $\ell_n$. By {prf:ref}`thm-relu-line` its slope varies by at
# least $2 s_n$, and neuron $k$ contributes at most $\abs{a_{kn}}\abs{w_{kn}}$. Sum over the edges,
# and use the Cauchy–Schwarz inequality with the orthonormal $u_n$:
# ```{math}
# :label: eq-relu-chain
# 2 \sum_n s_n \le \sum_n \sum_k \abs{a_{kn}}\abs{w_{kn}} \le \sum_k \norm{a_k}\norm{w_k} .
# ```
# By {prf:ref}`lem-relu-cost` the right side bounds the cost.
#
# *Nothing else is as cheap.* Let $h$ be a network with equality in {eq}`eq-relu-chain`, without
# constant neurons.
#
# (i) On edge $n$, $g_n$ is the function of {prf:ref}`thm-relu-line`, and kinks of neurons at one
# place have one sign. So where $a_{kn} w_{kn} \ne 0$ the kink of neuron $k$, at
# $t = -b_k / w_{kn}$, is at $r$ with $a_{kn} > 0$, or at $\ell_n - r$ with $a_{kn} < 0$.
#
# (ii) Equality in Cauchy–Schwarz: $a_k$ and $w_k$ lie in the span of the $u_n$, and
# $\abs{a_{kn}} = \norm{a_k}\abs{w_{kn}}$. All the places in (i) are positive, so the
# non-zero $w_{kn}$ have the sign of $-b_k$; by $[z]_+ = z + [-z]_+$, the affine part going to the
# skip, we may take $w_{kn} \ge 0$ and $b_k < 0$.
#
# (iii) The kink of neuron $k$ is the plane $w_k \cdot y = -b_k$, at distance $-b_k$ from 0. Neurons
# with the same plane have the same $w_k$, hence by (i) and (ii) parallel $a_k$: they do not cancel.
# Since $h$ is constant in $B(0, r)$, no kink passes inside: $-b_k \ge r$. If two or more of the
# $w_{kn} = -b_k / t_n$ are non-zero, where $t_n$ is the place on edge $n$, then from
# $\sum_n w_{kn}^2 = 1$ follows $-b_k < t_n$ for each of them, so no $t_n$ is $r$. By (i) all are
# $\ell_n - r$, and those $a_{kn}$ are negative.
#
# (iv) Let neuron $k$ be such a mixed one, in directions $n$ and $m$. Walk along edge $n$ and look
# at coordinate $m$: $t \mapsto u_m \cdot h(t u_n)$ has kinks from mixed neurons only, all at
# $\ell_n - r$ and all negative. It is 0 within $r$ of 0 and within $r$ of $\ell_n$, so it has
# no kink there. Contradiction: there are no mixed neurons.
#
# So each neuron is $\pm u_n [u_n \cdot y - t]_+$ with a kink as in (i), up to its size, and the
# sum of those of direction $n$ is $u_n \varphi_n(u_n \cdot y)$, up to the skip. Near 0 all neurons
# are off and $h = 0$, so the skip is 0.
# ````
#
# {cite:t}`zeno2023how` state in their abstract that, for several arrangements of the training
# points, the smallest denoisers are sums of simple functions of one direction each; this is
# the simplest case of it. The proof is ours.
#
# **Check.** Again a linear program, now in the plane, with neurons and output weights in 16
# directions each. It may use mixed neurons, and should not want to. Then we ask for one thing more:
# that the sum of the two points, which was not in the training set, be sent back to a training
# point.


# %% tags=["hide-input"]
def cheapest_in_the_plane(lengths, radius, points=(), values=(), directions=16):
    """Least Σ‖a_k‖‖w_k‖ of networks that fit three balls (and send `points` to `values`)."""
    turn = 2 * np.pi * np.arange(directions) / directions
    unit = np.stack([np.cos(turn), np.sin(turn)], 1)
    corners = np.array([[0, 0], [lengths[0], 0], [0, lengths[1]]])
    around = np.concatenate([[[0, 0]], radius * unit[::2]])
    y = np.concatenate([(corners[:, None] + around).reshape(-1, 2), *[[p] for p in points]])
    x = np.concatenate([np.repeat(corners, len(around), 0), *[[v] for v in values]])
    offsets = np.unique(np.concatenate([np.linspace(-1, 2, 25), [radius], lengths - radius]))
    relu = np.maximum((y @ unit.T)[:, :, None] - offsets, 0).reshape(len(y), -1)
    affine = np.kron(np.eye(2), np.hstack([y, np.ones((len(y), 1))]))
    A = np.hstack([np.vstack([np.kron(relu, unit[:, j]) for j in range(2)]), affine, -affine])
    price = np.concatenate([np.ones(relu.shape[1] * directions), np.zeros(12)])
    return optimize.linprog(price, A_eq=A, b_eq=x.T.ravel(), bounds=(0, None)).fun


lengths, radius = np.array([1.0, 1.5]), 0.2
formula = (2 * lengths / (lengths - 2 * radius)).sum()
free = cheapest_in_the_plane(lengths, radius)
kept = cheapest_in_the_plane(lengths, radius, [lengths], [lengths])
copying = cheapest_in_the_plane(lengths, radius, [lengths], [lengths * [1, 0]])
assert abs(free / formula - 1) < 1e-7
assert abs(kept / formula - 1) < 1e-7
assert copying > 1.05 * formula
dc.runtime.report(
    relu_plane_formula=f"{formula:.4f}",
    relu_plane_program=f"{free:.4f}",
    relu_plane_copying=f"{100 * (copying / formula - 1):.0f} %",
)

# %% [markdown]
# The program finds {glue:text}`relu_plane_program`, the formula says
# {glue:text}`relu_plane_formula`. To send the sum back to a training point costs
# {glue:text}`relu_plane_copying` more. *That* is why small networks create: they have no reason to
# know that the sum is not in the training set.
#
# (sec-relu-vertices)=
# ## Where the flow ends
#
# The balls have a radius $r$, and each noise level could have its own. First let it be the same at
# every level: one network, used at every level, as in the *score flow* of
# {cite:t}`zeno2025memorize`. With the clock $T = \ln(\sigma_{\max}/\sigma)$ the probability flow
# {eq}`eq-flow` is then
# ```{math}
# :label: eq-relu-flow
# \frac{\mathrm{d}y}{\mathrm{d}T} = h(y) - y ,
# ```
# and the noise level enters only through the time that the clock has. The points that it can settle
# on are the *vertices* of a box: $x_0 + \sum_{n \in I} (x_n - x_0)$ for a set $I$ of edges.
# $N + 1$ of them are training points (no edge, or one); the other $2^N - N - 1$ are what
# {cite:t}`zeno2025memorize` call virtual training points.
#
# ```{prf:theorem} Training points and their sums
# :label: thm-relu-vertices
#
# Let $y$ follow the flow {eq}`eq-relu-flow` with a fixed radius, from
# $\mathcal N(0, \sigma_{\max}^2 I)$ at $\sigma_{\max}$ down to $0$.
#
# 1. At a corner it converges, with probability one, to the vertex nearest to its start. The
#    edges are in the set $I$ independently of each other, edge $n$ with probability
#
#    $$\P(n \in I) = \Phi\Bigl(-\frac{u_n \cdot (x_0 + x_n)}{2\, \sigma_{\max}}\Bigr),$$
#
#    where $\Phi$ is the distribution function of $\normal(0, 1)$. As
#    $\sigma_{\max} \to \infty$ all $2^N$ vertices become equally likely: the share of training
#    points among the samples tends to $(N + 1)/2^N$.
# 2. On a line it converges to the training point nearest to its start. As
#    $\sigma_{\max} \to \infty$ the first and the last point are generated with probability
#    $\frac12$ each, and the others never.
# ```
#
# ```{prf:proof}
# Let $t_n = u_n \cdot (y - x_0)$. By {prf:ref}`thm-relu-box` the coordinates move separately,
# $\mathrm{d}t_n/\mathrm{d}T = \varphi_n(t_n) - t_n$, and what is orthogonal to all edges
# goes to that part of $x_0$ like $e^{-T}$. Where $\varphi_n$ is flat, $t_n$ tends to its value,
# $0$ or $\ell_n$, like $e^{-T}$. In the gap between, let $z = t_n - \ell_n/2$ be the offset from
# the middle. There $\varphi_n(t_n) = \ell_n/2 + s_n z$, so
#
# $$\frac{\mathrm{d}z}{\mathrm{d}T} = (s_n - 1)\, z, \qquad s_n - 1 = \frac{2r}{\ell_n - 2r} >
# 0 .$$
#
# Unless $z = 0$, which has probability zero, the offset grows until $t_n$ is in the flat part on
# its side. So $n \in I$ exactly if $t_n > \ell_n/2$ at the start, which is the vertex nearest in
# each coordinate. At the start $t_n$ is normal with mean $-u_n \cdot x_0$ and standard deviation
# $\sigma_{\max}$, independently for each $n$, and $u_n \cdot x_0 + \ell_n/2 = u_n \cdot (x_0 +
# x_n)/2$. On a line the same holds in each gap, whose middle is the border between nearest points;
# the share of the start between the first and the last middle tends to 0 as
# $\sigma_{\max} \to \infty$.
# ```
#
# That orthogonal data give training points and sums is a result of {cite:t}`zeno2025memorize`; the
# probabilities are ours.
#
# Compare this with the perfect denoiser, which generates each training point with probability
# $1/N$. The small network does not know how many points there are on each side: on a line it
# copies, but unfairly; at a corner it creates, and copies become rare.
#
# ### Certificate: nine drawings on a canvas
#
# A canvas of $24 \times 24$ pixels has nine places. The training set: the empty canvas, and nine
# canvases with one real digit each, every digit in its own place.

# %%
digits = dc.data.load("digits")
black = -1.0
size = (digits.x - black).flatten(1).norm(dim=1)
canvases = torch.full((10, 1, 24, 24), black)
for k in range(1, 10):
    same = (digits.labels == k).nonzero().flatten()
    chosen = same[(size[same] - size.median()).abs().argmin()]  # nine digits of similar size
    row, column = divmod(k - 1, 3)
    canvases[k, 0, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = digits.x[chosen, 0]

least = size.median().item()
network = ShallowReLU.fit(canvases, radius=0.45 * least)
sigmas = dc.noise.karras(60)
n = run.size(smoke=4000, book=10_000)
noise = dc.sampling.initial_noise(n, (1, 24, 24), seed=seed)
made = dc.sampling.ddim(network, noise, sigmas)

law = network.law(sigmas)  # 512 vertices with the probability of each
report = law.agreement(made, alpha=LEVEL)
copies = dc.laws.Discrete(canvases)  # "it generates the training set"
assert report.ok
assert not copies.agreement(made, alpha=LEVEL).ok
report

# %% mystnb={"image": {"alt": "Left: ten canvases of three by three places, one empty, the others with a single digit from one to nine, each in its own place. Right: thirty generated canvases with between two and seven digits, each digit in its place, crisp."}, "figure": {"caption": "Left: all ten training images. Right: the first thirty samples of the smallest network: any subset of the drawings.", "name": "fig-relu-canvases"}} tags=["hide-input"]
fig, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.9), width_ratios=[2, 5])
dc.style.image_grid(canvases, columns=2, ax=left, title="training set")
dc.style.image_grid(made[:30], columns=6, ax=right, title="generated")
plt.show()

# %%
drawn = (network.coordinates(made) > least / 2).sum(1)  # digits on each canvas
known = drawn <= 1  # the empty canvas, or one digit
in_training = torch.cdist(law.atoms.flatten(1), canvases.double().flatten(1)).min(1).values < 1e-9
chance_known = law.probabilities[in_training].sum().item()
p_known = stats.binomtest(int(known.sum()), n, chance_known).pvalue
assert p_known > LEVEL
close = dc.noise.karras(60, sigma_max=5.0)  # a start that still sees the canvas
from_close = dc.sampling.ddim(network, noise / 16, close)
exact, uniform = network.law(close), network.law(None)
exact_report = exact.agreement(from_close, alpha=LEVEL)
assert exact_report.ok
assert not uniform.agreement(from_close, alpha=LEVEL).ok

# %% tags=["remove-input"]
dc.runtime.report(
    relu_n=f"{n:,}",
    relu_copies=f"{100 * known.double().mean().item():.2f} %",
    relu_copies_law=f"{100 * chance_known:.2f} %",
    relu_copies_limit=f"{100 * len(canvases) / len(law.atoms):.2f} %",
    relu_p_known=f"{p_known:.2f}",
    relu_distance=f"{report[0].value:.0e}",
    relu_p=f"{report['counts, χ²'].p_value:.2f}",
    relu_p_close=f"{exact_report['counts, χ²'].p_value:.2f}",
    relu_digits_mean=f"{drawn.double().mean().item():.2f}",
    relu_chance_close=f"{network.chances(close)[0][:, 1].mean().item():.2f}",
)

# %% [markdown]
# Of {glue:text}`relu_n` samples {glue:text}`relu_copies` are training images; the theorem says
# {glue:text}`relu_copies_law` for this start (binomial test, p = {glue:text}`relu_p_known`) and
# {glue:text}`relu_copies_limit` in the limit. A canvas carries {glue:text}`relu_digits_mean` digits
# on average. The largest root-mean-square distance to a vertex is
# {glue:text}`relu_distance`, and the counts of the 512 vertices agree with the law (χ² test, p =
# {glue:text}`relu_p`).
#
# The second test starts closer, at $\sigma_{\max} = 5$, where noise still knows that the canvas is
# dark and an edge has probability {glue:text}`relu_chance_close` on average. The exact law agrees
# again (p = {glue:text}`relu_p_close`), and "all vertices equally likely" fails, as it must: that
# holds only in the limit.
#
# (sec-relu-clock)=
# ## When the clock runs out
#
# What of the paths that ended between the points? They exist because the sampler stops. Let
# the radius be a function of the level, $r(\sigma)$, and take $K$ DDIM steps. Two cases matter:
# the radius is *fixed*, or it *follows* the level, $r(\sigma) = \kappa\sigma$ with a constant
# $\kappa$, as it must where a network is trained at each level on noise of that size.
#
# ```{prf:proposition} K steps, exactly
# :label: prop-relu-steps
#
# Let $r(\sigma') \ge \frac{\sigma'}{\sigma}\, r(\sigma)$ for each step, as for both kinds. For a gap
# of length $\ell$, let $s(\sigma) = \ell/(\ell - 2r(\sigma))$ and
#
# $$g = \prod_{j=0}^{K-2} \Bigl( s(\sigma_j) - \frac{\sigma_{j+1}}{\sigma_j}\,
# \bigl(s(\sigma_j) - 1\bigr) \Bigr) .$$
#
# A coordinate that starts at an offset $z$ from the middle of the gap ends between the two points
# if and only if $\abs{z} < \bigl(\frac{\ell}{2} - r(\sigma_{K-1})\bigr)/g$, and then at the
# offset $s(\sigma_{K-1})\, g\, z$. All others end exactly on a point.
# ```
#
# ```{prf:proof}
# Let $q = \sigma'/\sigma$. A step takes a coordinate $t$ to
# $t' = \varphi(t) + q\,(t - \varphi(t))$. If $\varphi(t)$ is the point $x_i$, then
# $t' - x_i = q\,(t - x_i)$: within $r(\sigma)$ of the point becomes within
# $q\,r(\sigma) \le r(\sigma')$, and beyond the outermost points a coordinate stays beyond or comes
# that near. So what is in a flat part stays in it, and the last step, $t' = \varphi(t)$, puts
# it on the point. In the gap, $\varphi$ multiplies the offset by $s$, so the step multiplies it by
# $s + q\,(1 - s)$. A coordinate is in the gap at the last level if and only if it never left the gap
# before. If it did leave, its offset times the factors of all steps is beyond the last gap as well:
# the step takes the end of a gap, $\frac\ell2 - r(\sigma)$, to $\frac\ell2 - q\,r(\sigma) \ge
# \frac\ell2 - r(\sigma')$. So the condition on $g z$ says the same.
# ```
#
# ```{prf:corollary} The schedule decides
# :label: cor-relu-clock
#
# 1. *Fixed radius.* The exact flow from $\sigma_{\max}$ to $\sigma_{\min}$, followed by one
#    denoising, puts a coordinate with offset $z \ne 0$ in a gap on a point if and only if
#
#    $$\ln \frac{\sigma_{\max}}{\sigma_{\min}} \ \ge\ \frac{\ell - 2r}{2r}\,
#    \ln \frac{\ell/2 - r}{\abs{z}} .$$
#
# 2. *Radius that follows the level.* From a level $\sigma_0$ with $\kappa\sigma_0$ below half of
#    every gap, every schedule, of any number of steps, gives the same sample: that of a single
#    step, $h_{r(\sigma_0)}(y)$.
# ```
#
# ```{prf:proof}
# *1.* By the proof of {prf:ref}`thm-relu-vertices` the offset grows to
# $z\, e^{(s-1)T}$ with $s - 1 = 2r/(\ell - 2r)$; the coordinate is decided once that is
# $\ell/2 - r$.
#
# *2.* At the edge of the gap the offset is $\ell/2 - r$ and $\varphi$ makes it $\ell/2$. So the
# step takes it to $(1 - q)\frac\ell2 + q(\frac\ell2 - r) = \frac\ell2 - qr$, the edge of the new gap, as
# $r(\sigma') = qr$. The step is linear in the gap: the ratio of $z$ to $\frac\ell2 - r$ does not
# change. The last step multiplies by $s$, which makes it the same share of $\frac\ell2$. One step
# from $\sigma_0$ does just that.
# ```
#
# So the same network, stopped early, generates a third kind of sample: points on the edges, faces
# and inside of the box. {cite:t}`zeno2025memorize` report these three kinds for orthogonal data,
# training points, sums, and points on a manifold where the schedule stops early; here they have
# exact laws. The figure shows all three regimes from the same starts.

# %% mystnb={"image": {"alt": "Three square panels with the same starts. With a fixed radius and a long clock all samples sit on the four vertices of a rectangle. With a short clock many are on the vertices and the rest on the edges and inside. With a radius that follows the level they fill the edges and the inside."}, "figure": {"caption": "Three training points (squares) at a corner, the same 600 starts (grey) and their ends (orange). Left: fixed radius, long clock: three training points and one sum. Middle: fixed radius, short clock. Right: the radius follows the level.", "name": "fig-relu-regimes"}} tags=["hide-input"]
corner = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.5]], dtype=torch.float64)
cloud = 0.9 * torch.randn(600, 2, generator=torch.Generator().manual_seed(seed)).double() + 0.5
regimes = {
    "fixed, long clock": ({"radius": 0.3}, dc.noise.log_linear(200, 1e-6, 1.0)),
    "fixed, short clock": ({"radius": 0.3}, dc.noise.log_linear(20, 0.5, 1.0)),
    "follows the level": ({"radius": 0.3, "per_sigma": 0.3}, dc.noise.log_linear(20, 0.01, 1.0)),
}
inside_share = []
fig, axes = plt.subplots(1, 3, figsize=(7.2, 3.1), sharey=True)
for ax, (title, (options, schedule)) in zip(axes, regimes.items(), strict=True):
    ends = dc.sampling.ddim(ShallowReLU.fit(corner, **options), cloud, schedule)
    sides = torch.tensor([1.0, 1.5], dtype=torch.float64)
    undecided = ((ends > 1e-6) & (ends < sides - 1e-6)).any(1)
    inside_share.append(undecided.double().mean().item())
    ax.scatter(*cloud.T, s=3, color=COLORS["noise"], alpha=0.4, lw=0)
    ax.scatter(*ends.T, s=18, color=COLORS["generated"], alpha=0.5, lw=0)
    ax.scatter(*corner.T, s=90, facecolor="none", edgecolor=COLORS["data"], marker="s", lw=1.5)
    ax.set(title=title, xlim=(-1, 2), ylim=(-1, 2.3), aspect="equal")
plt.show()

# %% [markdown]
# **Certificate.** On the line of three points, six steps from $\sigma_{\max} = 2$ with a small
# radius: the shares on each point and in each gap against {prf:ref}`prop-relu-steps`, by a χ² test,
# and inside the gaps the place of each sample against a normal law that is cut off and stretched,
# by a Kolmogorov–Smirnov test. The control takes the same shares for a sampler of twelve steps.

# %%
short = dc.noise.karras(6, sigma_min=0.05, sigma_max=2.0)
on_line = ShallowReLU.fit(three, radius=0.1)
count = run.size(smoke=20_000, book=100_000)
begin = dc.sampling.initial_noise(count, (1,), sigma_max=2.0, seed=seed + 1).double()
stopped = dc.sampling.ddim(on_line, begin, short).flatten()


def cells(values):
    """How many values are on the points, and how many in the gaps."""
    on = [int(((values - p).abs() < 1e-9).sum()) for p in three[:, 0]]
    within = [
        int(((values > a + 1e-9) & (values < b - 1e-9)).sum())
        for a, b in zip(three[:-1, 0], three[1:, 0], strict=True)
    ]
    return np.array(on + within)


def shares(schedule):
    return torch.cat(on_line.chances(schedule), 1)[0].numpy()


found = cells(stopped)
p_cells = stats.chisquare(found, count * shares(short)).pvalue
twelve = dc.noise.karras(12, sigma_min=0.05, sigma_max=2.0)
p_control = stats.chisquare(found, count * shares(twelve)).pvalue
p_places = []
for a, b in zip(three[:-1, 0].tolist(), three[1:, 0].tolist(), strict=True):
    middle, length = (a + b) / 2, b - a
    slope = length / (length - 2 * 0.1)
    growth = slope * math.prod(slope - w * (slope - 1) for w in (short[1:-1] / short[:-2]).tolist())
    held = stopped[(stopped > a + 1e-9) & (stopped < b - 1e-9)].numpy()
    cut = stats.norm.cdf((middle + np.array([-1, 1]) * length / 2 / growth) / 2)
    place = (stats.norm.cdf((middle + (held - middle) / growth) / 2) - cut[0]) / np.diff(cut)
    p_places.append(stats.kstest(place, "uniform").pvalue)
assert found.sum() == count
assert min(p_cells, *p_places) > LEVEL
assert p_control < LEVEL

# %% tags=["remove-input"]
dc.runtime.report(
    relu_between=f"{100 * found[3:].sum() / count:.1f} %",
    relu_between_law=f"{100 * shares(short)[3:].sum():.1f} %",
    relu_p_cells=f"{p_cells:.2f}",
    relu_p_places=f"{min(p_places):.2f}",
    relu_short=f"{100 * inside_share[1]:.0f} %",
    relu_follows=f"{100 * inside_share[2]:.0f} %",
)

# %% [markdown]
# Between the points end {glue:text}`relu_between` of the samples, and the law says
# {glue:text}`relu_between_law` (χ² over points and gaps: p = {glue:text}`relu_p_cells`; places
# inside the gaps: smallest p = {glue:text}`relu_p_places`). In {numref}`fig-relu-regimes`,
# {glue:text}`relu_short` of the samples have an undecided coordinate with the short clock,
# and {glue:text}`relu_follows` where the radius follows the level.
#
# ```{admonition} What would make this false?
# :class: note
# Balls that meet: at noise levels where clean points cannot be told apart no network fits, and the
# theorems say nothing. Edges that are not orthogonal: then the coordinates do not separate, and
# {cite:t}`zeno2023how` treat other arrangements. And training that does not reach the least cost:
# that is the next section.
# ```
#
# (sec-relu-trained)=
# ## What training finds
#
# The theorems speak of the least cost. Gradient descent with weight decay aims there, but arrives
# only nearly. We train shallow networks with Adam, a small weight decay and noise that is uniform
# in the ball: one on the line, and two at a corner of three orthogonal edges of length 1.5 in six
# dimensions, with radius 0.5 and 0.4. This is an observation; nothing here is proved.


# %%
def train_shallow(x, radius, *, steps, decay=3e-4, width=100, batch=256, seed=0):
    """Train h on noisy copies in the balls; return it, and its cost Σ‖a_k‖‖w_k‖."""
    generator = torch.Generator().manual_seed(seed)
    d = x.shape[1]

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    w, a, b = normal(width, d) / d**0.5, 0.1 * normal(width, d), 1.5 * normal(width)
    V, c = torch.zeros(d, d, dtype=torch.float64), torch.zeros(d, dtype=torch.float64)
    weights = [p.requires_grad_() for p in (w, a, b, V, c)]
    optimiser = torch.optim.Adam(weights, lr=5e-3)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        clean = x[torch.randint(len(x), (batch,), generator=generator)]
        away = normal(batch, d)
        far = torch.rand(batch, 1, generator=generator, dtype=torch.float64) ** (1 / d)
        y = clean + radius * far * away / away.norm(dim=1, keepdim=True)
        error = ((y @ w.T + b).relu() @ a + y @ V.T + c - clean).square().sum(1).mean()
        loss = error + decay * 0.5 * (a.square().sum() + w.square().sum())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        falling.step()
    w, a, b, V, c = (p.detach() for p in weights)
    return (
        lambda y, sigma=None: (y @ w.T + b).relu() @ a + y @ V.T + c,
        (a.norm(dim=1) * w.norm(dim=1)).sum().item(),
    )


line_steps = run.size(smoke=500, book=5000)
trained, trained_cost = train_shallow(three, 0.3, steps=line_steps, seed=seed)
smallest = ShallowReLU.fit(three, radius=0.3)
largest_gap = (trained(grid) - smallest(grid, 1.0)).abs().max().item()

box_steps = run.size(smoke=500, book=5000)


def compare_at_a_corner(radius, d=6):
    """Train on three orthogonal edges in d dimensions, and sample beside the closed form."""
    generator = torch.Generator().manual_seed(3)
    turn = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64))[0]
    x = torch.cat([torch.zeros(1, d, dtype=torch.float64), 1.5 * turn[:3]])
    closed = ShallowReLU.fit(x, radius=radius)
    network, _ = train_shallow(x, radius, steps=box_steps, decay=1e-3, seed=seed)
    vertices = closed.vertices()
    start = dc.sampling.initial_noise(2000, (d,), sigma_max=1.5, seed=seed) + vertices.mean(0)
    schedule = dc.noise.log_linear(80, 1e-4, 1.5)
    theirs = dc.sampling.ddim(network, start, schedule)
    ours = dc.sampling.ddim(closed, start, schedule)
    gap, which = torch.cdist(theirs, vertices).min(1)
    sums = torch.cdist(vertices, x).min(1).values > 1e-9
    near, right_one = gap < 1.5 / 4, torch.cdist(ours, vertices).argmin(1)
    return {
        "sums": sums,
        "shares": [torch.bincount(k, minlength=8) / len(start) for k in (right_one, which[near])],
        "near": near.double().mean().item(),
        "same": (near & (which == right_one)).double().mean().item(),
        "made": (near & sums[which]).double().mean().item(),
        "law": sums[right_one].double().mean().item(),
        "all three": (near & (which == 7)).double().mean().item(),  # the last vertex
    }


wide, narrow = compare_at_a_corner(0.5), compare_at_a_corner(0.4)

# %% mystnb={"image": {"alt": "Left: the trained network's function lies on the closed form, flat near the three training points, with slightly rounded corners. Right: bars of how often each of the eight vertices is reached, by the closed form and by the trained network, at similar heights, for training points and sums alike."}, "figure": {"caption": "Left: a trained network on the line and the closed form. Right: end points at the corner with radius 0.5, from the same 2,000 starts: share of samples within a quarter of an edge of each vertex, for the closed form (green) and the trained network (orange). T: training points, S: sums.", "name": "fig-relu-trained"}} tags=["hide-input"]
fig, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3))
left.plot(grid, grid, "--", color=COLORS["noise"], lw=0.8)
left.plot(grid, smallest(grid, 1.0), color=COLORS["law"], lw=3, alpha=0.6)
left.plot(grid, trained(grid), color=COLORS["generated"], lw=1.3)
left.plot(three, three, "s", color=COLORS["data"])
left.set(xlabel="y", ylabel="h(y)", title="Line")
order = wide["sums"].long().argsort(stable=True)
bars = [share[order] for share in wide["shares"]]
place = np.arange(8)
right.bar(place - 0.2, bars[0], 0.38, color=COLORS["law"])
right.bar(place + 0.2, bars[1], 0.38, color=COLORS["generated"])
right.set(
    xticks=place, xticklabels=["S" if wide["sums"][k] else "T" for k in order], title="Corner"
)
right.set(ylabel="share of samples")
plt.show()

# %% tags=["remove-input"]
dc.runtime.report(
    relu_trained_gap=f"{largest_gap:.3f}",
    relu_trained_cost=f"{trained_cost:.2f}",
    relu_least_cost=f"{smallest.cost(1.0):.2f}",
    relu_box_near=f"{100 * wide['near']:.0f} %",
    relu_box_same=f"{100 * wide['same']:.0f} %",
    relu_box_sums=f"{100 * wide['made']:.0f} %",
    relu_box_law=f"{100 * wide['law']:.0f} %",
    relu_box_triple=f"{100 * wide['all three']:.1f} %",
    relu_narrow_sums=f"{100 * narrow['made']:.0f} %",
    relu_narrow_law=f"{100 * narrow['law']:.0f} %",
)

# %% [markdown]
# On the line the trained network differs from the closed form by at most
# {glue:text}`relu_trained_gap`; its cost is {glue:text}`relu_trained_cost`, the least of all that fit exactly is
# {glue:text}`relu_least_cost`. At the corner with radius 0.5 {glue:text}`relu_box_near` of its
# samples end within a quarter of an edge of a vertex, {glue:text}`relu_box_same` at the closed
# form's vertex for the same noise; {glue:text}`relu_box_sums` are sums, where the closed form makes
# {glue:text}`relu_box_law`. What it misses is the sum of all three points: it makes
# {glue:text}`relu_box_triple` of the samples, where the law says one in eight.
#
# With radius 0.4 the same training makes {glue:text}`relu_narrow_sums` sums instead of
# {glue:text}`relu_narrow_law`. So virtual points exist in trained networks, but fewer than the least
# cost would have. We have no law for how many: that is a matter of training, and noise that is
# uniform in a ball leaves most of the ball's border unseen.
#
# ## Exercises
#
# ```{exercise}
# :label: ex-21-line
#
# **By hand.** Write the smallest network on a line: `line_denoiser(y, x, radius)` with y of shape
# (n,), ascending x of shape (N,).
# ```


# %%
def line_denoiser(y, x, radius): ...  # your code: a tensor (n,)


# dc.exercises.check_line_denoiser(line_denoiser)

# %% [markdown]
# ```{solution-start} ex-21-line
# :class: dropdown
# ```
#
# Linear interpolation between the ends of the balls, constant outside.


# %%
def line_denoiser_solution(y, x, radius):
    knots = torch.stack([x - radius, x + radius], 1).flatten()
    values = torch.stack([x, x], 1).flatten()
    k = torch.searchsorted(knots, y).clamp(1, len(knots) - 1)
    share = (y - knots[k - 1]) / (knots[k] - knots[k - 1])
    return values[k - 1] + share.clamp(0, 1) * (values[k] - values[k - 1])


assert dc.exercises.check_line_denoiser(line_denoiser_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-21-cost
#
# **The price of noise.** Write `least_cost(x, radius)`: the least cost of a network that fits the
# points x on a line, in ascending order. What does it cost if the balls nearly meet?
# ```


# %%
def least_cost(x, radius): ...  # your code: a number


# dc.exercises.check_least_cost(least_cost)

# %% [markdown]
# ```{solution-start} ex-21-cost
# :class: dropdown
# ```
#
# Each gap has two kinks of the size of its slope. As $r \to \Delta_i/2$ the cost grows without
# bound: robust fits are expensive.


# %%
def least_cost_solution(x, radius):
    gaps = x.diff()
    return (2 * gaps / (gaps - 2 * radius)).sum()


assert dc.exercises.check_least_cost(least_cost_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-21-end
#
# **Where does it end?** Write `end_point(y, x)`: the end of the flow with a fixed radius from each
# start y of shape (n, d); x of shape (N + 1, d) has the corner first and orthogonal edges.
# ```


# %%
def end_point(y, x): ...  # your code: a tensor (n, d)


# dc.exercises.check_end_point(end_point)

# %% [markdown]
# ```{solution-start} ex-21-end
# :class: dropdown
# ```
#
# Each coordinate along an edge, as a share of its length, is rounded to 0 or 1.


# %%
def end_point_solution(y, x):
    edges = x[1:] - x[0]
    along = (y - x[0]) @ edges.T / edges.square().sum(1)
    return x[0] + (along > 0.5).to(x) @ edges


assert dc.exercises.check_end_point(end_point_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-21-copies
#
# **More data, fewer copies.** Write `share_of_copies(N)`: the share of training points among the
# samples of $N$ orthogonal edges, as $\sigma_{\max} \to \infty$. From which $N$ on is less than one
# sample in a thousand a copy?
# ```


# %%
def share_of_copies(N): ...  # your code: a number


# dc.exercises.check_share_of_copies(share_of_copies)

# %% [markdown]
# ```{solution-start} ex-21-copies
# :class: dropdown
# ```
#
# All $2^N$ vertices are equally likely, and $N + 1$ of them are training points. From $N = 14$ on.


# %%
def share_of_copies_solution(N):
    return (N + 1) / 2**N


assert dc.exercises.check_share_of_copies(share_of_copies_solution)
print(next(N for N in range(1, 99) if share_of_copies_solution(N) < 1e-3))

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-21-time
#
# **How long does a decision take?** Write `decision_time(length, radius, offset)`: the least
# $\ln(\sigma_{\max}/\sigma_{\min})$ after which the flow with a fixed radius has decided a
# coordinate that starts at that offset from the middle of a gap. What happens as $r \to 0$?
# ```


# %%
def decision_time(length, radius, offset): ...  # your code: a number


# dc.exercises.check_decision_time(decision_time)

# %% [markdown]
# ```{solution-start} ex-21-time
# :class: dropdown
# ```
#
# {prf:ref}`cor-relu-clock`. As $r \to 0$ the time grows like $1/r$: a network that is trained on
# tiny noise hardly ever decides, and its samples lie between the training points.


# %%
def decision_time_solution(length, radius, offset):
    return (length - 2 * radius) / (2 * radius) * math.log((length / 2 - radius) / offset)


assert dc.exercises.check_decision_time(decision_time_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Summary
#
# - The cost that weight decay sees is, on a line, the sum of the sizes of all kinks
#   ({prf:ref}`lem-relu-cost`). The cheapest network that sends balls to their centres is flat on
#   the balls and straight in between ({prf:ref}`thm-relu-line`); at a right-angled corner it is a
#   sum of such functions, one for each edge, and nothing else is as cheap ({prf:ref}`thm-relu-box`).
# - Its flow ends on training points *and their sums*, with probabilities that are known exactly; from
#   far away all $2^N$ subsets are equally likely ({prf:ref}`thm-relu-vertices`).
# - Finite schedules have exact laws too ({prf:ref}`prop-relu-steps`). A short clock, or a radius
#   that follows the noise level, leaves samples between the vertices ({prf:ref}`cor-relu-clock`).
# - Trained networks came near to the closed form, on the line more than at the corner.
#
# **Proved:** the least cost, its uniqueness, the laws. **Measured:** how near training comes.
# **Not covered:** points that are not orthogonal, and noise levels at which the balls meet.
#
# The setting and the phenomenon are those of {cite:t}`zeno2023how` and {cite:t}`zeno2025memorize`;
# the proofs and laws in this chapter are the book's own, and so are their errors.
#
# ## References
#
# ```{bibliography}
# :filter: docname in docnames
# ```
