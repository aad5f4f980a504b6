"""The convolutional denoiser: against patches, loops, matrices and numerical flows in float64."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

import diffusion_creativity as dc
from diffusion_creativity.denoisers import Affine, Convolutional, affine_law
from diffusion_creativity.laws import Gaussian

SIGMAS = dc.noise.karras(9)


def drawn(*shape, seed=0):
    """Pictures that vary smoothly, differ between channels and have a mean image, float64."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*shape, generator=generator, dtype=torch.float64)
    x = x + 0.8 * x.roll(1, -1) - 0.3 * x.roll(2, -1) + 0.4 * x.flip(1)
    return x + torch.linspace(-1, 2, math.prod(shape[1:])).reshape(shape[1:])


def patches(x, k, padding):
    """Windows (N, places, C, k, k) of pictures (N, C, H, W), by loops over places."""
    mode = {"circular": "wrap", "zeros": "constant"}[padding]
    r = k // 2
    framed = np.pad(x.numpy(), ((0, 0), (0, 0), (r, r), (r, r)), mode=mode)
    h, w = x.shape[2:]
    places = itertools.product(range(h), range(w))
    return np.stack([framed[:, :, i : i + k, j : j + k] for i, j in places], 1)


def least_squares(x, k, padding, sigma, ridge=0.0):
    """Kernel (C, C, k, k) and bias (C,) by the normal equations of all windows at once."""
    n, c, h, w = x.shape
    windows = patches(x, k, padding).reshape(n * h * w, -1)
    inside = patches(torch.ones_like(x[:1]), k, padding).reshape(h * w, -1).mean(0)
    features = np.hstack([windows, np.ones((len(windows), 1))])
    gram = features.T @ features / len(features)
    gram[:-1, :-1] += np.diag(sigma**2 * inside + ridge)
    targets = x.permute(0, 2, 3, 1).reshape(-1, c).numpy()
    solved = np.linalg.lstsq(gram, features.T @ targets / len(features), rcond=1e-12)[0].T
    return solved[:, :-1].reshape(c, c, k, k), solved[:, -1]


def ring(seed=0, size=12):
    """A power on a ring, symmetric and positive."""
    power = torch.rand(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return 0.2 + power + power.flip(0).roll(1)


class TestDenoiser:
    @pytest.mark.parametrize("padding", ["circular", "zeros"])
    @pytest.mark.parametrize("shape", [(7, 1, 5, 6), (6, 2, 5, 4)])
    @pytest.mark.parametrize(("k", "sigma", "ridge"), [(1, 0.5, 0), (3, 0.2, 0), (3, 4.0, 0.7)])
    def test_is_least_squares_over_all_windows(self, shape, padding, k, sigma, ridge):
        x = drawn(*shape)
        denoise = Convolutional.fit(x, kernel_size=k, padding=padding, ridge=ridge)
        kernel, bias = least_squares(x, k, padding, sigma, ridge)
        torch.testing.assert_close(denoise.kernel(sigma), torch.from_numpy(kernel))
        y = drawn(3, *shape[1:], seed=5)
        windows = patches(y, k, padding)
        expected = np.einsum("npbij,abij->nap", windows, kernel) + bias[:, None]
        torch.testing.assert_close(
            denoise(y, sigma).flatten(2), torch.from_numpy(expected), rtol=1e-9, atol=1e-9
        )

    def test_full_zero_padded_kernel_is_least_squares(self):
        x = drawn(9, 1, 3, 4)
        kernel, _ = least_squares(x, 7, "zeros", 0.6)
        wide = Convolutional.fit(x, padding="zeros").kernel(0.6)  # (5, 7): what can be reached
        torch.testing.assert_close(wide, torch.from_numpy(kernel)[:, :, 1:-1])

    @pytest.mark.parametrize("shape", [(8, 1, 5, 5), (8, 2, 4, 6), (8, 3, 7)])
    def test_full_kernel_is_the_affine_denoiser_of_all_shifts(self, shape):
        x = drawn(*shape)
        sides = range(2, x.ndim)
        shifts = itertools.product(*(range(x.shape[k]) for k in sides))
        orbit = torch.cat([x.roll(s, list(sides)) for s in shifts])
        y = drawn(4, *shape[1:], seed=2)
        for sigma in (0.05, 1.0, 30.0):
            expected = Affine.fit(orbit)(y, sigma)
            torch.testing.assert_close(Convolutional.fit(x)(y, sigma), expected)
        torch.testing.assert_close(
            Convolutional.fit(x).law().cov, Affine.fit(orbit).law().cov, rtol=0, atol=1e-9
        )

    @settings(deadline=None, max_examples=25)
    @given(
        k=st.sampled_from([None, 1, 3, 5]),
        move=st.tuples(st.integers(-6, 6), st.integers(-6, 6)),
        seed=st.integers(0, 100),
        log_sigma=st.floats(-2, 2),
    )
    def test_circular_commutes_with_shifts(self, k, move, seed, log_sigma):
        denoise = Convolutional.fit(drawn(6, 2, 5, 6, seed=seed), kernel_size=k)
        y, sigma = drawn(2, 2, 5, 6, seed=seed + 1), 10**log_sigma
        moved = denoise(y.roll(move, (2, 3)), sigma)
        torch.testing.assert_close(moved, denoise(y, sigma).roll(move, (2, 3)))

    @settings(deadline=None, max_examples=25)
    @given(
        c=st.integers(1, 3), size=st.sampled_from([(1, 9), (5, 5), (4, 7), (1, 1)]),
        full=st.booleans(), padding=st.sampled_from(["circular", "zeros"]),
        seed=st.integers(0, 100), log_sigma=st.floats(-2, 2),
    )  # fmt: skip
    def test_maps_are_the_denoiser(self, c, size, full, padding, seed, log_sigma):
        x, sigma = drawn(7, c, *size, seed=seed), 10**log_sigma
        denoise = Convolutional.fit(x, kernel_size=None if full else 3, padding=padding)
        A, b = denoise.maps(sigma)
        y = drawn(3, c, *size, seed=seed + 1)
        torch.testing.assert_close(
            (y.flatten(1) @ A.T + b).reshape(y.shape), denoise(y, sigma), rtol=1e-8, atol=1e-8
        )

    @pytest.mark.parametrize("padding", ["circular", "zeros"])
    @pytest.mark.parametrize("k", [None, 3])
    def test_moments_data_and_spectrum_agree(self, padding, k):
        x = drawn(9, 2, 4, 5)
        y = drawn(3, 2, 4, 5, seed=1)
        fitted = Convolutional.fit(x, kernel_size=k, padding=padding)
        cov = torch.cov(x.flatten(1).T, correction=0)
        other = Convolutional(x.mean(0), cov, kernel_size=k, padding=padding)
        torch.testing.assert_close(fitted(y, 0.8), other(y, 0.8))
        if padding == "circular":
            power = Convolutional.fit(x).spectrum()
            other = Convolutional.from_spectrum(x.mean((0, 2, 3)), power, kernel_size=k)
            torch.testing.assert_close(fitted(y, 0.8), other(y, 0.8))

    def test_signals_are_pictures_of_height_one(self):
        x, y = drawn(6, 2, 9), drawn(3, 2, 9, seed=1)
        for k, padding in itertools.product((None, 3), ("circular", "zeros")):
            flat = Convolutional.fit(x, kernel_size=k, padding=padding)
            tall = Convolutional.fit(x[:, :, None], kernel_size=k, padding=padding)
            torch.testing.assert_close(flat(y, 0.5), tall(y[:, :, None], 0.5)[:, :, 0])
            assert flat.kernel(0.5).shape == tall.kernel(0.5)[:, :, 0].shape

    def test_full_kernel_written_as_a_kernel(self):
        x = drawn(6, 2, 5, 4)
        full = Convolutional.fit(x)
        kernel = full.kernel(0.7)
        assert kernel.shape == (2, 2, 5, 4)
        y = drawn(2, 2, 5, 4, seed=3)
        bias = full._filters(full._levels(0.7, 1), (5, 4))[1][0]
        by_loops = torch.stack([
            torch.einsum("abij,nbij->na", kernel, y.roll((2 - i, 2 - j), (2, 3)))
            for i, j in itertools.product(range(5), range(4))
        ], -1)  # fmt: skip
        torch.testing.assert_close(by_loops + bias[:, None], full(y, 0.7).flatten(2))

    @pytest.mark.parametrize("padding", ["circular", "zeros"])
    @pytest.mark.parametrize("k", [None, 3])
    def test_one_sigma_per_example_and_batches(self, padding, k):
        denoise = Convolutional.fit(drawn(9, 2, 4, 5), kernel_size=k, padding=padding)
        y, sigma = drawn(4, 2, 4, 5, seed=1), torch.tensor([0.1, 2.0, 0.1, 0.0])
        rows = torch.cat([denoise(y[i : i + 1], s) for i, s in enumerate(sigma.tolist())])
        torch.testing.assert_close(denoise(y, sigma), rows, rtol=1e-6, atol=1e-6)
        assert denoise(y[:1], 1.0).shape == (1, 2, 4, 5)

    @pytest.mark.parametrize("padding", ["circular", "zeros"])
    def test_no_noise_changes_nothing_and_much_leaves_the_mean(self, padding):
        x = drawn(200, 1, 6, 6)
        for k in (None, 3) if padding == "circular" else (3,):
            denoise = Convolutional.fit(x, kernel_size=k, padding=padding)
            torch.testing.assert_close(denoise(x[:5], 0.0), x[:5], rtol=0, atol=1e-6)
            far = denoise(x[:5], 1e7)
            torch.testing.assert_close(far, x.mean().expand_as(far), rtol=0, atol=1e-5)

    @pytest.mark.parametrize("padding", ["circular", "zeros"])
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
    def test_dtypes(self, dtype, padding):
        denoise = Convolutional.fit(drawn(9, 1, 5, 5).float(), kernel_size=3, padding=padding)
        y = drawn(3, 1, 5, 5, seed=1).to(dtype)
        out = denoise(y, 0.7)
        assert out.dtype == dtype
        exact = denoise(y.double(), 0.7)
        torch.testing.assert_close(out.double(), exact, rtol=0, atol=40 * torch.finfo(dtype).eps)
        assert denoise(torch.ones(2, 1, 5, 5, dtype=torch.int64), 1.0).dtype == torch.float32

    def test_gradient_is_the_matrix(self):
        denoise = Convolutional.fit(drawn(9, 1, 3, 4), kernel_size=3, padding="zeros")
        y = drawn(1, 1, 3, 4)
        slope = torch.autograd.functional.jacobian(lambda v: denoise(v, 0.6), y)
        torch.testing.assert_close(slope.reshape(12, 12), denoise.maps(0.6)[0])

    def test_constant_data(self):
        for padding in ("circular", "zeros"):
            denoise = Convolutional.fit(torch.full((5, 1, 4, 4), 2.0), padding=padding)
            out = denoise(torch.randn(2, 1, 4, 4), 1.0)
            assert torch.isfinite(out).all()
        circular = Convolutional.fit(torch.full((5, 1, 4, 4), 2.0))
        assert circular.law().rank == 0
        out = dc.sampling.ddim(circular, torch.randn(2, 1, 4, 4), SIGMAS)
        torch.testing.assert_close(out, torch.full((2, 1, 4, 4), 2.0))

    def test_the_kept_filters_are_bounded(self):
        denoise = Convolutional.fit(drawn(5, 1, 3, 3))
        for sigma in torch.linspace(0.1, 9, 1300).tolist():
            denoise(torch.zeros(1, 1, 3, 3), sigma)
        assert len(denoise._kept) <= 1024


class TestLaw:
    @pytest.mark.parametrize(
        "sampler",
        [{}, {"second_order": True}, {"eta": 0.6}, {"eta": 0.3, "churn": 4.0, "churn_min": 0.05},
         {"second_order": True, "churn": 3.0, "churn_noise": 1.01}],
    )  # fmt: skip
    @pytest.mark.parametrize("k", [None, 3])
    @pytest.mark.parametrize("shape", [(9, 1, 4, 5), (9, 2, 5, 3)])
    def test_circular_is_the_matrix_recursion(self, shape, k, sampler):
        denoise = Convolutional.fit(drawn(*shape), kernel_size=k)
        law = denoise.law(SIGMAS, **sampler)
        slow = affine_law(denoise.maps, SIGMAS, shape[1:], **sampler)
        torch.testing.assert_close(law.mean, slow.mean, rtol=0, atol=1e-10)
        torch.testing.assert_close(law.cov, slow.cov, rtol=0, atol=1e-9)

    @pytest.mark.parametrize("padding", ["circular", "zeros"])
    @pytest.mark.parametrize("k", [None, 3])
    def test_generate_is_ddim(self, padding, k):
        denoise = Convolutional.fit(drawn(9, 2, 4, 5), kernel_size=k, padding=padding)
        noise = dc.sampling.initial_noise(6, (2, 4, 5), seed=1)
        for start, tolerance in ((noise, 1e-4), (noise.double(), 1e-11)):
            run = dc.sampling.ddim(denoise, start, SIGMAS)
            torch.testing.assert_close(denoise.generate(start, SIGMAS), run, rtol=0, atol=tolerance)
        if padding == "circular":
            run = dc.sampling.heun(denoise, noise.double(), SIGMAS)
            found = denoise.generate(noise.double(), SIGMAS, second_order=True)
            torch.testing.assert_close(found, run, rtol=0, atol=1e-11)

    def test_limit_of_the_full_kernel_is_the_power(self):
        power = ring()
        torch.testing.assert_close(Convolutional.from_spectrum(1.0, power).spectrum(), power)

    @pytest.mark.parametrize("k", [1, 3, 7, 11])
    def test_limit_of_a_window_is_the_integral(self, k):
        """exp(DFT of the centre of log T) against quadrature of ∫ (1 - H) dσ/σ."""
        denoise = Convolutional.from_spectrum(0.0, ring(), kernel_size=k)
        top = 1e5

        def rate(log_sigma, w):
            level = torch.tensor([math.exp(2 * log_sigma)], dtype=torch.float64)
            return 1 - denoise._filter.transfer(level)[0, 0, w, 0, 0].real.item()

        for w in (0, 1, 5, 6):
            log, _ = integrate.quad(rate, -16, math.log(top), (w,), epsabs=1e-10, limit=400)
            expected = top**2 * math.exp(-2 * log)
            assert denoise.spectrum()[w].item() == pytest.approx(expected, rel=1e-6)

    def test_limit_with_channels_is_that_of_many_steps(self):
        denoise = Convolutional.fit(drawn(60, 2, 5, 3), kernel_size=3)
        limit = denoise.spectrum()
        fine = dc.noise.log_linear(3000, sigma_min=1e-5, sigma_max=1e5)
        found = denoise.spectrum(fine, second_order=True)
        torch.testing.assert_close(found, limit, rtol=5e-5, atol=5e-5)  # Heun's own error
        torch.testing.assert_close(limit, limit.transpose(0, 1).conj(), rtol=0, atol=1e-9)

    def test_limit_with_one_channel_two_ways(self):
        denoise = Convolutional.fit(drawn(60, 1, 5, 7), kernel_size=5)
        integrated = denoise._filter._integrated()[..., 0, 0].real
        torch.testing.assert_close(integrated, denoise.spectrum(), rtol=1e-9, atol=0)

    def test_ridge_collapses_the_full_kernel(self):
        full = Convolutional.from_spectrum(0.5, ring(), ridge=0.1)
        assert full.law().rank == 0
        torch.testing.assert_close(full.law().mean, torch.full((1, 12), 0.5, dtype=torch.float64))
        affine = Affine(torch.full((1, 12), 0.5), full_cov(ring()), ridge=0.1)
        torch.testing.assert_close(full.law(SIGMAS).cov, affine.law(SIGMAS).cov)

    def test_zeros_have_no_spectrum_and_no_closed_limit(self):
        denoise = Convolutional.fit(drawn(9, 1, 4, 4), padding="zeros")
        for ask in (denoise.law, denoise.spectrum, lambda: denoise.spectrum(SIGMAS)):
            with pytest.raises(ValueError, match="padding must be 'circular'"):
                ask()
        with pytest.raises(ValueError, match=r"sampling\.heun"):
            denoise.generate(torch.zeros(1, 1, 4, 4), SIGMAS, second_order=True)

    def test_singular_window_has_no_limit_but_a_law(self):
        wave = torch.cos(torch.arange(12) * math.pi / 3).reshape(1, 1, 12)
        denoise = Convolutional.fit(wave, kernel_size=5)
        with pytest.raises(ValueError, match="singular"):
            denoise.law()
        assert torch.isfinite(denoise.law(SIGMAS).cov).all()


def full_cov(power):
    lags = torch.fft.ifft(power).real
    n = len(lags)
    return torch.stack([lags.roll(i) for i in range(n)])


class TestStationary:
    @pytest.mark.parametrize("shape", [(1, 7), (1, 8), (2, 5), (1, 4, 5), (3, 2, 6), (1, 1, 1)])
    def test_covariance_is_the_transform_of_the_power(self, shape):
        power = Convolutional.fit(drawn(11, *shape)).spectrum()
        law = Gaussian.stationary(torch.zeros(shape), power)
        full = power.reshape(shape[0], shape[0], *shape[1:]) if shape[0] == 1 else power
        axes = list(range(2, full.ndim))
        lags = torch.fft.ifftn(full, dim=axes).real
        cov = law.cov.reshape(*shape, *shape)
        places = list(itertools.product(*map(range, shape[1:])))
        for a, b in itertools.product(range(shape[0]), repeat=2):
            for p, q in itertools.product(places, places):
                lag = tuple((i - j) % n for i, j, n in zip(p, q, shape[1:], strict=True))
                found = cov[(a, *p, b, *q)].item()
                assert found == pytest.approx(lags[(a, b, *lag)].item(), abs=1e-10)

    def test_samples_agree_and_others_do_not(self):
        law = Gaussian.stationary(torch.ones(1, 12), ring())
        assert law.agreement(law.sample(4000, seed=1), alpha=1e-5).ok
        other = Gaussian.stationary(torch.ones(1, 12), ring().roll(6))
        assert not law.agreement(other.sample(4000, seed=1), alpha=1e-5).ok

    @pytest.mark.parametrize(
        ("power", "message"),
        [
            (torch.arange(5.0), "conjugate at opposite"),
            (torch.tensor([1.0, -1.0, -1.0]), "power must be >= 0"),
            (torch.ones(2, 3, 4), "must have shape"),
            (torch.tensor([1.0, math.nan]), "finite"),
            (torch.ones(2, 2, 2, 2, 2), "must have shape"),
        ],
    )
    def test_bad_power(self, power, message):
        with pytest.raises(ValueError, match=message):
            Gaussian.stationary(torch.zeros(1, 5), power)

    def test_bad_mean(self):
        with pytest.raises(ValueError, match="mean must have shape"):
            Gaussian.stationary(torch.zeros(5), torch.ones(5))


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"kernel_size": 2}, "odd and at most 3"),
            ({"kernel_size": 5}, "odd and at most 3 .* got 5"),
            ({"kernel_size": 9, "padding": "zeros"}, "odd and at most 7"),
            ({"kernel_size": 0}, "kernel_size must be an integer >= 1"),
            ({"kernel_size": 3.0}, "kernel_size must be an integer"),
            ({"padding": "same"}, "padding must be one of circular, zeros, got 'same'"),
            ({"ridge": -1}, "ridge must be"),
            ({"ridge": math.inf}, "ridge must be"),
        ],
    )
    def test_options(self, options, message):
        with pytest.raises(ValueError, match=message):
            Convolutional.fit(drawn(5, 1, 4, 4), **options)

    @pytest.mark.parametrize(
        "x", [torch.zeros(3), torch.zeros(3, 4), torch.zeros(0, 1, 4, 4),
              torch.full((2, 1, 3, 3), math.nan), torch.zeros(2, 1, 2, 2, 2)]
    )  # fmt: skip
    def test_data(self, x):
        with pytest.raises(ValueError, match=r"^(x|examples) must"):
            Convolutional.fit(x)

    def test_calls(self):
        denoise = Convolutional.fit(drawn(5, 1, 4, 4))
        for y in (
            torch.zeros(2, 1, 4),
            torch.zeros(2, 1, 4, 5),
            torch.full((1, 1, 4, 4), math.inf),
        ):
            with pytest.raises(ValueError, match="y must"):
                denoise(y, 1.0)
        for sigma in (-1.0, math.nan, torch.ones(3), "big"):
            with pytest.raises(ValueError, match="sigma must"):
                denoise(torch.zeros(2, 1, 4, 4), sigma)
        with pytest.raises(ValueError, match="sigmas must"):
            denoise.law([1.0, 2.0])

    def test_spectrum(self):
        with pytest.raises(ValueError, match="mean must be one number or 1"):
            Convolutional.from_spectrum(torch.zeros(2), ring())
        with pytest.raises(ValueError, match="power must be >= 0"):
            Convolutional.from_spectrum(0.0, -ring())
