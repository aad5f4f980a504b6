"""Both denoisers on good and bad input of every kind: hypothesis tries what nobody thought of."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import diffusion_creativity as dc

both = pytest.mark.parametrize("kind", [dc.denoisers.Bayes, dc.denoisers.Affine])
SHAPES = st.sampled_from([(1,), (3,), (2, 3), (1, 4, 4), (3, 2, 2)])
FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
INTEGERS = [torch.uint8, torch.int16, torch.int64, torch.bool]
SEEDS = st.integers(0, 2**20)
# Both ends: nothing left to denoise, and nothing left to see; and what float32 rounds to 0.
SIGMAS = st.one_of(
    st.sampled_from([0, 0.0, 5e-324, 1e-30, 1e-8, 0.002, 80.0, 1e8, 1e30]), st.floats(0, 100)
)
LAYOUTS = {
    "plain": lambda t: t,
    "every other": lambda t: t.repeat_interleave(2, 0)[::2],
    "turned": lambda t: t.movedim(0, -1).contiguous().movedim(-1, 0),
    "narrow": lambda t: torch.cat([t, t], -1)[..., : t.shape[-1]],
    "requires grad": lambda t: t.clone().requires_grad_() if t.is_floating_point() else t,
}


def draw(n, shape, seed, dtype=torch.float32):
    drawn = 3 * torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed))
    return drawn.to(dtype)


@both
@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 20), shape=SHAPES, n=st.integers(0, 4), sigma=SIGMAS, seed=SEEDS,
    fitted=st.sampled_from(FLOATS + INTEGERS), given_=st.sampled_from(FLOATS + INTEGERS),
    layouts=st.tuples(*[st.sampled_from(sorted(LAYOUTS))] * 2), per_example=st.booleans(),
)  # fmt: skip
def test_whatever_is_fitted_denoises(
    kind, count, shape, n, sigma, seed, fitted, given_, layouts, per_example
):
    """Shape, dtype, layout and gradient of y come back; layout changes no value; all is finite."""
    x, y = draw(count, shape, seed, fitted), draw(n, shape, seed + 1, given_)
    levels = torch.full((n,), sigma, dtype=torch.float64) if per_example else sigma
    noisy = LAYOUTS[layouts[1]](y)
    out = kind.fit(LAYOUTS[layouts[0]](x))(noisy, levels)
    assert out.shape == y.shape
    assert out.dtype == (given_ if given_.is_floating_point else torch.float32)
    assert out.device == y.device
    assert torch.isfinite(out).all()
    assert out.requires_grad == noisy.requires_grad
    tolerance = 1e-4 if given_ in (torch.float32, torch.float64) else 1e-2
    plain = kind.fit(x)(y, sigma)
    torch.testing.assert_close(out.detach(), plain, rtol=tolerance, atol=tolerance)
    if noisy.requires_grad and n:
        (gradient,) = torch.autograd.grad(out.sum(), noisy)
        assert torch.isfinite(gradient).all()


@both
@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 6), shape=SHAPES, seed=SEEDS, place=st.integers(0, 10**6),
       bad=st.sampled_from([math.nan, math.inf, -math.inf]),
       dtype=st.sampled_from(FLOATS))  # fmt: skip
def test_one_bad_entry_anywhere_is_named(kind, count, shape, seed, place, bad, dtype):
    good = draw(count, shape, seed, dtype)
    spoilt = good.clone()
    spoilt.view(-1)[place % spoilt.numel()] = bad
    with pytest.raises(ValueError, match=r"^x must be finite, got \d+ NaN and \d+ infinite"):
        kind.fit(spoilt)
    with pytest.raises(ValueError, match=r"^y must be finite"):
        kind.fit(good)(spoilt, 1.0)


@both
@settings(max_examples=40, deadline=None)
@given(shape=SHAPES, other=st.lists(st.integers(0, 4), max_size=4).map(tuple), seed=SEEDS)
def test_wrong_shapes_are_named(kind, shape, other, seed):
    denoise = kind.fit(draw(4, shape, seed))
    if other[1:] != shape or not other:
        with pytest.raises(ValueError, match=r"^y must have shape \(n, .*got \("):
            denoise(torch.zeros(other), 1.0)
    if len(other) < 2 or 0 in other:
        with pytest.raises(ValueError, match=r"^x must hold at least one example in shape"):
            kind.fit(torch.zeros(other))


@both
@settings(max_examples=40, deadline=None)
@given(
    sigma=st.one_of(
        st.floats(max_value=0, exclude_max=True, allow_infinity=True),
        st.just(math.nan), st.just(math.inf), st.just("1"), st.just(None), st.just(1j),
        st.lists(st.floats(0, 10), max_size=5).filter(lambda s: len(s) not in (1, 3)),
        st.sampled_from([torch.ones(3, 1), torch.tensor([1.0, -1.0, 1.0]), np.ones(2), [[1.0]]]),
    )
)  # fmt: skip
def test_bad_noise_levels_are_named(kind, sigma):
    if isinstance(sigma, float) and -1e-40 < sigma < 0:
        return  # float32 rounds it to 0
    denoise = kind.fit(draw(5, (2,), 0))
    with pytest.raises(ValueError, match=r"^sigma must"):
        denoise(draw(3, (2,), 1), sigma)


@both
@pytest.mark.parametrize(
    "x",
    ["abc", None, [[1, 2], [3]], np.array([[object()]]), torch.zeros(2, 2, dtype=torch.complex64),
     torch.eye(3).to_sparse(), 3.0, []],
)  # fmt: skip
def test_what_is_no_data_is_named(kind, x):
    with pytest.raises(ValueError, match=r"^x must"):
        kind.fit(x)


@both
@pytest.mark.parametrize(
    "sigmas", ["abc", None, [None, 0], [1.0, 1.0, 0.0], [1.0], [1.0, math.nan, 0.0], [2.0, 1.0]]
)
def test_bad_schedules_are_named(kind, sigmas):
    denoise, noise = kind.fit(draw(5, (2,), 0)), draw(3, (2,), 1)
    for sampler in (dc.sampling.ddim, dc.sampling.heun, dc.sampling.ancestral):
        with pytest.raises(ValueError, match=r"^sigmas must"):
            sampler(denoise, noise, sigmas)
    if sigmas is not None:
        with pytest.raises(ValueError, match=r"^sigmas must"):
            denoise.law(sigmas)


@both
def test_arguments_besides_x_are_keyword_only(kind):
    with pytest.raises(TypeError, match="positional"):
        kind.fit(draw(5, (2,), 0), 1.0)


@both
def test_autocast_does_not_lower_the_precision(kind):
    denoise, y = kind.fit(draw(60, (8,), 0)), draw(5, (8,), 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = denoise(y, 1.0)
    torch.testing.assert_close(found, denoise(y, 1.0), rtol=0, atol=1e-6)


@both
def test_default_dtype_does_not_matter(kind):
    x, y = draw(60, (8,), 0), draw(5, (8,), 1)
    expected = kind.fit(x)(y, 0.3), dc.sampling.initial_noise(3, (8,))
    torch.set_default_dtype(torch.float64)
    try:
        found = kind.fit(x)(y, 0.3), dc.sampling.initial_noise(3, (8,))
        dc.metrics.nearest(y, x)
    finally:
        torch.set_default_dtype(torch.float32)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("size", [1e20, 1e30])
def test_what_float32_scores_cannot_hold_is_refused(size):
    """Before this check the answer was zeros."""
    x = draw(20, (3,), 0)
    with pytest.raises(ValueError, match="rescale"):
        dc.denoisers.Bayes.fit(size * x)(size * x[:2], size)
    with pytest.raises(ValueError, match="rescale"):
        dc.metrics.nearest(size * x, size * x)
    with pytest.raises(ValueError, match="rescale"):
        dc.denoisers.Bayes.fit(x)(size**10 * x[:2].double(), 1.0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@both
def test_a_gpu_gives_the_same_and_keeps_its_data(kind):
    x, y = draw(300, (1, 4, 4), 0), draw(20, (1, 4, 4), 1)
    here, there = kind.fit(x), kind.fit(x.cuda())
    for sigma in (0.0, 0.3, 5.0):
        found = there(y.cuda(), sigma)
        assert found.is_cuda
        torch.testing.assert_close(found.cpu(), here(y, sigma), rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match=r"^y is on"):
        there(y, 1.0)
    noise = dc.sampling.initial_noise(30, (1, 4, 4), device="cuda")
    samples = dc.sampling.ancestral(there, noise, dc.noise.karras(10))
    assert samples.is_cuda
    assert dc.metrics.nearest(samples, x.cuda())[0].is_cuda
