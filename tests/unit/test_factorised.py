"""Pixelwise and Blockwise against float64 sums, one part of the image at a time."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import diffusion_creativity as dc
from diffusion_creativity.denoisers import Bayes, Blockwise, Pixelwise, _grouped

SIGMAS = [0.002, 0.02, 0.1, 0.5, 2.0, 80.0]


def draw(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def levels(n, *shape, seed=0):
    """Images with few grey levels, as real ones have."""
    return (draw(n, *shape, seed=seed).clamp(-2, 2) * 4).round() / 8


def direct(x, y, sigma):
    points, query = x.double().flatten(1), y.double().flatten(1)
    squares = (query[:, None] - points).square().sum(2)
    return ((-squares / (2 * sigma**2)).softmax(1) @ points).reshape(y.shape)


def blocks(x, y, sigma, h, w):
    out = torch.empty(y.shape, dtype=torch.float64)
    for i in range(0, y.shape[-2], h):
        for j in range(0, y.shape[-1], w):
            at = (..., slice(i, i + h), slice(j, j + w))
            out[at] = direct(x[at], y[at], sigma)
    return out


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("channels", [1, 3])
def test_blocks_agree_with_direct_sums(sigma, channels):
    x = levels(150, channels, 4, 6)
    for n in (1, 7):
        y = x[:n] + sigma * draw(n, channels, 4, 6, seed=1)
        middle = (x[:n] + x[n : 2 * n]) / 2 + sigma / 20 * draw(n, channels, 4, 6, seed=2)
        for block in (2, (4, 3), (1, 6), (4, 6)):
            h, w = (block, block) if isinstance(block, int) else block
            for noisy in (y, middle):
                found = Blockwise.fit(x, block=block)(noisy, sigma)
                assert found.dtype == torch.float32
                assert (found - blocks(x, noisy, sigma, h, w)).abs().max() < 2e-5
                fine = Blockwise.fit(x, block=block)(noisy.double(), sigma)
                exact = blocks(x, noisy.double(), sigma, h, w)
                torch.testing.assert_close(fine, exact, rtol=0, atol=1e-9)


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_agree_with_direct_sums(sigma, channels):
    x = levels(150, channels, 2, 3)
    y = x[:5] + sigma * draw(5, channels, 2, 3, seed=1)
    own, shared = Pixelwise.fit(x)(y, sigma), Pixelwise.fit(x, shared=True)(y, sigma)
    assert (own - blocks(x, y, sigma, 1, 1)).abs().max() < 1e-5
    pool = x.movedim(1, 3).reshape(-1, channels)
    flat = y.movedim(1, 3).reshape(-1, channels)
    pooled = direct(pool, flat, sigma).reshape(5, 2, 3, channels).movedim(3, 1)
    assert (shared - pooled).abs().max() < 1e-5
    if channels == 3:  # a pixel sees its channels together
        alone = direct(pool[:, :1], flat[:, :1], sigma).reshape(5, 2, 3)
        assert not 0.1 < sigma < 10 or (shared[:, 0] - alone).abs().max() > 1e-9


@pytest.mark.parametrize("kind", ["pixels", "shared", "blocks"])
@pytest.mark.parametrize("sigma", [0.0, 1e-30, 1e-9, 1e-6])
def test_the_limit_is_the_nearest_part_and_ties_average(kind, sigma):
    x = torch.tensor([[0.0, 0.0], [2.0, 2.0], [2.0, 2.0], [5.0, 7.0]])
    y = torch.tensor([[0.1, 1.9], [1.0, 6.4], [1.0, 1.0]], dtype=torch.float64)
    x_hat = {
        "pixels": lambda: Pixelwise.fit(x),
        "shared": lambda: Pixelwise.fit(x, shared=True),
        "blocks": lambda: Blockwise.fit(x, block=1),
    }[kind]()(y, sigma)
    expected = torch.tensor([[0.0, 2.0], [4 / 3, 7.0], [4 / 3, 4 / 3]], dtype=torch.float64)
    torch.testing.assert_close(x_hat, expected)


def test_one_block_is_bayes_and_unit_blocks_are_pixels():
    x = levels(60, 1, 4, 4)
    y = x[:9] + 0.4 * draw(9, 1, 4, 4, seed=3)
    whole = Blockwise.fit(x, block=4)(y, 0.4)
    torch.testing.assert_close(whole, Bayes.fit(x)(y, 0.4), rtol=0, atol=1e-5)
    units = Blockwise.fit(x, block=1)(y, 0.4)
    torch.testing.assert_close(units, Pixelwise.fit(x)(y, 0.4), rtol=0, atol=1e-5)


@pytest.mark.parametrize("tile", [1, 50, 1 << 20])
@pytest.mark.parametrize("felt", [0.0, 4e-3, 1e9])
def test_any_tile_and_every_route(tile, felt, monkeypatch):
    monkeypatch.setattr(_grouped, "TILE", tile)
    monkeypatch.setattr(_grouped, "FELT", felt)
    x = levels(40, 1, 2, 4)
    y = x[:6] + 0.5 * draw(6, 1, 2, 4, seed=1)
    assert (Blockwise.fit(x, block=2)(y, 0.5) - blocks(x, y, 0.5, 2, 2)).abs().max() < 1e-5
    assert (Pixelwise.fit(x)(y, 0.5) - blocks(x, y, 0.5, 1, 1)).abs().max() < 1e-5


@pytest.mark.parametrize("sigma", [0.02, 0.3, 5.0])
def test_the_gradient_is_exact(sigma):
    x = levels(30, 1, 2, 4).double()
    for denoise in (Pixelwise.fit(x), Pixelwise.fit(x, shared=True), Blockwise.fit(x, block=2)):
        y = (x[:3] + x[3:6]) / 2 + sigma * draw(3, 1, 2, 4, seed=1, dtype=torch.float64)
        y.requires_grad_()
        assert torch.autograd.gradcheck(lambda y, d=denoise: d(y, sigma), y, eps=1e-7, atol=1e-4)


def test_the_law_names_every_chimera():
    x = torch.tensor([[0.0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 5, 5]])
    law = Blockwise.fit(x, block=2).law()
    assert [len(f.atoms) for f in law.factors] == [2, 3]
    torch.testing.assert_close(
        law.factors[0].probabilities, torch.tensor([1, 2], dtype=torch.float64) / 3
    )
    chimeras = law.sample(500).unique(dim=0)
    assert len(chimeras) == 6
    marginal = Pixelwise.fit(x).law()
    torch.testing.assert_close(marginal.mean, x.double().mean(0))
    torch.testing.assert_close(
        marginal.cov.diagonal(), x.double().var(0, correction=0), rtol=1e-6, atol=1e-9
    )
    pooled = Pixelwise.fit(x, shared=True).law()
    torch.testing.assert_close(pooled.mean, x.double().mean().expand(4))


def test_finite_steps_of_a_pixel_have_exact_probabilities():
    """Against a million starts put evenly on the quantiles of the initial noise."""
    x = torch.tensor([[-1.0], [-1.0], [0.0], [0.75], [0.75], [0.75], [1.0]])
    denoise, sigmas = Pixelwise.fit(x), dc.noise.karras(12)
    grid = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    start = 80 * torch.special.ndtri(grid)[:, None]
    end = dc.sampling.ddim(denoise, start, sigmas)
    factor = denoise.law(sigmas).factors[0]
    nearest = (end - factor.atoms[:, 0].double()).abs().argmin(1)
    found = torch.bincount(nearest, minlength=4).double() / len(nearest)
    torch.testing.assert_close(found, factor.probabilities, rtol=0, atol=1e-5)
    limit = denoise.law().factors[0].probabilities
    assert (factor.probabilities - limit).abs().max() > 0.01
    closer = denoise.law(dc.noise.karras(300)).factors[0].probabilities
    assert (closer - limit).abs().max() < 0.01


def test_bad_arguments_are_named():
    x = draw(5, 1, 6, 8)
    with pytest.raises(ValueError, match="4 does not divide 6, 1, 2, 3, 6 do"):
        Blockwise.fit(x, block=4)
    for block, said in [(0, "block"), (2.0, "block"), ((2, 2, 2), "one for each axis"), (7, "7")]:
        with pytest.raises(ValueError, match=said):
            Blockwise.fit(x, block=block)
    with pytest.raises(ValueError, match="shared must be"):
        Pixelwise.fit(x, shared=1)
    for denoise in (Pixelwise.fit(x), Blockwise.fit(x, block=2)):
        with pytest.raises(ValueError, match="y must have shape"):
            denoise(draw(5, 1, 8, 6), 1.0)
        with pytest.raises(ValueError, match="sigma must"):
            denoise(x, -1.0)
        with pytest.raises(ValueError, match="sigmas must"):
            denoise.law([1.0, 2.0, 0.0])
        with pytest.raises(ValueError, match="rescale"):
            denoise(x.double() * 1e38, 1.0)
    for fit in (Pixelwise.fit, lambda x: Blockwise.fit(x, block=1)):
        with pytest.raises(ValueError, match="x must"):
            fit(torch.full((3, 2), math.nan))
        with pytest.raises(ValueError, match="x must"):
            fit(torch.zeros(0, 3))


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 12), n=st.integers(0, 3), seed=st.integers(0, 1000),
    shape=st.sampled_from([(4,), (2, 4), (1, 4, 4), (3, 2, 4)]),
    sigma=st.one_of(st.sampled_from([0, 5e-324, 1e-30, 0.002, 80.0, 1e30]), st.floats(0, 100)),
    dtype=st.sampled_from([torch.float16, torch.float32, torch.float64, torch.int64]),
    kind=st.sampled_from(["pixels", "shared", "blocks"]),
)  # fmt: skip
def test_whatever_is_fitted_denoises(count, n, seed, shape, sigma, dtype, kind):
    """Dtype and shape come back; every answer lies within the range of its pixel's values."""
    x, y = (
        (3 * draw(count, *shape, seed=seed)).to(dtype),
        (3 * draw(n, *shape, seed=seed + 1)).to(dtype),
    )
    denoise = {
        "pixels": lambda: Pixelwise.fit(x),
        "shared": lambda: Pixelwise.fit(x, shared=True),
        "blocks": lambda: Blockwise.fit(x, block=2),
    }[kind]()
    per_example = torch.full((n,), float(sigma), dtype=torch.float64)
    out = denoise(y, per_example)
    assert out.shape == y.shape
    assert out.dtype == (dtype if dtype.is_floating_point else torch.float32)
    assert torch.isfinite(out).all()
    slack = 0.02 if dtype == torch.float16 else 1e-4
    low, high = (x.min(), x.max()) if kind == "shared" else (x.amin(0), x.amax(0))
    assert (out >= low.double() - slack).all()
    assert (out <= high.double() + slack).all()
    torch.testing.assert_close(denoise(y, float(sigma)), out)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), sigma=st.sampled_from([0.01, 0.3, 3.0]))
def test_order_of_data_and_offsets_do_not_matter(seed, sigma):
    x, y = levels(20, 1, 4, 4, seed=seed), draw(5, 1, 4, 4, seed=seed + 1)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(seed))
    for fit in (Pixelwise.fit, lambda x: Blockwise.fit(x, block=2)):
        expected = fit(x)(y, sigma)
        torch.testing.assert_close(fit(x[order])(y, sigma), expected, rtol=0, atol=1e-5)
        torch.testing.assert_close(fit(x + 64)(y + 64, sigma), expected + 64, rtol=0, atol=1e-3)


def test_autocast_does_not_lower_the_precision():
    x, y = draw(60, 1, 4, 4), draw(5, 1, 4, 4, seed=1)
    denoise = Blockwise.fit(x, block=2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = denoise(y, 1.0)
    torch.testing.assert_close(found, denoise(y, 1.0), rtol=0, atol=1e-6)
