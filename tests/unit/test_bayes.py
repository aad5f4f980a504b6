"""The Bayes-optimal denoiser against float64 sums written out in full."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import diffusion_creativity as dc
from diffusion_creativity import _matmul, _points
from diffusion_creativity._matmul import float32_matmul, onednn_is_accurate
from diffusion_creativity._points import Points
from diffusion_creativity.denoisers import Bayes, _posterior

SIGMAS = [0.02, 0.1, 0.3, 0.6, 1.0, 3.0, 10.0, 80.0]
TOLERANCE = 1e-4  # of the data's range: what the class promises


def direct(x, y, sigma):
    """E[x|y] by float64 differences, differentiable."""
    points, query = x.double().flatten(1), y.double().flatten(1)
    sigma = torch.as_tensor(sigma, dtype=torch.float64).expand(len(y))
    squares = (query[:, None] - points[None]).square().sum(2)
    return ((-squares / (2 * sigma[:, None] ** 2)).softmax(1) @ points).reshape(y.shape)


def draw(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def clustered(n=400, d=50, seed=0):
    """Near-duplicates in clusters, in [-1, 1]."""
    centres, wiggle = draw(n // 8, d, seed=seed), 0.02 * draw(n, d, seed=seed + 1)
    return (centres.repeat(8, 1) * 0.3 + wiggle).clamp(-1, 1)


def error(x, y, sigma):
    gap = Bayes.fit(x)(y, sigma).double() - direct(x, y, sigma)
    return float(gap.abs().max() / (x.max() - x.min()))


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("n", [1, 7, 64])
def test_agrees_with_direct_sums(sigma, n):
    for x in (clustered(), draw(301, 2), draw(97, 3, 8, 8)):
        y = x[torch.arange(n) % len(x)] + sigma * draw(n, *x.shape[1:], seed=9)
        assert error(x, y, sigma) < TOLERANCE / 10


@pytest.mark.parametrize("sigma", SIGMAS)
def test_near_ties(sigma):
    x = 2 * clustered(d=784) - 0.5
    first, second = x[:64], x[torch.arange(64) * 3 + 5]
    y = (first + second) / 2 + sigma / 20 * draw(*first.shape, seed=3)
    assert error(x, y, sigma) < TOLERANCE


@pytest.mark.parametrize("sigma", [0.02, 0.3])
def test_offset_data_loses_no_accuracy(sigma):
    x = clustered() + 1000.0
    y = (x[:32] + x[50:82]) / 2 + sigma * draw(32, 50)
    gap = Bayes.fit(x)(y, sigma).double() - direct(x, y, sigma)
    assert gap.abs().max() < 1.1 * 2.0**-24 * 1024  # float32 itself is no finer at 1000


@pytest.mark.parametrize("sigma", [0.05, 0.5, 5.0])
def test_float64_is_computed_in_float64(sigma):
    x = draw(300, 6, dtype=torch.float64)
    y = x[:20] + sigma * draw(20, 6, seed=1, dtype=torch.float64)
    denoised = Bayes.fit(x)(y, sigma)
    assert denoised.dtype == torch.float64
    torch.testing.assert_close(denoised, direct(x, y, sigma), rtol=0, atol=1e-12)


@pytest.mark.parametrize("width", [1, 2, 7, 64, 299, 300])
@pytest.mark.parametrize("sigma", [0.05, 0.5, 20.0])
def test_any_tile_width(width, sigma, monkeypatch):
    x = draw(300, 5)
    y = x[:9] + sigma * draw(9, 5, seed=1)
    cut = _points.slices
    monkeypatch.setattr(_points, "slices", lambda n, size, *_: cut(n, 1, width))
    for dtype in (torch.float32, torch.float64):
        exact = direct(x, y.to(dtype), sigma)
        assert (Bayes.fit(x)(y.to(dtype), sigma) - exact).abs().max() < 1e-5


@pytest.mark.parametrize("rows", [1, 3, 64])
def test_any_block_of_queries(rows, monkeypatch):
    monkeypatch.setattr(_posterior, "ROWS", rows)
    x = draw(100, 5)
    assert error(x, draw(64, 5, seed=1), 0.7) < 1e-6


@pytest.mark.parametrize("felt", [0.0, 1e-12, 1e9])
@pytest.mark.parametrize("limit", [1, 256])
def test_every_route_gives_the_same_answer(felt, limit, monkeypatch):
    monkeypatch.setattr(_posterior, "FELT", felt)
    monkeypatch.setattr(_posterior, "MENDED", 1e9)
    monkeypatch.setattr(_posterior, "LIMIT", limit)
    x = draw(500, 8)
    for sigma in (0.3, 1.0, 5.0):
        assert error(x, x[:30] + sigma * draw(30, 8, seed=2), sigma) < 1e-5


def test_mends_what_float32_gets_wrong(monkeypatch):
    x = 5 * draw(2000, 784)
    x[1::2] = x[::2] + 0.06 * draw(1000, 784, seed=4)  # pairs of neighbours
    y = (x[:64:2] + x[1:64:2]) / 2
    sigma = 0.4
    mended, share = _posterior.mended(Points(x), y, torch.full((32,), sigma).double())
    rough = _posterior.streamed(Points(x), y, torch.full((32,), sigma).double(), torch.float32)
    exact = direct(x, y, sigma)
    assert (mended - exact).abs().max() < (rough - exact).abs().max() / 10
    assert share.max() < 1e-6


def test_sigma_zero_is_the_nearest_point_and_ties_average():
    x = torch.tensor([[0.0, 0.0], [2.0, 0.0], [2.0, 0.0], [5.0, 5.0]])
    y = torch.tensor([[0.1, 0.0], [1.0, 3.0], [9.0, 9.0], [1.9, 0.1]])
    expected = torch.tensor([[0.0, 0.0], [4 / 3, 0.0], [5.0, 5.0], [2.0, 0.0]])
    torch.testing.assert_close(Bayes.fit(x)(y, 0), expected)
    torch.testing.assert_close(Bayes.fit(x)(y, 1e-30), expected)
    torch.testing.assert_close(Bayes.fit(x)(y.double(), 1e-300), expected.double())


def test_more_duplicates_than_are_listed():
    x = torch.cat([torch.zeros(600, 3), torch.ones(300, 3)])
    y = torch.full((4, 3), 0.5)
    for sigma in (0, 1e-3, 1.0):
        torch.testing.assert_close(Bayes.fit(x)(y, sigma), torch.full((4, 3), 1 / 3))


def test_both_ends_of_sigma():
    x = draw(40, 3)
    y = draw(5, 3, seed=1)
    torch.testing.assert_close(Bayes.fit(x)(y, 1e30), x.mean(0).expand(5, 3))
    far = x[:5] + 1e30 * y
    torch.testing.assert_close(Bayes.fit(x)(far, 1e30), x.mean(0).expand(5, 3), atol=1e-4, rtol=0)
    torch.testing.assert_close(Bayes.fit(x)(1e4 * y, 1.0), direct(x, 1e4 * y, 1.0).float())


def test_a_noise_level_per_example():
    x = draw(50, 1, 4, 4)
    sigma = torch.tensor([0.0, 0.02, 0.4, 3.0, 80.0])
    y = x[:5] + sigma[:, None, None, None] * draw(5, 1, 4, 4, seed=1)
    expected = torch.cat([Bayes.fit(x)(y[i : i + 1], sigma[i]) for i in range(5)])
    torch.testing.assert_close(Bayes.fit(x)(y, sigma), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("sigma", [0.05, 0.4, 1.0, 30.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradient(sigma, dtype):
    x = draw(200, 2, 3)
    # Half way between neighbours, where the posterior has a spread at every sigma.
    close = torch.cdist(x.flatten(1), x.flatten(1)).fill_diagonal_(9).argmin(1)
    y = ((x + x[close]) / 2 + 0.1 * sigma * draw(200, 2, 3, seed=1)).to(dtype)[:12]
    weight = draw(12, 2, 3, seed=2, dtype=dtype)
    y.requires_grad_()
    exact = y.detach().double().requires_grad_()
    (Bayes.fit(x)(y, sigma) * weight).sum().backward()
    (direct(x, exact, sigma) * weight).sum().backward()
    scale = exact.grad.abs().max()
    assert y.grad.dtype == dtype
    assert (y.grad - exact.grad).abs().max() < (1e-4 if dtype == torch.float32 else 1e-8) * scale


def test_gradient_through_crowded_queries_and_none_at_zero(monkeypatch):
    monkeypatch.setattr(_posterior, "FELT", 0.0)
    monkeypatch.setattr(_posterior, "LIMIT", 2)
    x, y = draw(60, 4), draw(6, 4, seed=1)
    ours, exact = y.clone().requires_grad_(), y.double().requires_grad_()
    Bayes.fit(x)(ours, 1.0).sum().backward()
    direct(x, exact, 1.0).sum().backward()
    torch.testing.assert_close(ours.grad.double(), exact.grad, rtol=1e-5, atol=1e-6)
    still = y.clone().requires_grad_()
    Bayes.fit(x)(still, 0).sum().backward()
    assert (still.grad == 0).all()


def test_no_graph_without_a_gradient():
    bayes, y = Bayes.fit(draw(5, 2)), draw(3, 2).requires_grad_()
    assert bayes(y, 1.0).requires_grad
    with torch.no_grad():
        assert not bayes(y, 1.0).requires_grad


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.uint8, torch.int64])
def test_other_dtypes(dtype):
    x = (10 * draw(40, 6)).abs().to(dtype)
    y = x[:7]
    denoised = Bayes.fit(x)(y, 2.0)
    assert denoised.dtype == (dtype if dtype.is_floating_point else torch.float32)
    expected = direct(x, y, 2.0)
    torch.testing.assert_close(denoised, expected.to(denoised.dtype), rtol=1e-5, atol=1e-5)


def test_arrays_non_contiguous_and_empty_batches():
    x = draw(30, 4, 5)
    expected = direct(x, x[:6], 0.8).float()
    torch.testing.assert_close(Bayes.fit(x.numpy())(x[:6], 0.8), expected)
    turned = x.transpose(1, 2).contiguous().transpose(1, 2)
    torch.testing.assert_close(Bayes.fit(turned)(turned[:6], 0.8), expected)
    torch.testing.assert_close(Bayes.fit(x.repeat(2, 1, 1)[::2])(x[:6], 0.8).shape, x[:6].shape)
    assert Bayes.fit(x)(x[:0], 0.8).shape == (0, 4, 5)


@pytest.mark.parametrize(
    ("x", "y", "sigma", "names"),
    [
        (torch.zeros(0, 3), None, None, "x"),
        (torch.tensor([[1.0, torch.nan]]), None, None, "x"),
        (torch.tensor([[1.0, torch.inf]]), None, None, "x"),
        (torch.zeros(3), None, None, "x"),
        (torch.zeros(2, 3, dtype=torch.complex64), None, None, "x"),
        (torch.zeros(2, 3), torch.zeros(2, 4), 1.0, "y"),
        (torch.zeros(2, 3), torch.full((2, 3), torch.nan), 1.0, "y"),
        (torch.zeros(2, 3), torch.zeros(2, 3), -1.0, "sigma"),
        (torch.zeros(2, 3), torch.zeros(2, 3), torch.nan, "sigma"),
        (torch.zeros(2, 3), torch.zeros(2, 3), torch.ones(3), "sigma"),
    ],
)
def test_bad_input_is_named(x, y, sigma, names):
    with pytest.raises(ValueError, match=names):
        Bayes.fit(x)(y, sigma)


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 60),
    shape=st.sampled_from([(1,), (3,), (17,), (2, 3), (1, 4, 4)]),
    n=st.integers(1, 9),
    sigma=st.floats(0.02, 80),
    shift=st.floats(-5, 5),
    seed=st.integers(0, 2**20),
)
def test_property_exact_in_any_order_and_place(count, shape, n, sigma, shift, seed):
    x, y = draw(count, *shape, seed=seed), (1 + sigma) * draw(n, *shape, seed=seed + 1)
    denoised, span = Bayes.fit(x)(y, sigma), float(x.max() - x.min()) + 1e-6
    assert (denoised - direct(x, y, sigma)).abs().max() <= TOLERANCE * span
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    assert (denoised - Bayes.fit(x[order])(y, sigma)).abs().max() <= TOLERANCE * span
    # Shifted in float64, where the shift itself rounds nothing that matters.
    moved = Bayes.fit(x.double() + shift)(y.double() + shift, sigma) - shift
    assert (moved - direct(x, y, sigma)).abs().max() <= 1e-9 * span + 1e-12
    # A posterior mean lies in the box around the data.
    low, high = x.flatten(1).amin(0), x.flatten(1).amax(0)
    assert (denoised.flatten(1) >= low - 1e-5).all()
    assert (denoised.flatten(1) <= high + 1e-5).all()


def test_posterior_weights():
    x, y = draw(20, 3), draw(4, 3, seed=1)
    bayes = Bayes.fit(x)
    weights = bayes.posterior(y, torch.tensor([0.0, 0.1, 1.0, 50.0]))
    assert weights.shape == (4, 20)
    torch.testing.assert_close(weights.sum(1), torch.ones(4))
    assert weights[0].max() == 1
    torch.testing.assert_close((weights @ x)[2:], bayes(y[2:], torch.tensor([1.0, 50.0])))


def test_law_counts_duplicates():
    x = torch.tensor([[[0.0, 1.0]], [[2.0, 3.0]], [[0.0, 1.0]], [[4.0, 5.0]]])
    law = Bayes.fit(x).law()
    assert law.atoms.flatten(1).tolist() == [[0, 1], [2, 3], [4, 5]]
    assert law.probabilities.tolist() == [0.5, 0.25, 0.25]
    torch.testing.assert_close(law.mean.double(), x.double().mean(0))
    with pytest.raises(ValueError, match="sigmas"):
        Bayes.fit(x).law([1.0, 2.0, 0.0])


def test_memory_of_a_call_does_not_grow_with_the_data():
    def largest(count):
        bayes, y = Bayes.fit(draw(count, 16)), draw(8, 16, seed=1)
        with torch.profiler.profile(profile_memory=True) as profile:
            for sigma in (0.05, 1.0, 30.0):
                bayes(y, sigma)
        return max(event.cpu_memory_usage for event in profile.events())

    small, large = largest(2**15), largest(2**18)
    assert large <= 1.1 * small
    assert large < 4 * 16 * 2**18 / 4  # a fraction of the data itself


def test_the_fast_product_is_restored():
    mkldnn = torch.backends.mkldnn
    before = getattr(getattr(mkldnn, "matmul", None), "fp32_precision", None)
    with float32_matmul(torch.device("cpu")), float32_matmul(torch.device("cpu")):
        pass
    with pytest.raises(RuntimeError), float32_matmul(torch.device("cpu")):
        raise RuntimeError
    assert getattr(getattr(mkldnn, "matmul", None), "fp32_precision", None) == before
    assert onednn_is_accurate() in (True, False)


def test_tf32_is_switched_off_inside_and_restored():
    matmul = torch.backends.cuda.matmul
    if not hasattr(matmul, "fp32_precision"):
        pytest.skip("an older PyTorch")
    before = matmul.fp32_precision
    matmul.fp32_precision = "tf32"
    try:
        _matmul._enter("cuda")
        assert matmul.fp32_precision == "ieee"
        _matmul._leave("cuda")
        assert matmul.fp32_precision == "tf32"
    finally:
        matmul.fp32_precision = before


def test_autocast_does_not_lower_the_precision():
    x, y = draw(200, 64), draw(5, 64, seed=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        denoised = Bayes.fit(x)(y, 1.0)
    assert (denoised - direct(x, y, 1.0)).abs().max() < 1e-5


def test_available_from_the_package():
    assert dc.denoisers.Bayes is Bayes


def test_gradient_at_a_noise_level_whose_square_float32_rounds_to_zero():
    y = torch.tensor([[0.3]], requires_grad=True)
    Bayes.fit(torch.tensor([[1.0], [2.0]]))(y, 1e-30).sum().backward()
    assert y.grad.item() == 0
