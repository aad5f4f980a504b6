"""Self-checks of the assignments: official solutions pass on any seed, wrong ones fail."""

import math
import runpy
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from scipy import stats

import diffusion_creativity as dc
from diffusion_creativity.exercises import assignments
from diffusion_creativity.exercises.assignments import ASSIGNMENTS

from .exercise_tests import exercise_checks

SOLUTIONS = Path(__file__).resolve().parents[1] / "solutions"
OFFICIAL = {name: runpy.run_path(str(SOLUTIONS / f"{name}.py")) for name in ASSIGNMENTS}
ONE, TWO, OWN = (OFFICIAL[name] for name in ASSIGNMENTS)


def mixture(log_factor=True, weighted=True, spread=True):
    def solution(y, sigma, means, variances, weights):
        total = variances + sigma**2 if spread else sigma**2 + 0 * variances
        gaps = y[:, None] - means
        log = -gaps.square().sum(-1) / (2 * total)
        log = log + (weights.log() if weighted else 0)
        log = log - (y.shape[1] / 2 * total.log() if log_factor else 0)
        each = means + (variances / (variances + sigma**2))[:, None] * gaps
        return (log.softmax(1)[..., None] * each).sum(1)

    return solution


def no_logarithms(y, sigma, means, variances, weights):
    total = variances + sigma**2
    gaps = y[:, None] - means
    w = weights * (-gaps.square().sum(-1) / (2 * total)).exp() / total ** (y.shape[1] / 2)
    each = means + (variances / total)[:, None] * gaps
    return (w[..., None] * each).sum(1) / w.sum(1, keepdim=True)


def posterior(y, sigma, x):
    return (-(y[:, None] - x).square().sum(-1) / (2 * sigma**2)).softmax(1)


def uncentred(y, sigma, x):
    return torch.einsum("nk,ki,kj->nij", posterior(y, sigma, x), x, x)


def around_the_mean(y, sigma, x):
    inside = x - x.mean(0)
    return torch.einsum("nk,ki,kj->nij", posterior(y, sigma, x), inside, inside)


def without_two(y, sigma, x):
    return ONE["posterior_covariance"](y, sigma / math.sqrt(2), x)


def jacobian_alone(y, sigma, x):
    return ONE["posterior_covariance"](y, sigma, x) / sigma**2


def variance(start=lambda s, lam: s**2, up_share=1.0, squared=True):
    def solution(lam, sigmas):
        total = start(sigmas[0].item(), lam)
        for sigma, below in pairwise(sigmas.tolist()):
            up = up_share * below * math.sqrt(1 - (below / sigma) ** 2)
            down = math.sqrt(below**2 - up**2)
            gain = lam / (lam + sigma**2)
            total = (gain + down / sigma * (1 - gain)) ** 2 * total + (up**2 if squared else up)
        return total

    return solution


def noise_not_split(lam, sigmas):
    total = sigmas[0].item() ** 2
    for sigma, below in pairwise(sigmas.tolist()):
        gain = lam / (lam + sigma**2)
        up = below * math.sqrt(1 - (below / sigma) ** 2)
        total = (gain + below / sigma * (1 - gain)) ** 2 * total + up**2
    return total


def whiten(samples, mean, cov):
    return torch.linalg.solve(torch.linalg.cholesky(cov), (samples - mean).T).T


def mean_only(samples, mean, cov):
    z = whiten(samples, mean, cov)
    return bool(len(z) * z.mean(0).square().sum() > stats.chi2.isf(0.01, z.shape[1]))


def uncorrected(samples, mean, cov):
    z = whiten(samples, mean, cov)
    n, d = z.shape
    worst = min(
        [2 * stats.norm.sf(abs(v)) for v in (math.sqrt(n) * z.mean(0)).tolist()]
        + [2 * stats.norm.sf(abs(v)) for v in (math.sqrt(n / 2) * (z**2 - 1).mean(0)).tolist()]
        + [2 * stats.norm.sf(abs(v)) for v in (n**0.5 * (z.T @ z / n)[0, 1:]).tolist()]
    )
    return worst < 0.01 if d else False


def variances_too_large(samples, mean, cov):
    z = whiten(samples, mean, cov)
    n, d = z.shape
    far = n * z.mean(0).square().sum() > stats.chi2.isf(0.003, d)
    return bool(far or z.square().sum() > stats.chi2.isf(0.003, n * d))


def no_correlations(samples, mean, cov):
    z = whiten(samples, mean, cov)
    n, d = z.shape
    far = n * z.mean(0).square().sum() > stats.chi2.isf(0.005, d)
    return bool(far or n / 2 * (z.square().mean(0) - 1).square().sum() > stats.chi2.isf(0.005, d))


def rows_at_their_height(y, sigma, x):
    return torch.stack([posterior(y[:, r], sigma, x[:, r]) @ x[:, r] for r in range(y.shape[1])], 1)


def whole_images(y, sigma, x):
    return (posterior(y.flatten(1), sigma, x.flatten(1)) @ x.flatten(1)).reshape(y.shape)


def all_rows_at_once(y, sigma, x):
    rows = x.reshape(-1, x.shape[-1])
    gaps = (y[:, :, None] - rows).square().sum((1, 3))
    return ((-gaps / (2 * sigma**2)).softmax(1) @ rows)[:, None].expand_as(y)


def distinct(x):
    return len(torch.unique(x.reshape(-1, x.shape[-1]), dim=0))


def per_height(x):
    return math.prod(len(torch.unique(x[:, r], dim=0)) for r in range(x.shape[1]))


def uniform_rows(x):
    return len(torch.unique(x, dim=0)) / distinct(x) ** x.shape[1]


def not_distinct(x):
    _, place, counts = torch.unique(
        x.reshape(-1, x.shape[-1]), dim=0, return_inverse=True, return_counts=True
    )
    return (counts[place.reshape(len(x), -1)] / counts.sum()).prod(1).sum().item()


def own_mean_per_height(x):
    inside = (x - x.mean(0)).reshape(-1, x.shape[-1])
    return x.mean((0, 1)), inside.T @ inside / len(inside)


def unbiased(x):
    rows = x.reshape(-1, x.shape[-1])
    return rows.mean(0), rows.T.cov()


def of_columns(x):
    return x.mean((0, 1)), x.mean(1).T.cov(correction=0)


def at_their_heights(x):
    return torch.stack([x[:, r].roll(r + 1, 0) for r in range(x.shape[1])], 1)


def plan(**changed):
    return lambda: {**OWN["plan"](), **changed}


def denoiser(what):
    weights = torch.linspace(-0.5, 0.5, 256).reshape(1, 16, 16)

    def solution(y, sigma):
        level = torch.as_tensor(sigma, dtype=y.dtype).reshape(-1, 1, 1, 1)
        if what == "batch":
            return y.mean(0, keepdim=True) + 0 * y
        if what == "in place":
            return y.mul_(0.5)
        if what == "random":
            return y + torch.randn_like(y)
        if what == "overflow":
            return (y / level).exp() / (y / level).exp().sum()
        if what == "one level":
            return y * weights / (1 + level.flatten()[0] ** 2)
        return y.flatten(1)

    return solution


def wald(k, n):
    half = 1.96 * math.sqrt(k / n * (1 - k / n) / n)
    return max(0.0, k / n - half), min(1.0, k / n + half)


def one_error(k, n):
    centre = (k + 2) / (n + 4)
    half = math.sqrt(centre * (1 - centre) / n)
    return min(k / n, max(0.0, centre - half)), max(k / n, min(1.0, centre + half))


def hoeffding(k, n):
    half = math.sqrt(math.log(40) / (2 * n))
    return max(0.0, k / n - half), min(1.0, k / n + half)


def clopper_pearson(k, n):
    ends = stats.binomtest(k, n).proportion_ci(0.95, method="exact")
    return ends.low, ends.high


def certificate(agrees=None, draw=None, control=None):
    official = OWN["certificate"]()
    return lambda: tuple(
        mine or theirs for mine, theirs in zip((agrees, draw, control), official, strict=True)
    )


RIGHT = [
    (check, OFFICIAL[name][answer])
    for name, assignment in ASSIGNMENTS.items()
    for answer, (check, _) in assignment.checked.items()
]
RIGHT += [
    (assignments.check_interval, clopper_pearson),
    (assignments.check_contract, dc.denoisers.Affine.fit(torch.randn(40, 1, 16, 16))),
]
c = assignments
WRONG = [
    (c.check_mixture_denoiser, mixture(log_factor=False)),
    (c.check_mixture_denoiser, mixture(weighted=False)),
    (c.check_mixture_denoiser, mixture(spread=False)),
    (c.check_mixture_denoiser, no_logarithms),
    (c.check_posterior_covariance, uncentred),
    (c.check_posterior_covariance, around_the_mean),
    (c.check_posterior_covariance, without_two),
    (c.check_posterior_covariance, jacobian_alone),
    (c.check_ancestral_variance, variance(up_share=0.0)),
    (c.check_ancestral_variance, variance(start=lambda s, lam: s**2 + lam)),
    (c.check_ancestral_variance, variance(squared=False)),
    (c.check_ancestral_variance, noise_not_split),
    (c.check_ancestral_variance, lambda lam, sigmas: lam),
    (c.check_reject, mean_only),
    (c.check_reject, uncorrected),
    (c.check_reject, variances_too_large),
    (c.check_reject, no_correlations),
    (c.check_reject, lambda samples, mean, cov: False),
    (c.check_row_denoiser, rows_at_their_height),
    (c.check_row_denoiser, whole_images),
    (c.check_row_denoiser, all_rows_at_once),
    (c.check_row_denoiser, lambda y, sigma, x: TWO["row_denoiser"](y, 2**0.5 * sigma, x)),
    (c.check_count_generated, lambda x: (x.shape[0] * x.shape[1]) ** x.shape[1]),
    (c.check_count_generated, per_height),
    (c.check_count_generated, lambda x: distinct(x) * x.shape[1]),
    (c.check_copy_probability, uniform_rows),
    (c.check_copy_probability, not_distinct),
    (c.check_copy_probability, lambda x: len(x) ** (1.0 - x.shape[1])),
    (c.check_row_gaussian, own_mean_per_height),
    (c.check_row_gaussian, unbiased),
    (c.check_row_gaussian, of_columns),
    (c.check_row_twin, lambda x: x.flip(0)),
    (c.check_row_twin, at_their_heights),
    (c.check_row_twin, lambda x: x.flip(1).roll(1, 2)),
    (c.check_row_twin, lambda x: x[torch.arange(len(x)) // 2]),
    (c.check_plan, plan(prediction=(0.0, 0.6))),
    (c.check_plan, plan(samples=50, prediction=(0.0, 0.3), rival=(0.4, 1.0))),
    (c.check_plan, plan(prediction=(0.1, 0.0))),
    (c.check_plan, plan(refuted_if="Never.")),
    (c.check_plan, lambda: {"question": "Is it creative?"}),
    (c.check_contract, denoiser("batch")),
    (c.check_contract, denoiser("in place")),
    (c.check_contract, denoiser("random")),
    (c.check_contract, denoiser("overflow")),
    (c.check_contract, denoiser("one level")),
    (c.check_contract, denoiser("flat")),
    (c.check_interval, wald),
    (c.check_interval, one_error),
    (c.check_interval, hoeffding),
    (c.check_interval, lambda k, n: (0.0, 1.0)),
    (c.check_certificate, certificate(agrees=lambda samples: True)),
    (c.check_certificate, certificate(agrees=lambda samples: False)),
    (c.check_certificate, certificate(control=OWN["certificate"]()[1])),
    (c.check_certificate, certificate(draw=lambda n, seed: OWN["TRAIN"][:1].repeat(n, 1, 1, 1))),
]  # fmt: skip

test_accepts, test_rejects_and_says_why, test_unfinished = exercise_checks(RIGHT, WRONG)


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_points_add_up_to_a_hundred(name):
    checked, written = ASSIGNMENTS[name]
    assert sum(points for _, points in checked.values()) + sum(written.values()) == 100


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_written_questions_have_a_model_answer(name):
    assert OFFICIAL[name]["WRITTEN"].keys() == ASSIGNMENTS[name].written.keys()


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_every_check_meets_three_wrong_answers(name):
    for check, _ in ASSIGNMENTS[name].checked.values():
        assert sum(check is other for other, _ in WRONG) >= 3


@pytest.mark.parametrize("seed", [0, 1, 2027])
@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_official_solutions_get_all_points_on_any_seed(name, seed):
    points = {answer: points for answer, (_, points) in ASSIGNMENTS[name].checked.items()}
    assert assignments.mark(name, OFFICIAL[name], seed=seed) == points


def test_what_is_missing_gets_no_points(capsys):
    answers = {"row_gaussian": TWO["row_gaussian"], "row_twin": lambda x: x}
    earned = assignments.mark("assignment_2", answers)
    assert sum(earned.values()) == earned["row_gaussian"] == 15
    said = capsys.readouterr().out
    assert "row_denoiser: not found" in said
    assert said.endswith("15 of 70 points; marked by hand: 30 more\n")


def test_assignments_have_names():
    with pytest.raises(ValueError, match="assignment must be one of assignment_1, "):
        assignments.mark("assignment_3", {})


def test_the_row_denoiser_generates_what_the_assignment_says():
    """Samples of the official denoiser are rows of the pool, copies as often as computed."""
    x = torch.randint(2, (3, 3, 4), generator=torch.Generator().manual_seed(1)).double() * 2 - 1
    noise = dc.sampling.initial_noise(2000, (3, 4), seed=0).double()
    samples = dc.sampling.ddim(
        lambda y, sigma: TWO["row_denoiser"](y, sigma, x), noise, dc.noise.karras(40)
    )
    assert torch.cdist(samples.reshape(-1, 4), x.reshape(-1, 4)).min(1).values.max() < 0.01
    copies = int((torch.cdist(samples.flatten(1), x.flatten(1)).min(1).values < 0.1).sum())
    share = TWO["copy_probability"](x)
    assert stats.binomtest(copies, 2000, share).pvalue > 1e-5
    assert stats.binomtest(copies, 2000, 1 / 3).pvalue < 1e-5  # were rows not independent


def test_the_variance_is_that_of_the_ancestral_sampler():
    x = torch.tensor([[-0.7], [0.7]], dtype=torch.float64)  # variance 0.49
    sigmas = dc.noise.karras(6)
    noise = dc.sampling.initial_noise(20_000, (1,), seed=0).double()
    samples = dc.sampling.ancestral(dc.denoisers.Affine.fit(x), noise, sigmas, seed=1)
    expected = ONE["ancestral_variance"](0.49, sigmas)
    ratio = samples.square().sum().item() / expected
    assert 1e-5 < stats.chi2.sf(ratio, 20_000) < 1 - 1e-5
    deterministic = variance(up_share=0.0)(0.49, sigmas)
    assert (
        not 1e-5 < stats.chi2.sf(samples.square().sum().item() / deterministic, 20_000) < 1 - 1e-5
    )


def test_the_official_test_has_the_level_that_it_claims():
    generator = torch.Generator().manual_seed(5)
    z = torch.randn(2000, 200, 3, generator=generator, dtype=torch.float64)
    eye = torch.eye(3, dtype=torch.float64)
    refused = sum(ONE["reject"](one, torch.zeros(3).double(), eye) for one in z)
    # 1 % to first order in 1/n; the chi-square of the covariance has a heavier tail at n = 200.
    assert stats.binom.sf(refused - 1, 2000, 0.015) > 1e-5
