"""Certificates of chapter 5: every statement against simulation or exact arithmetic, and a control.

A certificate is only worth something if it can fail, so each ends with a wrong law that must.
"""

import itertools
import math

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, stats

import diffusion_creativity as dc
from diffusion_creativity.denoisers import Affine, Convolutional, affine_law
from diffusion_creativity.laws import Gaussian

LEVEL = 1e-5  # of every test below: a true law fails once in a hundred thousand
SIGMAS = dc.noise.karras(18)
DIGITS = dc.data.load("digits").x
RING = 64
CYCLES = torch.fft.fftfreq(RING, dtype=torch.float64)


def normalised(power):
    return power / power.mean()


SLOW = normalised(1 / (0.02 + CYCLES.abs()) ** 2)
PITCH = normalised(0.02 + torch.exp(-(((CYCLES.abs() - 0.14) / 0.02) ** 2)))


def window_matrix(power, k):
    """T of k neighbours on a ring."""
    return torch.from_numpy(linalg.toeplitz(torch.fft.ifft(power).real[:k].numpy()))


def series(column, size=RING):
    """Σ_δ column(δ) cos(ωδ), the centre of the column at δ = 0."""
    k = len(column)
    frequency = 2 * math.pi * torch.arange(size).double() / size
    return torch.cos(frequency[:, None] * (torch.arange(k) - k // 2)) @ column


def shifted(x):
    """All shifts of images (N, C, H, W)."""
    h, w = x.shape[2:]
    moves = itertools.product(range(h), range(w))
    return torch.cat([x.roll(move, (2, 3)) for move in moves])


def test_lem_conv_shift():
    """Averaging a matrix over shifts leaves a convolution; one with an odd entry is none."""
    h, w = 3, 4
    generator = torch.Generator().manual_seed(1)
    A = torch.randn(12, 12, generator=generator, dtype=torch.float64)
    places = torch.arange(12).reshape(h, w)
    moves = [places.roll(move, (0, 1)).flatten() for move in itertools.product(range(h), range(w))]
    averaged = torch.stack([A[move][:, move] for move in moves]).mean(0)

    def commutes(matrix):
        return all(torch.allclose(matrix[move][:, move], matrix) for move in moves)

    def convolves(matrix):
        kernel = matrix[0].reshape(h, w)
        rows = [kernel.roll((p // w, p % w), (0, 1)).flatten() for p in range(12)]
        return torch.allclose(torch.stack(rows), matrix)

    assert commutes(averaged)
    assert convolves(averaged)
    assert not commutes(A)
    assert not convolves(A)
    odd = averaged.clone()
    odd[3, 5] += 1e-3
    assert not commutes(odd)
    bias = torch.randn(12, generator=generator, dtype=torch.float64)
    assert not all(torch.equal(bias[move], bias) for move in moves)
    denoiser = Convolutional.fit(DIGITS[:, :, :3, :4])
    for sigma in (0.3, 2.0):
        A, b = denoiser.maps(sigma)
        assert commutes(A)
        assert convolves(A)
        assert (b - b[0]).abs().max() < 1e-12


def test_thm_conv_denoiser():
    """The excess, in exact arithmetic over digits; the minimiser of the shifted data; a control."""
    x = DIGITS[:300].double()
    denoise, full = Convolutional.fit(x, kernel_size=3), Convolutional.fit(x)
    lags = torch.fft.ifft2(full.spectrum()).real
    at = list(itertools.product((-1, 0, 1), repeat=2))
    T = torch.stack([torch.stack([lags[i - a, j - b] for a, b in at]) for i, j in at])
    m = x.mean()

    def loss(kernel, bias, sigma):
        framed = torch.nn.functional.pad(x, (1, 1, 1, 1), mode="circular")
        error = x - torch.nn.functional.conv2d(framed, kernel) - bias
        return error.square().flatten(1).sum(1).mean() + sigma**2 * 64 * kernel.square().sum()

    for trial, sigma in itertools.product(range(5), (0.1, 1.0, 5.0)):
        best = denoise.kernel(sigma)
        noisy = T + sigma**2 * torch.eye(9)
        centre = torch.linalg.solve(noisy, T[:, 4])
        torch.testing.assert_close(best.flatten(), centre)
        e = torch.eye(9, dtype=torch.float64)[4]
        torch.testing.assert_close(centre, e - sigma**2 * torch.linalg.solve(noisy, e))
        generator = torch.Generator().manual_seed(trial)
        off = 0.1 * torch.randn(9, generator=generator, dtype=torch.float64)
        kernel, shift = best + off.reshape(1, 1, 3, 3), 0.2 * trial
        found = loss(kernel, m * (1 - kernel.sum()) + shift, sigma)
        found = found - loss(best, m * (1 - best.sum()), sigma)
        assert found.item() == pytest.approx(64 * (off @ noisy @ off + shift**2).item(), rel=1e-8)
        assert found.item() != pytest.approx(64 * (off @ T @ off + shift**2).item(), rel=1e-3)

    orbit = Affine.fit(shifted(x[:40]))
    y = dc.sampling.initial_noise(5, (1, 8, 8), 2.0, seed=1).double()
    torch.testing.assert_close(Convolutional.fit(x[:40])(y, 0.7), orbit(y, 0.7))
    assert (Convolutional.fit(x[:40])(y, 0.7) - Affine.fit(x[:40])(y, 0.7)).abs().max() > 0.1


def test_thm_conv_law():
    """Samples of a fine flow against N(m, S), and the finite σ_max; the linear law must fail."""
    fine = dc.noise.log_linear(500, sigma_min=1e-4, sigma_max=200.0)
    noise = dc.sampling.initial_noise(3000, (1, 8, 8), 200.0, seed=3)
    denoise = Convolutional.fit(DIGITS)
    samples = denoise.generate(noise, fine, second_order=True)
    law = denoise.law()
    assert law.agreement(samples, alpha=LEVEL).ok
    assert not Affine.fit(DIGITS).law().agreement(samples, alpha=LEVEL).ok
    assert not Convolutional.fit(DIGITS, kernel_size=7).law().agreement(samples, alpha=LEVEL).ok

    centred = DIGITS.double() - DIGITS.double().mean()
    power = torch.fft.fft2(centred[:, 0]).abs().square().mean(0) / 64
    torch.testing.assert_close(denoise.spectrum(), power)
    low, top = 1e-5, 3.0
    path = dc.noise.log_linear(800, sigma_min=low, sigma_max=top)
    found = denoise.law(path, second_order=True)
    ratio = (power[0, 0] / (power[0, 0] + top**2)).sqrt()
    assert found.mean.mean().item() == pytest.approx(
        (DIGITS.double().mean() * (1 - ratio)).item(), abs=1e-5
    )
    finite = denoise.spectrum(path, second_order=True)
    torch.testing.assert_close(finite, power * top**2 / (power + top**2), rtol=1e-3, atol=0)
    assert (finite / power - 1).abs().max() > 0.3


def test_cor_conv_steps():
    """DDIM against the product of gains, for any kernel; another schedule's law must fail."""
    noise = dc.sampling.initial_noise(6000, (1, 8, 8), seed=4)
    laws, samples = {}, {}
    for k in (None, 3, 5):
        denoise = Convolutional.fit(DIGITS, kernel_size=k)
        samples[k] = dc.sampling.ddim(denoise, noise, SIGMAS)
        laws[k] = denoise.law(SIGMAS)
        gain = torch.ones(8, 8, dtype=torch.complex128)
        for sigma, after in itertools.pairwise(SIGMAS.tolist()):
            A, _ = denoise.maps(sigma)
            H = torch.fft.ifft2(A[0].reshape(8, 8)) * 64  # row 0 is h(q): sum of h exp(+iω·q)
            gain = gain * (H + after / sigma * (1 - H))
        torch.testing.assert_close(denoise.spectrum(SIGMAS), 80.0**2 * gain.abs() ** 2)
        mean = DIGITS.double().mean() * (1 - gain[0, 0].real)
        torch.testing.assert_close(laws[k].mean, mean.expand(1, 8, 8))
    for made, law in itertools.product(samples, laws):
        assert laws[law].agreement(samples[made], alpha=LEVEL).ok == (made == law), (made, law)
    other = Convolutional.fit(DIGITS).law(dc.noise.karras(25))
    assert not other.agreement(samples[None], alpha=LEVEL).ok


KNOWN = {  # kernel size: variance and correlation at distance 8 after 400 levels
    1: ("0.987", "0.000"), 3: ("0.806", "0.0000"), 7: ("0.885", "0.0451"),
    15: ("0.941", "0.2754"), 31: ("0.969", "0.4197"), 63: ("0.986", "0.4467"),
}  # fmt: skip


@pytest.mark.parametrize("k", KNOWN)
def test_known_answers_of_the_ring(k):
    """All digits that are given."""
    power = Convolutional.from_spectrum(0.0, SLOW, kernel_size=k).spectrum(dc.noise.karras(400))
    lags = torch.fft.ifft(power).real
    variance, correlation = KNOWN[k]
    # Half a unit of the last digit; for k = 7 the value ends in a 5 that was rounded down.
    assert abs(lags[0].item() - float(variance)) < 5.5e-4
    assert abs(lags[8] / lags[0] - float(correlation)) < 5e-5
    lags = torch.fft.ifft(SLOW).real
    assert f"{lags[8] / lags[0]:.4f}" == "0.4474"


@pytest.mark.parametrize("k", [1, 3, 9])
def test_thm_conv_window(k):
    """The closed form in 30 digits against integration; samples; the right power must fail."""
    denoise = Convolutional.from_spectrum(0.0, PITCH, kernel_size=k)
    T = window_matrix(PITCH, k)
    limit = denoise.spectrum()
    with mpmath.workdps(30):  # by eigenvalues: mpmath's own logm is off by 1e-8 here
        values, vectors = mpmath.eigsy(mpmath.matrix(T.tolist()))
        log = [sum(vectors[i, j] * mpmath.log(values[j]) * vectors[k // 2, j] for j in range(k))
               for i in range(k)]  # fmt: skip
    column = torch.tensor([float(entry) for entry in log], dtype=torch.float64)
    torch.testing.assert_close(limit, series(column).exp(), rtol=1e-10, atol=0)

    def slope(log_sigma):  # 1 - H at every frequency
        e = torch.eye(k, dtype=torch.float64)[:, k // 2]
        s = math.exp(2 * log_sigma)
        return series(s * torch.linalg.solve(T + s * torch.eye(k), e))

    low, high, steps = -16.0, 10.0, 1300  # Simpson's rule
    grid = torch.linspace(low, high, 2 * steps + 1, dtype=torch.float64)
    weights = torch.ones(2 * steps + 1, dtype=torch.float64)
    weights[1:-1:2], weights[2:-1:2] = 4, 2
    values = torch.stack([slope(s) for s in grid.tolist()])
    integral = (weights[:, None] * values).sum(0) * (high - low) / (6 * steps)
    torch.testing.assert_close((2 * high - 2 * integral).exp(), limit, rtol=1e-5, atol=0)

    # Real samples from a large σ_max, in steps fine enough for 4,000 of them.
    fine = dc.noise.log_linear(1000, sigma_min=1e-4, sigma_max=500.0)
    noise = dc.sampling.initial_noise(4000, (1, RING), 500.0, seed=5).double()
    samples = denoise.generate(noise, fine, second_order=True)
    assert denoise.law().agreement(samples, alpha=LEVEL).ok
    right = Gaussian.stationary(torch.zeros(1, RING), PITCH)
    assert not right.agreement(samples, alpha=LEVEL).ok


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), size=st.integers(4, 24))
def test_prop_conv_entropy(seed, size):
    """Mean log power falls with the window, from log C(0) down to the right one."""
    generator = torch.Generator().manual_seed(seed)
    power = 10 ** (2 * torch.rand(size, generator=generator, dtype=torch.float64))
    power = power + power.flip(0).roll(1)
    spectra = [Convolutional.from_spectrum(0.0, power, kernel_size=k).spectrum()
               for k in [*range(1, size + 1, 2), None]]  # fmt: skip
    entropy = torch.stack([s.log().mean() for s in spectra])
    assert (entropy.diff() <= 1e-10).all()
    assert entropy[0].item() == pytest.approx(power.mean().log().item(), abs=1e-10)
    assert entropy[-1].item() == pytest.approx(power.log().mean().item(), abs=1e-10)
    for k, spectrum in zip(range(1, size + 1, 2), spectra, strict=False):
        lags = torch.fft.ifft(power).real
        T = lags[(torch.arange(k)[:, None] - torch.arange(k)) % size]
        values, vectors = torch.linalg.eigh(T)
        centre = (vectors[k // 2] ** 2 * values.log()).sum()
        torch.testing.assert_close(spectrum.log().mean(), centre)


def test_entropy_is_not_variance():
    """Control: the variance of a pixel goes down and up again, so it obeys no such order."""
    variance = [Convolutional.from_spectrum(0.0, SLOW, kernel_size=k).spectrum().mean()
                for k in (1, 3, 7)]  # fmt: skip
    assert variance[0] > variance[2] > variance[1]


def test_prop_conv_sees():
    """Twins on the (2k - 1)-window generate the same images; a change inside is noticed."""
    base = normalised(1 / (0.2 + CYCLES.abs()))

    def changed(lag):
        return base + 0.5 * base.min() * torch.cos(2 * math.pi * CYCLES * lag)

    noise = dc.sampling.initial_noise(3, (1, RING), seed=6).double()

    def generated(power, k):
        return Convolutional.from_spectrum(0.0, power, kernel_size=k).generate(noise, SIGMAS)

    for k in (3, 5, 9):
        for lag in (k, k + 4):
            gap = (generated(changed(lag), k) - generated(base, k)).abs().max()
            assert gap < 1e-11
            assert (generated(changed(lag), None) - generated(base, None)).abs().max() > 1e-2
        assert (generated(changed(k - 1), k) - generated(base, k)).abs().max() > 1e-4

    # In two dimensions, and by mirror images, which all convolutions take for the data.
    start = dc.sampling.initial_noise(4, (1, 8, 8), seed=7).double()
    mirrored = DIGITS.flip((2, 3))
    for k in (3, None):
        pair = [Convolutional.fit(x, kernel_size=k).generate(start, SIGMAS)
                for x in (DIGITS, mirrored)]  # fmt: skip
        assert (pair[0] - pair[1]).abs().max() < 1e-10
        one_side = Convolutional.fit(DIGITS.flip(3), kernel_size=k).generate(start, SIGMAS)
        assert (pair[0] - one_side).abs().max() > 1e-3


def test_prop_conv_padding():
    """Normal equations by loops, the law of samples, the first step, and how far zeros reach."""
    x = DIGITS[:400].double()
    sigma = 0.8
    kernel = Convolutional.fit(x, kernel_size=3, padding="zeros").kernel(sigma).flatten()
    framed = torch.nn.functional.pad(x, (1, 1, 1, 1))[:, 0]
    inside = torch.nn.functional.pad(torch.ones(8, 8).double(), (1, 1, 1, 1))
    moves = list(itertools.product(range(3), repeat=2))
    views = torch.stack([framed[:, i : i + 8, j : j + 8].flatten() for i, j in moves])
    share = torch.stack([inside[i : i + 8, j : j + 8].mean() for i, j in moves])
    gram = torch.cov(views, correction=0) + (sigma**2 * share).diag()
    target = views[4] - x.mean()
    right = torch.linalg.solve(gram, (views - views.mean(1, keepdim=True)) @ target / len(target))
    torch.testing.assert_close(kernel, right)

    noise = dc.sampling.initial_noise(6000, (1, 8, 8), seed=8)
    circular = Convolutional.fit(DIGITS, kernel_size=3).law(SIGMAS)
    for k in (3, None):
        denoise = Convolutional.fit(DIGITS, kernel_size=k, padding="zeros")
        samples = dc.sampling.ddim(denoise, noise, SIGMAS)
        assert denoise.law(SIGMAS).agreement(samples, alpha=LEVEL).ok
        assert not circular.agreement(samples, alpha=LEVEL).ok

    denoise = Convolutional.fit(DIGITS, kernel_size=3, padding="zeros")
    once = denoise.law(torch.tensor([2.0, 0.0])).cov.diagonal()
    squares = denoise.kernel(2.0)[0, 0].square()
    within = torch.nn.functional.conv2d(torch.ones(1, 1, 8, 8).double(), squares[None, None],
                                        padding=1)  # fmt: skip
    torch.testing.assert_close(once, 4 * within.flatten())
    assert once[0] < once[27]

    # Kernels of any size and sign, so that the border is felt as far as it can be: Kr, not Kr - 1.
    size, steps = 24, 4
    kernels = {}

    def maps(level):
        if level not in kernels:
            generator = torch.Generator().manual_seed(len(kernels))
            kernels[level] = torch.randn(3, generator=generator).double()
        h = kernels[level]
        A = sum(h[j + 1] * torch.diag(torch.ones(size - abs(j)).double(), j) for j in (-1, 0, 1))
        return A, torch.full((size,), 0.3, dtype=torch.float64)

    law = affine_law(maps, dc.noise.log_linear(steps, 0.5, 2.0), (1, size))
    variance, mean = law.cov.diagonal(), law.mean[0]
    for value, reach in ((variance, steps), (mean, steps - 1)):  # the first step's mean is flat
        inner = value[reach:-reach]
        assert (inner - inner[0]).abs().max() < 1e-9 * value.abs().max()
        assert (value[reach - 1] - inner[0]).abs() > 1e-6 * value.abs().max()
    block = law.cov[steps:-steps, steps:-steps]
    toeplitz = torch.from_numpy(linalg.toeplitz(block[0].numpy()))
    assert (block - toeplitz).abs().max() < 1e-9 * variance.max()


def test_prop_conv_ridge():
    """Slopes of the flow against κ; collapse of the full kernel; a growing frequency."""
    ridge = 0.05
    for power, k in ((PITCH, 3), (SLOW, 5), (PITCH, None)):
        denoise = Convolutional.from_spectrum(0.0, power, kernel_size=k, ridge=ridge)
        if k is None:
            kappa = ridge / (power + ridge)
        else:
            inverse = torch.linalg.inv(window_matrix(power, k) + ridge * torch.eye(k))
            kappa = ridge * series(inverse[:, k // 2])
        ends = [denoise.spectrum(dc.noise.log_linear(400, low, 80.0), second_order=True)
                for low in (1e-4, 1e-6)]  # fmt: skip
        slope = 0.25 * (ends[0] / ends[1]).log10()
        torch.testing.assert_close(slope, kappa, rtol=0, atol=1e-3)
        assert kappa.mean() > 0
        plain = Convolutional.from_spectrum(0.0, power, kernel_size=k)
        ends = [plain.spectrum(dc.noise.log_linear(400, low, 80.0), second_order=True)
                for low in (1e-4, 1e-6)]  # fmt: skip
        assert (0.25 * (ends[0] / ends[1]).log10()).abs().max() < 1e-3  # no ridge, no slope

        if k == 3:
            assert kappa.min() < 0
            with pytest.raises(ValueError, match="no limit"):
                denoise.law()
        else:
            assert kappa.min() > 0
            assert denoise.law().rank == 0


def test_prop_conv_periodogram():
    """Power learnt from N images against χ², in law and in independence; wrong degrees fail."""
    law = Gaussian.stationary(torch.zeros(1, RING), SLOW)
    for count in (1, 3):
        sets = law.sample(500 * count, seed=9).double().reshape(500, count, RING)
        learnt = torch.fft.fft(sets).abs().square().mean(1) / RING
        for one, x in zip(learnt[:3], sets[:3], strict=True):
            fitted = Convolutional.from_spectrum(0.0, one)
            about_zero = torch.cat([x, -x])[:, None]  # data whose mean pixel is exactly 0
            same = Convolutional.fit(about_zero)
            torch.testing.assert_close(fitted.spectrum(), same.spectrum())
            torch.testing.assert_close(fitted.spectrum(), one)
        ratio = learnt / SLOW
        paired = ratio[:, 1 : RING // 2].flatten().numpy()
        single = ratio[:, [0, RING // 2]].flatten().numpy()
        degrees = 2 * count
        assert stats.kstest(paired, stats.chi2(degrees, scale=1 / degrees).cdf).pvalue > LEVEL
        assert stats.kstest(single, stats.chi2(count, scale=1 / count).cdf).pvalue > LEVEL
        assert stats.kstest(paired, stats.chi2(count, scale=1 / count).cdf).pvalue < LEVEL
        # Independence: correlations of ranks between frequencies, matched to a χ².
        ranks = torch.from_numpy(stats.rankdata(ratio[:, : RING // 2 + 1].numpy(), axis=0))
        z = (ranks - ranks.mean(0)) / ranks.std(0, correction=0)
        off = (z.T @ z / 500).triu(1).square().sum().item() * 499
        pairs = 33 * 32 / 2
        assert abs(off - pairs) < stats.norm.isf(LEVEL / 2) * math.sqrt(2 * pairs) * 1.1


def test_one_image_gives_endlessly_many_textures():
    """The full kernel of a single digit makes samples of full rank; the linear one a copy."""
    x = DIGITS[:1]
    noise = dc.sampling.initial_noise(2000, (1, 8, 8), seed=10)
    samples = dc.sampling.ddim(Convolutional.fit(x), noise, SIGMAS)
    assert dc.metrics.copied_fraction(samples, shifted(x)) == 0
    assert Convolutional.fit(x).law(SIGMAS).agreement(samples, alpha=LEVEL).ok
    copies = dc.sampling.ddim(Affine.fit(x), noise, SIGMAS)
    assert dc.metrics.copied_fraction(copies, x) == 1
