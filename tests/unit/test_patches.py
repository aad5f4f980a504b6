"""The patch machines against float64 sums over windows, an attention layer, and one another."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import diffusion_creativity as dc
from diffusion_creativity.denoisers import (
    Bayes,
    DataLocality,
    Equivariant,
    EquivariantLocalScore,
    LocalScore,
    PatchPosterior,
    Pixelwise,
    _anywhere,
    _bank,
    _same_place,
)  # fmt: skip

SIGMAS = [0.0, 0.002, 0.02, 0.3, 2.0, 80.0]
KINDS = {
    "LS": (LocalScore, {}),
    "LS circular": (LocalScore, {"padding": "circular"}),
    "PSPC": (PatchPosterior, {}),
    "ELS": (EquivariantLocalScore, {}),
    "ELS pooled": (EquivariantLocalScore, {"borders": False}),
    "ELS circular": (EquivariantLocalScore, {"padding": "circular"}),
}
WINDOWED = pytest.mark.parametrize("kind", KINDS)


def draw(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def fit(kind, x, window, **more):
    machine, settings_ = KINDS[kind]
    return machine.fit(x, window=window, **settings_, **more)


def entries(kind, shape, place, k):
    """The pixels of the window at a place, and what places must share to share windows."""
    near = [[place[a] + o for o in range(-(k // 2), k // 2 + 1)] for a in (0, 1)]
    if "circular" in kind:
        near = [sorted({i % n for i in axis}, key=lambda i, a=a, n=n: (i - place[a] + k // 2) % n)
                for a, (axis, n) in enumerate(zip(near, shape, strict=True))]  # fmt: skip
        return near, None
    if kind == "ELS pooled":
        return near, None
    near = [[i for i in axis if 0 <= i < n] for axis, n in zip(near, shape, strict=True)]
    return near, tuple((p - axis[0], axis[-1] - p) for p, axis in zip(place, near, strict=True))


def softmax(squares, sigma):
    if sigma == 0:
        nearest = (squares == squares.min()).double()
        return nearest / nearest.sum()
    return (-squares / (2 * sigma**2)).softmax(0)


def direct(kind, x, y, sigma, k):
    """Float64 sums, one pixel at a time."""
    x, y = x.double(), y.double()
    *_, height, width = x.shape
    pad = k if kind == "ELS pooled" else 0
    wide_x, wide_y = (F.pad(t, (pad,) * 4) for t in (x, y))
    places = list(itertools.product(range(height), range(width)))

    def cut(images, place):
        rows, columns = entries(kind, (height, width), place, k)[0]
        return images[..., [r + pad for r in rows], :][..., [c + pad for c in columns]]

    cuts = {p: (cut(wide_x, p), entries(kind, (height, width), p, k)[1]) for p in places}
    out = torch.zeros_like(y)
    for n, place in itertools.product(range(len(y)), places):
        shared = [q for q in places if cuts[q][1] == cuts[place][1]]
        if kind.startswith("LS"):
            shared = [place]
        bank = torch.cat([cuts[q][0] for q in shared]).flatten(1)
        centres = torch.cat([x[:, :, q[0], q[1]] for q in shared])
        squares = (bank - cut(wide_y[n], place).flatten()).square().sum(1)
        out[n, :, place[0], place[1]] = softmax(squares, sigma) @ centres
    return out


def direct_posteriors(x, y, sigma, k):
    """PSPC: a loop over all windows that fit."""
    x, y = x.double(), y.double()
    summed, count = torch.zeros_like(y), torch.zeros_like(y)
    kh, kw = (min(k, n) for n in x.shape[-2:])
    for i, j in itertools.product(range(x.shape[-2] - kh + 1), range(x.shape[-1] - kw + 1)):
        at = (slice(None), slice(None), slice(i, i + kh), slice(j, j + kw))
        for n in range(len(y)):
            squares = (x[at] - y[n : n + 1][at]).flatten(1).square().sum(1)
            summed[n : n + 1][at] += (softmax(squares, sigma) @ x[at].flatten(1)).reshape(
                1, -1, kh, kw
            )
        count[at] += 1
    return summed / count


def truth(kind, x, y, sigma, k):
    return direct_posteriors(x, y, sigma, k) if kind == "PSPC" else direct(kind, x, y, sigma, k)


def attention(x, y, sigma, k):
    """ELS on a torus in one call: queries are windows of y, keys windows of x, values centres."""
    q, p = (F.unfold(F.pad(t, (k // 2,) * 4, mode="circular"), k).mT for t in (y, x))
    p, centres = p.flatten(0, 1), x.movedim(1, -1).flatten(0, 2)
    keys = torch.cat([p, -p.square().sum(1, keepdim=True) / 2], 1)
    q = torch.cat([q, torch.ones_like(q[..., :1])], 2)
    found = F.scaled_dot_product_attention(q, keys[None], centres[None], scale=sigma**-2)
    return found.mT.reshape(y.shape)


@WINDOWED
@pytest.mark.parametrize("sigma", SIGMAS)
def test_agrees_with_float64_sums(kind, sigma):
    x = draw(5, 2, 5, 6).clamp(-1, 1)
    y = torch.cat([x[:2], (x[1:2] + x[2:3]) / 2]) + sigma * draw(3, 2, 5, 6, seed=1)
    for k in (1, 3, 5):
        exact, denoise = truth(kind, x, y, sigma, k), fit(kind, x, k)
        torch.testing.assert_close(denoise(y, sigma).double(), exact, rtol=0, atol=1e-5)
        torch.testing.assert_close(
            denoise(y.double(), sigma), truth(kind, x, y.double(), sigma, k), rtol=0, atol=1e-10
        )


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)), count=st.integers(1, 9), n=st.integers(1, 4),
    channels=st.integers(1, 3), space=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    k=st.sampled_from([1, 3, 5, 7, 15]), seed=st.integers(0, 999),
    sigma=st.sampled_from([0.01, 0.5, 5.0]),
)  # fmt: skip
def test_any_image_any_window(kind, count, n, channels, space, k, seed, sigma):
    x = draw(count, channels, *space, seed=seed)
    y = draw(n, channels, *space, seed=seed + 1)
    if "circular" in kind:  # windows beyond the torus are the torus; even ones have no centre
        k = min(k, *(length - 1 + length % 2 for length in space))
    found = fit(kind, x, k)(y, sigma).double()
    torch.testing.assert_close(found, truth(kind, x, y, sigma, k), rtol=0, atol=2e-5)


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.0, 3.0, 80.0])
@pytest.mark.parametrize("k", [3, 7])
def test_is_an_attention_layer(k, sigma):
    x = dc.data.load("digits").x[:40]
    y = x[:3] + sigma * draw(3, 1, 8, 8)
    found = EquivariantLocalScore.fit(x, window=k, padding="circular")(y, sigma)
    exact = attention(x.double(), y.double(), sigma, k)
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=1e-5)


@WINDOWED
@pytest.mark.parametrize("sigma", [0.0, 0.02, 0.3, 1.0, 80.0])
def test_tiles_and_order_do_not_matter(kind, sigma, monkeypatch):
    x = dc.data.load("digits").x[:11, :, 1:7, 2:7]
    y = x[[3, 9, 5]] + sigma * draw(3, 1, 6, 5)
    whole = fit(kind, x, 3)(y, sigma)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(fit(kind, x[order], 3)(y, sigma), whole, rtol=0, atol=1e-5)
    for small in (7, 50, 10**7):
        for module, name in ((_bank, "WIDTH"), (_anywhere, "PAIRS"), (_anywhere, "QUERIES"),
                             (_same_place, "TILE")):  # fmt: skip
            monkeypatch.setattr(module, name, {"cpu": small})
        monkeypatch.setattr(_same_place, "ROWS", small % 4 + 1)
        torch.testing.assert_close(fit(kind, x, 3)(y, sigma), whole, rtol=0, atol=1e-5)
    alone = torch.cat([fit(kind, x, 3)(one, sigma) for one in y.split(1)])
    torch.testing.assert_close(alone, whole, rtol=0, atol=1e-5)


def test_a_later_tile_may_hold_all_the_weight(monkeypatch):
    """The nearest windows come last: scores rise by far more than the range of float32."""
    monkeypatch.setattr(_bank, "WIDTH", {"cpu": 36})
    x = torch.linspace(30, 0, 31)[:, None, None, None] + 0.1 * draw(31, 1, 6, 6)
    y = draw(2, 1, 6, 6)
    denoise = EquivariantLocalScore.fit(x, window=3, padding="circular")
    for sigma in (0.3, 1.0, 2.0, 4.0):
        exact = attention(x.double(), y.double(), sigma, 3)
        torch.testing.assert_close(denoise(y, sigma).double(), exact, rtol=0, atol=1e-4)
        torch.testing.assert_close(denoise(y.double(), sigma), exact, rtol=0, atol=1e-9)
    routed = _bank.Bank(x, 3, "circular", borders=False).rounding(y) / 4.0**2
    assert routed.max() <= _anywhere.FELT  # the last level did take float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sigma", [1e-9, 0.002, 0.02, 0.1, 0.4])
def test_what_a_sieve_drops_does_not_matter(sigma, dtype, monkeypatch):
    """Equal windows, windows that nearly tie, and a bank far from its mean."""
    x = dc.data.load("digits").x[:12].to(dtype)
    x = torch.cat([x, x[:3], x[:4] + 1e-4 * draw(4, 1, 8, 8, dtype=dtype), x[4:6] + 20, x[:1] - 9])
    y = x[[0, 7, 16, 20]] + sigma * draw(4, 1, 8, 8, seed=1, dtype=dtype)
    denoise = EquivariantLocalScore.fit(x, window=3, padding="circular")
    exact = attention(x.double(), y.double(), sigma, 3) if sigma > 0.001 else denoise(y, 0.0)
    atol = 1e-5 if dtype == torch.float32 else 1e-9
    met, add = [], _anywhere.Block.add
    monkeypatch.setattr(_bank, "WIDTH", {"cpu": 64})
    for most in (-1.0, 0.25, 2.0):  # give up soon, where it pays, never
        monkeypatch.setattr(_anywhere, "MOST", most)
        monkeypatch.setattr(
            _anywhere.Block, "add",
            lambda self, windows, *rest: (met.append(windows.shape[1]), add(self, windows, *rest)),
        )  # fmt: skip
        torch.testing.assert_close(denoise(y, sigma).double(), exact.double(), rtol=0, atol=atol)
    if sigma in (0.002, 0.02):
        assert sum(met[-len(met) // 3 :]) < len(met) // 3 * 64  # the sieve does drop some


@pytest.mark.parametrize("kind", ["ELS", "ELS pooled", "ELS circular"])
@pytest.mark.parametrize("colour", [0.0, 0.3])
def test_windows_of_plain_background_are_merged(kind, colour):
    x = torch.full((9, 2, 9, 10), colour)
    x[:7, :, 3:7, 4:8] = draw(7, 2, 4, 4)
    x[5, 0] += 0.1  # a background of another colour
    y = x[[0, 5, 8]] + draw(3, 2, 9, 10, seed=1)
    bank = fit(kind, x, 3)._bank(3)
    tiles = [tile for region in bank.regions() for tile in bank.tiles(region, torch.float64)]
    alone = 0 if bank.alone is None else 4
    assert sum(tile.values[-1].sum() for tile in tiles) == 9 * (90 - alone)
    assert sum(tile.values.shape[1] for tile in tiles) < 9 * 90 * 0.9
    for sigma in (0.0, 0.02, 0.5, 5.0):
        exact, denoise = truth(kind, x, y, sigma, 3), fit(kind, x, 3)
        torch.testing.assert_close(denoise(y, sigma).double(), exact, rtol=0, atol=1e-5)


@pytest.mark.parametrize("far", [0.0, 1.0, 1e3])
@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e10])
def test_the_bound_on_float32_scores_holds(far, scale):
    x = scale * dc.data.load("digits").x[:20]
    x[:3] += far * scale
    y = x[[0, 11]] + scale * draw(2, 1, 8, 8)
    bank = _bank.Bank(x, 5, "circular", borders=False)
    (region,) = bank.regions()
    for tile in bank.tiles(region, torch.float32):
        rough, exact = (
            bank.queries(y, region, dtype) @ windows[:-2] + windows[-2]
            for dtype, windows in ((t, tile.columns(t)) for t in (torch.float32, torch.float64))
        )
        error = (rough - exact).abs().reshape(2, -1).amax(1)
        assert (error <= bank.proven_rounding(y)).all()


def test_ends_of_the_scale_are_the_known_denoisers():
    x, y = draw(9, 2, 5, 5), draw(4, 2, 5, 5, seed=1)
    levels = torch.tensor([0.02, 0.3, 2.0, 50.0])
    pairs = (
        (LocalScore.fit(x, window=1), Pixelwise.fit(x)),
        (LocalScore.fit(x, window=9), Bayes.fit(x)),
        (LocalScore.fit(x, window=5, padding="circular"), Bayes.fit(x)),
        (PatchPosterior.fit(x, window=1), Pixelwise.fit(x)),
        (PatchPosterior.fit(x, window=5), Bayes.fit(x)),
        (EquivariantLocalScore.fit(x, window=1), Pixelwise.fit(x, shared=True)),
        (EquivariantLocalScore.fit(x, window=9), Bayes.fit(x)),
        (EquivariantLocalScore.fit(x, window=5, padding="circular"), Equivariant.fit(x)),
        (DataLocality.fit(x, threshold=0, soft=False), Bayes.fit(x)),
    )
    for ours, theirs in pairs:
        torch.testing.assert_close(ours(y, levels), theirs(y, levels), rtol=0, atol=3e-5)
    assert not torch.allclose(pairs[0][0](y, levels), pairs[1][0](y, levels), atol=0.1)


@pytest.mark.parametrize("padding", ["circular", "zeros"])
def test_shared_windows_commute_with_shifts_only_on_a_torus(padding):
    x, y = draw(6, 1, 7, 8), draw(3, 1, 7, 8, seed=1)
    denoise = EquivariantLocalScore.fit(x, window=3, padding=padding)
    shifted = denoise(y.roll((2, 3), (-2, -1)), 0.5)
    same = torch.allclose(shifted, denoise(y, 0.5).roll((2, 3), (-2, -1)), rtol=0, atol=1e-5)
    assert same == (padding == "circular")


@WINDOWED
def test_a_window_may_change_with_the_noise(kind):
    x, y = draw(7, 1, 7, 7), draw(4, 1, 7, 7, seed=1)
    levels = torch.tensor([0.02, 3.0, 0.4, 0.05])
    apart = torch.cat([fit(kind, x, k)(y[i : i + 1], levels[i])
                       for i, k in enumerate((1, 5, 3, 1))])  # fmt: skip
    table = {0.02: 1, 0.4: 3, 4.0: 5}
    for window in (table, lambda s: 1 if s < 0.1 else 3 if s < 1 else 5):
        torch.testing.assert_close(fit(kind, x, window)(y, levels), apart, rtol=0, atol=1e-5)
    assert torch.equal(fit(kind, x, table)(y, 0.0), fit(kind, x, 1)(y, 0.0))


@pytest.mark.parametrize("kind", ["ELS", "ELS pooled", "ELS circular"])
def test_preselection_bounds_what_it_neglects(kind):
    x = dc.data.load("digits").x[:20].double()
    denoise, span = fit(kind, x, 3), (x.max() - x.min()).item()
    for sigma in (0.0, 0.1, 0.3, 1.0):
        y = x[[4, 7]] + sigma * draw(2, 1, 8, 8, dtype=torch.float64)
        exact = denoise(y, sigma)
        tightest = math.inf
        for neighbours in (1, 20, 10**6):
            x_hat, bound = denoise.nearest(y, sigma, neighbours=neighbours)
            assert bound.shape == (2, 8, 8)
            off = (x_hat - exact).abs()[:, 0]
            assert (off <= bound * span + 1e-9).all()
            assert bound.mean() <= tightest
            tightest = bound.mean()
        assert (bound == 0).all()  # nothing is left out
        if sigma == 0.3:
            x_hat, bound = denoise.nearest(y, sigma, neighbours=20)
            assert bound.min() < 0.9
            assert (x_hat - exact).abs().max() > 1e-3  # it is an approximation
    with pytest.raises(ValueError, match="neighbours must be"):
        denoise.nearest(y, 1.0, neighbours=0)
    with pytest.raises(ValueError, match="sigma must be one number"):
        denoise.nearest(y, torch.tensor([1.0, 2.0]), neighbours=3)


def test_masks_are_rows_of_the_wiener_matrix():
    x = dc.data.load("digits").x[:300]
    y, sigma = x[:4] + 0.5 * draw(4, 1, 8, 8), 0.5
    flat = x.flatten(1).double()
    cov = torch.cov(flat.T, correction=0)
    wiener = cov @ torch.linalg.inv(cov + sigma**2 * torch.eye(64))
    largest = wiener.abs().amax(1, keepdim=True)
    live = largest[:, 0] > 1e-9
    masks = torch.where(live[:, None], wiener.abs() / largest.clamp(min=1e-9), 0.0)
    for threshold, soft in ((0.0, True), (0.02, True), (0.1, False)):
        mask = (masks >= threshold) * (masks if soft else torch.ones_like(masks))
        if not soft:
            mask[~live] = 0
        squares = (y.flatten(1).double()[:, None] - flat).square() @ mask.T  # (n, N, d)
        exact = ((-squares / (2 * sigma**2)).softmax(1) * flat).sum(1).reshape(y.shape)
        denoise = DataLocality.fit(x, threshold=threshold, soft=soft)
        torch.testing.assert_close(denoise.masks(sigma), mask, rtol=0, atol=1e-9)
        torch.testing.assert_close(denoise(y, sigma).double(), exact, rtol=0, atol=1e-5)
    mixed = denoise(y, torch.tensor([0.5, 0.02, 0.5, 80.0]))
    torch.testing.assert_close(mixed[2:3], denoise(y[2:3], 0.5), rtol=0, atol=1e-6)
    assert torch.isfinite(mixed).all()
    assert torch.equal(DataLocality.fit(x[:1])(y, 1.0), x[:1].expand(4, 1, 8, 8))


@pytest.mark.parametrize("kind", [*KINDS, "data"])
def test_labels_condition(kind):
    images = dc.data.load("digits")
    x, labels = images.x[:60], images.labels[:60]
    y = x[:2] + 0.5 * draw(2, 1, 8, 8)
    if kind == "data":
        denoise, alone = DataLocality.fit(x, labels=labels), DataLocality.fit(x[labels == 3])
    else:
        denoise, alone = fit(kind, x, 5, labels=labels), fit(kind, x[labels == 3], 5)
    assert torch.equal(denoise.given(3)(y, 0.5), alone(y, 0.5))
    assert not torch.allclose(denoise(y, 0.5), alone(y, 0.5), atol=1e-2)
    with pytest.raises(ValueError, match="label must be one of 0, 1"):
        denoise.given(11)
    with pytest.raises(ValueError, match="needs labels"):
        alone.given(3)


@pytest.mark.parametrize("kind", [*KINDS, "data"])
@pytest.mark.parametrize("shape", [(1, 5), (2, 3, 4)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.uint8])
def test_whatever_is_fitted_denoises(kind, shape, dtype):
    x, y = (20 + 4 * draw(4, *shape, seed=seed).abs() for seed in (0, 1))
    x, y = x.to(dtype), y[:3].to(dtype)
    denoise = DataLocality.fit(x) if kind == "data" else fit(kind, x, 3)
    for sigma in (0, 5e-324, 1e-30, 0.002, 80.0, 1e30):
        out = denoise(y, sigma)
        assert out.shape == y.shape
        assert out.dtype == (dtype if dtype.is_floating_point else torch.float32)
        assert out.max() <= x.max() + 1e-2
        assert out.min() >= x.min() - 1e-2
    assert denoise(y[:0], 1.0).shape == y[:0].shape
    assert repr(denoise).startswith(type(denoise).__name__)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(denoise(y, 1.0), denoise(y, 1.0))


def test_signals_are_pictures_of_one_row():
    x, y = draw(6, 2, 9), draw(3, 2, 9, seed=1)
    for kind in KINDS:
        flat = fit(kind, x, 3)(y, 0.4)
        torch.testing.assert_close(flat, fit(kind, x[:, :, None], 3)(y[:, :, None], 0.4)[:, :, 0])


@WINDOWED
def test_bad_arguments_are_named(kind):
    x = draw(5, 1, 6, 6)
    for window in (2, 0, -3, 3.0, "3", True, None, {0.1: 4}, {}):
        with pytest.raises(ValueError, match="window must"):
            fit(kind, x, window)
    with pytest.raises(ValueError, match="window must be odd"):
        fit(kind, x, lambda sigma: 2)(x, 1.0)
    with pytest.raises(ValueError, match="examples must have shape"):
        fit(kind, draw(5, 6), 3)
    for labels in (torch.zeros(4, dtype=torch.long), torch.zeros(5), [None] * 5):
        with pytest.raises(ValueError, match="labels must"):
            fit(kind, x, 3, labels=labels)
    denoise = fit(kind, x, 3)
    for y, sigma, name in ((x[:, :, :5], 1.0, "y"), (x, -1.0, "sigma"), (x, [1.0, 2.0], "sigma"),
                           (x * math.nan, 1.0, "y")):  # fmt: skip
        with pytest.raises(ValueError, match=f"^{name} must"):
            denoise(y, sigma)
    with pytest.raises(TypeError, match="positional"):
        KINDS[kind][0].fit(x, 3)


def test_bad_settings_are_named():
    x = draw(5, 1, 6, 6)
    for machine in (LocalScore, EquivariantLocalScore):
        with pytest.raises(ValueError, match="padding must be one of circular, zeros"):
            machine.fit(x, window=3, padding="inside")
    with pytest.raises(ValueError, match="borders must be"):
        EquivariantLocalScore.fit(x, window=3, borders=1)
    for threshold in (-0.1, 1.5, math.nan):
        with pytest.raises(ValueError, match="threshold must be"):
            DataLocality.fit(x, threshold=threshold)
    with pytest.raises(ValueError, match="soft must be"):
        DataLocality.fit(x, soft=None)
    with pytest.raises(ValueError, match="rescale"):
        EquivariantLocalScore.fit(1e20 * x, window=3)(1e20 * x, 1e20)


def test_memory_does_not_grow_with_the_data():
    """A bank of 2000 images would be 98 MB of 7×7 windows for each of 28 × 28 places."""
    x = draw(40, 1, 28, 28)
    bank = _bank.Bank(x, 7, "circular", borders=False)
    (region,) = bank.regions()
    tiles = [tile.columns(torch.float32) for tile in bank.tiles(region, torch.float32)]
    assert sum(columns.shape[1] for columns in tiles) == 40 * 784
    assert max(columns.numel() for columns in tiles) <= 51 * _bank.WIDTH["cpu"]
