"""The affine denoiser and its laws: against direct formulas, simulation and other samplers."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import diffusion_creativity as dc
from diffusion_creativity.denoisers import Affine, affine_law
from diffusion_creativity.denoisers.affine import transition
from diffusion_creativity.noise import Knobs

SIGMAS = dc.noise.karras(9)
SAMPLERS = {
    "ddim": (dc.sampling.ddim, {}, {}),
    "heun": (dc.sampling.heun, {}, {"second_order": True}),
    "ancestral": (dc.sampling.ancestral, {"seed": 3}, {"eta": 1.0}),
    "eta 0.4": (dc.sampling.ancestral, {"seed": 3, "eta": 0.4}, {"eta": 0.4}),
    "churn": (
        dc.sampling.ancestral,
        {"seed": 3, "eta": 0.5, "churn": 6.0, "churn_min": 0.05, "churn_max": 30.0},
        {"eta": 0.5, "churn": 6.0, "churn_min": 0.05, "churn_max": 30.0},
    ),
    "heun churn": (
        dc.sampling.heun,
        {"seed": 3, "churn": 3.0, "churn_noise": 1.01},
        {"second_order": True, "churn": 3.0, "churn_noise": 1.01},
    ),
}


def moments(d, seed=0, rank=None):
    """A mean and a covariance (of rank `rank`), float64."""
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(d, rank or d, generator=generator, dtype=torch.float64)
    return 2 * torch.randn(d, generator=generator, dtype=torch.float64), root @ root.T / d


def drawn(n, d, seed=0, rank=None):
    """Data that are far from Gaussian, float64."""
    mean, cov = moments(d, seed, rank)
    generator = torch.Generator().manual_seed(seed + 1)
    signs = torch.randint(0, 2, (n, d), generator=generator).double() * 2 - 1
    values, vectors = torch.linalg.eigh(cov)
    return mean + (signs * values.clamp(min=0).sqrt()) @ vectors.T


def wiener(mean, cov, y, sigma, ridge=0.0):
    """The textbook formula with a matrix inverse."""
    total = cov + (sigma**2 + ridge) * torch.eye(len(cov), dtype=cov.dtype)
    return mean + (y - mean) @ torch.linalg.solve(total, cov)


class TestDenoiser:
    @settings(deadline=None, max_examples=40)
    @given(
        d=st.integers(1, 7),
        n=st.integers(1, 5),
        seed=st.integers(0, 1000),
        log_sigma=st.floats(-3, 2),
        ridge=st.sampled_from([0.0, 0.3]),
    )
    def test_is_the_textbook_formula(self, d, n, seed, log_sigma, ridge):
        mean, cov = moments(d, seed)
        y = torch.randn(n, d, dtype=torch.float64) * 3
        sigma = 10**log_sigma
        expected = wiener(mean, cov, y, sigma, ridge)
        torch.testing.assert_close(Affine(mean, cov, ridge=ridge)(y, sigma), expected)

    @settings(deadline=None, max_examples=30)
    @given(d=st.integers(1, 6), n=st.integers(1, 12), seed=st.integers(0, 1000))
    def test_fit_has_the_moments_normalised_by_n(self, d, n, seed):
        x = torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        fitted = Affine.fit(x)
        torch.testing.assert_close(fitted.mean, x.mean(0))
        torch.testing.assert_close(fitted.law().cov, torch.cov(x.T, correction=0).reshape(d, d))
        assert len(fitted.eigenvalues) <= min(d, n - 1)
        without = Affine.fit(x, bias=False)
        assert without.mean.abs().max() == 0
        torch.testing.assert_close(without.law().cov, x.T @ x / n)

    @pytest.mark.parametrize("sigma", [0.0, 1e-8, 1e8])
    def test_ends(self, sigma):
        mean, cov = moments(4)
        y = torch.randn(3, 4, dtype=torch.float64)
        out = Affine(mean, cov)(y, sigma)
        torch.testing.assert_close(out, mean.expand(3, 4) if sigma > 1 else y)

    def test_sigma_zero_projects_on_the_plane_of_the_data(self):
        x = drawn(5, 8)
        out = Affine.fit(x)(torch.randn(20, 8, dtype=torch.float64), 0.0)
        basis = torch.linalg.qr((x - x.mean(0))[:4].T)[0]
        offset = out - x.mean(0)
        assert (offset - offset @ basis @ basis.T).abs().max() < 1e-12

    def test_one_sigma_per_example(self):
        denoise = Affine(*moments(3))
        y, sigma = torch.randn(4, 3), torch.tensor([0.1, 1.0, 5.0, 0.0])
        rows = torch.cat([denoise(y[k : k + 1], s) for k, s in enumerate(sigma.tolist())])
        torch.testing.assert_close(denoise(y, sigma), rows)
        assert denoise.gain(sigma).shape == (4, 3)
        assert denoise.gain(0.5).shape == (3,)
        torch.testing.assert_close(denoise.gain([0.1, 1.0]), denoise.gain(torch.tensor([0.1, 1])))

    def test_images_fewer_than_pixels(self):
        x = dc.data.load("digits").x[:20]
        denoise = Affine.fit(x)
        assert denoise.mean.shape == (1, 8, 8)
        assert len(denoise.eigenvalues) == 19
        assert denoise(x, 0.5).shape == x.shape
        assert denoise.law(SIGMAS).sample(3).shape == (3, 1, 8, 8)
        torch.testing.assert_close(denoise(x, 0.0), x, atol=1e-5, rtol=0)

    def test_both_ways_to_fit_agree(self):
        """Eigenvectors of the covariance, or singular vectors of the data."""
        x = drawn(8, 8)
        tall = torch.cat([x, x])  # the same moments from more examples than entries
        y = torch.randn(3, 8, dtype=torch.float64)
        torch.testing.assert_close(Affine.fit(x)(y, 0.4), Affine.fit(tall)(y, 0.4))

    def test_constant_data(self):
        denoise = Affine.fit(torch.full((5, 3), 2.0))
        assert denoise.law().rank == 0
        torch.testing.assert_close(denoise(torch.randn(2, 3), 1.0), torch.full((2, 3), 2.0))
        out = dc.sampling.ddim(denoise, torch.randn(2, 3), SIGMAS)
        torch.testing.assert_close(out, torch.full((2, 3), 2.0))

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
    def test_dtypes(self, dtype):
        mean, cov = moments(3)
        y = torch.randn(5, 3).to(dtype)
        out = Affine(mean, cov)(y, 0.7)
        assert out.dtype == dtype
        expected = wiener(mean, cov, y.double(), 0.7)
        torch.testing.assert_close(out.double(), expected, rtol=0, atol=20 * torch.finfo(dtype).eps)

    def test_fit_takes_any_dtype_and_layout(self):
        x = torch.randint(0, 255, (30, 4), dtype=torch.uint8)
        a = Affine.fit(x)
        b = Affine.fit(x.double().T.contiguous().T.requires_grad_())
        torch.testing.assert_close(a.law().cov, b.law().cov)
        y = torch.randn(4, 6).T[:, :4]
        torch.testing.assert_close(a(y, 1.0), a(y.contiguous(), 1.0))

    def test_gradient_is_the_matrix(self):
        denoise = Affine(*moments(3))
        y = torch.randn(1, 3, dtype=torch.float64, requires_grad=True)
        jacobian = torch.autograd.functional.jacobian(lambda v: denoise(v, 0.6), y)[0, :, 0]
        torch.testing.assert_close(jacobian, denoise.maps(0.6)[0])

    def test_gradient_flow_ends_where_it_should(self):
        mean, cov = moments(4)
        y = torch.randn(3, 4, dtype=torch.float64)
        late = Affine(mean, cov, stopped_at=1e6)(y, 0.5)
        torch.testing.assert_close(late, Affine(mean, cov)(y, 0.5))
        early = Affine(mean, cov, stopped_at=1e-9)(y, 0.5)
        torch.testing.assert_close(early, mean.expand(3, 4), atol=1e-6, rtol=0)


class TestErrors:
    @pytest.mark.parametrize(
        ("call", "name"),
        [
            (lambda: Affine.fit(torch.empty(0, 3)), "x"),
            (lambda: Affine.fit(torch.tensor([[1.0, math.nan]])), "x"),
            (lambda: Affine.fit(torch.tensor([[1.0, math.inf]])), "x"),
            (lambda: Affine.fit(torch.randn(5)), "x"),
            (lambda: Affine.fit(torch.randn(5, 2), ridge=-1.0), "ridge"),
            (lambda: Affine.fit(torch.randn(5, 2), stopped_at=0.0), "stopped_at"),
            (lambda: Affine(torch.zeros(2), torch.eye(3)), "cov"),
            (lambda: Affine(torch.zeros(2), torch.tensor([[1.0, 1], [0, 1]])), "cov"),
            (lambda: Affine(torch.zeros(2), -torch.eye(2)), "cov"),
        ],
    )
    def test_of_making_one(self, call, name):
        with pytest.raises(ValueError, match=name):
            call()

    @pytest.mark.parametrize(
        ("y", "sigma", "name"),
        [
            (torch.randn(2, 4), 1.0, "y"),
            (torch.randn(3), 1.0, "y"),
            (torch.full((2, 3), math.nan), 1.0, "y"),
            ([[0.0, 0, 0]], 1.0, "y"),
            (torch.randn(2, 3), -1.0, "sigma"),
            (torch.randn(2, 3), math.inf, "sigma"),
            (torch.randn(2, 3), "one", "sigma"),
            (torch.randn(2, 3), torch.ones(5), "sigma"),
        ],
    )
    def test_of_denoising(self, y, sigma, name):
        with pytest.raises(ValueError, match=name):
            Affine(*moments(3))(y, sigma)

    @pytest.mark.parametrize("sigmas", [[1.0, 2.0, 0.0], [2.0, 1.0], [0.0], [[1.0, 0.0]]])
    def test_of_schedules(self, sigmas):
        denoise = Affine(*moments(3))
        for call in (
            denoise.law,
            lambda s: denoise.generate(torch.randn(2, 3), s),
            lambda s: affine_law(denoise.maps, s, (3,)),
        ):
            with pytest.raises(ValueError, match="sigmas"):
                call(torch.tensor(sigmas))

    def test_of_ode_limits(self):
        denoise = Affine(*moments(3))
        with pytest.raises(ValueError, match="sigma_max"):
            denoise.ode_law(1.0, 2.0)
        with pytest.raises(ValueError, match="sigma_min"):
            denoise.ode_law(1.0, -1.0)


class TestLaws:
    @pytest.mark.parametrize("name", SAMPLERS)
    @pytest.mark.parametrize("kind", ["full", "rank 3", "ridge", "early", "no bias"])
    def test_every_sampler_follows_its_law(self, name, kind):
        """And not that of plain DDIM, where it is another one."""
        sampler, arguments, knobs = SAMPLERS[name]
        x = drawn(400, 5, rank=3 if kind == "rank 3" else None)
        extra = {
            "ridge": {"ridge": 0.1},
            "early": {"stopped_at": 0.8},
            "no bias": {"bias": False},
        }
        denoise = Affine.fit(x, **extra.get(kind, {}))
        noise = dc.sampling.initial_noise(20_000, (5,), seed=11)
        samples = sampler(denoise, noise, SIGMAS, **arguments)
        law = denoise.law(SIGMAS, **knobs)
        assert law.agreement(samples, alpha=1e-4).ok
        if knobs:
            assert not denoise.law(SIGMAS).agreement(samples, alpha=1e-4).ok

    @settings(deadline=None, max_examples=25)
    @given(d=st.integers(1, 5), seed=st.integers(0, 999), steps=st.integers(1, 12),
           knobs=st.sampled_from([k for _, _, k in SAMPLERS.values()]))  # fmt: skip
    def test_matrix_recursion_is_the_eigenbasis_one(self, d, seed, steps, knobs):
        denoise = Affine(*moments(d, seed), ridge=0.01)
        sigmas = dc.noise.karras(steps, sigma_max=20.0)
        general = affine_law(denoise.maps, sigmas, (d,), **knobs)
        own = denoise.law(sigmas, **knobs)
        torch.testing.assert_close(general.mean, own.mean, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(general.cov, own.cov, rtol=1e-8, atol=1e-9)

    def test_maps_that_do_not_commute(self):
        generator = torch.Generator().manual_seed(2)
        table = {
            s: (0.4 * torch.randn(3, 3, generator=generator), torch.randn(3, generator=generator))
            for s in SIGMAS[:-1].tolist()
        }

        def denoise(y, sigma):
            A, b = table[sigma]
            return y @ A.T + b

        noise = dc.sampling.initial_noise(20_000, (3,), seed=4)
        law = affine_law(table.__getitem__, SIGMAS, (3,))
        assert law.agreement(dc.sampling.ddim(denoise, noise, SIGMAS), alpha=1e-4).ok
        flipped = affine_law(lambda s: (table[s][0].T, table[s][1]), SIGMAS, (3,))
        samples = dc.sampling.ddim(denoise, noise, SIGMAS)
        assert not flipped.agreement(samples, alpha=1e-4).ok

    @settings(deadline=None, max_examples=20)
    @given(d=st.integers(1, 5), rank=st.integers(1, 5), seed=st.integers(0, 999),
           second_order=st.booleans(), steps=st.integers(1, 10))  # fmt: skip
    def test_generate_is_the_sampler(self, d, rank, seed, second_order, steps):
        denoise = Affine(*moments(d, seed, min(rank, d)))
        sigmas = dc.noise.karras(steps, sigma_max=10.0)
        noise = dc.sampling.initial_noise(6, (d,), sigma_max=10.0, seed=seed).double()
        sampler = dc.sampling.heun if second_order else dc.sampling.ddim
        fast = denoise.generate(noise, sigmas, second_order=second_order)
        torch.testing.assert_close(fast, sampler(denoise, noise, sigmas), rtol=1e-9, atol=1e-9)

    def test_generate_images_in_single_precision(self):
        denoise = Affine.fit(dc.data.load("digits").x)
        noise = dc.sampling.initial_noise(5, (1, 8, 8), seed=2)
        fast = denoise.generate(noise, SIGMAS)
        assert fast.dtype == torch.float32
        slow = dc.sampling.ddim(denoise, noise, SIGMAS)
        torch.testing.assert_close(fast, slow, atol=1e-4, rtol=0)

    def test_transition_of_a_step_to_the_same_level_is_nothing(self):
        denoise = Affine(*moments(3))
        M, c = transition(denoise.maps, Knobs().split(2.0, 2.0, 10))
        torch.testing.assert_close(M, torch.eye(3, dtype=torch.float64))
        assert c.abs().max() < 1e-12

    def test_ode_law_is_the_limit_of_fine_schedules(self):
        denoise = Affine(*moments(4))
        fine = dc.noise.log_linear(3000, sigma_min=1e-4, sigma_max=6.0)
        law = denoise.law(fine, second_order=True)
        torch.testing.assert_close(law.cov, denoise.ode_law(6.0).cov, rtol=0, atol=1e-4)
        torch.testing.assert_close(law.mean, denoise.ode_law(6.0).mean, rtol=0, atol=1e-4)
        torch.testing.assert_close(denoise.law(None).cov, moments(4)[1])

    @pytest.mark.parametrize("options", [{"ridge": 0.2}, {"stopped_at": 0.7},
                                         {"ridge": 0.1, "stopped_at": 2.0}])  # fmt: skip
    def test_ode_ratio_integrates_the_gain(self, options):
        """log ratio = -∫ (1 - gain) d log σ, by the midpoint rule."""
        denoise = Affine(*moments(3), **options)
        log_sigma = torch.linspace(math.log(0.01), math.log(40.0), 20_001, dtype=torch.float64)
        middle = ((log_sigma[1:] + log_sigma[:-1]) / 2).exp()
        lost = (1 - denoise.gain(middle)).sum(0) * log_sigma.diff()[0]
        torch.testing.assert_close(
            denoise.ode_ratio(40.0, 0.01), (-lost).exp(), rtol=1e-6, atol=1e-12
        )

    def test_collapse_of_the_bent_ode(self):
        for options in ({"ridge": 0.1}, {"stopped_at": 3.0}):
            assert Affine(*moments(3), **options).law(None).rank == 0
