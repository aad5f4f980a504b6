"""Networks with one constraint each, proved by their Jacobians; the best one is in its class."""

import copy
import math

import pytest
import torch
from torch.func import functional_call, jacrev

import diffusion_creativity as dc
from diffusion_creativity import denoisers
from diffusion_creativity.networks import constrained

SIGMAS = torch.tensor([2.0, 0.5, 0.0])
SHAPE = (2, 4, 4)
D = math.prod(SHAPE)
POOLING = denoisers.encoder.pooling(SHAPE, 2)  # (8, 32)


def axes(k, d=D, seed=5):
    generator = torch.Generator().manual_seed(seed)
    full = torch.randn(d, d, generator=generator, dtype=torch.float64)
    return torch.linalg.qr(full)[0][:, :k].T.contiguous()


NETWORKS = {
    "affine": (constrained.Affine, {}),
    "affine in a basis": (constrained.Affine, {"basis": axes(D), "scale": torch.rand(D) + 0.1}),
    "rank 3": (constrained.LinearBottleneck, {"rank": 3}),
    "circular 3": (constrained.Convolution, {"kernel_size": 3, "centre": 0.3}),
    "circular full": (constrained.Convolution, {}),
    "zeros 3": (constrained.Convolution, {"kernel_size": 3, "padding": "zeros", "centre": 0.3}),
    "zeros full": (constrained.Convolution, {"padding": "zeros"}),
    "pixel affine": (constrained.Convolution, {"kernel_size": 1}),
    "own pixels": (constrained.Pixelwise, {"width": 8, "scale": torch.rand(SHAPE) + 0.1}),
    "shared pixels": (constrained.Pixelwise, {"width": 8, "shared": True}),
    "shared pixels, conditioned": (
        constrained.Pixelwise,
        {"width": 8, "shared": True, "conditioned": True, "activation": "relu"},
    ),
    "blocks": (constrained.Blockwise, {"block": 2, "width": 8, "centre": torch.rand(SHAPE)}),
    "blocks, conditioned": (constrained.Blockwise, {"block": (2, 4), "conditioned": True}),
    "pooled": (constrained.EncoderBottleneck, {"encoder": POOLING, "width": 16}),
    "pca code": (
        constrained.EncoderBottleneck,
        {"encoder": axes(3), "code_scale": torch.tensor([2.0, 1.0, 0.5]), "width": 16},
    ),
    "mlp": (constrained.MLP, {"width": 5}),
    "mlp, conditioned": (constrained.MLP, {"width": 5, "depth": 1, "conditioned": True}),
    "cubic": (constrained.Polynomial, {"degree": 3}),
    "quadratic in a basis": (constrained.Polynomial, {"degree": 2, "basis": axes(4)}),
    "joint quadratic": (constrained.Polynomial, {"degree": 2, "joint": True, "basis": axes(4)}),
    "window 3": (constrained.ResNet, {"window": 3, "channels": 6}),
    "window 3, zeros": (constrained.ResNet, {"window": 3, "channels": 6, "padding": "zeros"}),
    "window 1, own kernels": (
        constrained.ResNet,
        {"window": 1, "channels": 6, "conditioned": False},
    ),
}


def build(name, sigmas=SIGMAS, shape=SHAPE, seeds=2, scale=0.7, **more):
    kind, options = NETWORKS[name]
    return kind(shape, sigmas, **{"seeds": seeds, "scale": scale} | options | more).double()


def noisy(network, batch=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    lead = (network.seeds, len(network.levels), batch)
    return torch.randn(*lead, *network.shape, generator=generator, dtype=torch.float64)


def jacobian(network, y):
    """dD/dy with all copies and examples apart: (S·K·B, d, S·K·B, d)."""
    d = math.prod(network.shape)
    return jacrev(network)(y).reshape(y.numel() // d, d, y.numel() // d, d)


def own(network, y):
    """The Jacobians (S·K·B, d, d) of each example's answer in that example."""
    return jacobian(network, y).diagonal(dim1=0, dim2=2).permute(2, 0, 1)


def place(shape=SHAPE):
    """Channel, row and column of each entry."""
    grid = torch.meshgrid(*map(torch.arange, shape), indexing="ij")
    return [g.flatten() for g in grid]


def offsets(circular):
    """Rows and columns (d, d) from the place of an output to that of an input."""
    _, row, column = place()
    down, right = row - row[:, None], column - column[:, None]
    return (down % 4, right % 4) if circular else (down, right)


class TestIndependence:
    @pytest.mark.parametrize("name", NETWORKS)
    def test_of_seeds_levels_and_examples(self, name):
        J = jacobian(network := build(name), noisy(network))
        apart = ~torch.eye(len(J), dtype=torch.bool)
        assert J.movedim(2, 1)[apart].abs().max() == 0
        assert J.diagonal(dim1=0, dim2=2).abs().amax((0, 1)).min() > 0

    @pytest.mark.parametrize("name", NETWORKS)
    def test_copies_have_their_own_weights(self, name):
        """The same noisy input gives a different answer for each seed and level."""
        network = build(name)
        y = noisy(network)[:1, :1].expand(2, 2, -1, *SHAPE)
        x_hat = network(y).flatten(2).flatten(0, 1)
        assert torch.cdist(x_hat, x_hat).add(torch.eye(4)).min() > 1e-3

    @pytest.mark.parametrize("name", NETWORKS)
    def test_the_start_depends_on_the_own_seed_alone(self, name):
        first, second = build(name, seeds=[3]), build(name, seeds=[1, 3])
        y = noisy(first)
        assert torch.equal(first(y)[0], second(y.expand(2, *y.shape[1:]))[1])
        assert (first(y)[0] - build(name, seeds=[4])(y)[0]).abs().max() > 1e-3

    @pytest.mark.parametrize("name", NETWORKS)
    def test_a_copy_learns_from_its_own_answers_alone(self, name):
        network = build(name)
        network(noisy(network))[1, 0].square().sum().backward()
        for p in network.parameters():
            moved = p.grad.flatten(2).abs().sum(2) > 0  # (S, K), or (S, 1) where levels share
            assert moved[1, 0]
            assert moved.sum() == 1

    def test_levels_of_a_conditioned_stack_share_weights(self):
        plain, shared = build("blocks"), build("blocks", conditioned=True)
        sizes = [p.shape[1] for p in shared.parameters()]
        assert sorted(set(sizes)) == [1, 2]
        assert sum(p.numel() for p in shared.parameters()) < sum(
            p.numel() for p in plain.parameters()
        )


LINEAR = [name for name, (kind, _) in NETWORKS.items() if hasattr(kind, "maps")]


class TestConstraints:
    """Zero, equal or of low rank where it must be, and nowhere else."""

    @pytest.mark.parametrize("name", LINEAR)
    def test_linear_ones_have_a_constant_jacobian(self, name):
        network = build(name)
        J = own(network, noisy(network))
        torch.testing.assert_close(J, own(network, 10 * noisy(network, seed=1)))

    @pytest.mark.parametrize("name", sorted(set(NETWORKS) - set(LINEAR)))
    def test_others_do_not(self, name):
        network = build(name)
        J = own(network, noisy(network))
        assert (J - own(network, noisy(network, seed=1))).abs().max() > 1e-3

    @pytest.mark.parametrize("name", ["affine", "affine in a basis"])
    def test_affine_ones_mix_everything(self, name):
        network = build(name)
        J = own(network, noisy(network))
        assert J.abs().min() > 0
        assert torch.linalg.matrix_rank(J).min() == D

    @pytest.mark.parametrize(
        ("name", "rank"), [("rank 3", 3), ("pooled", 8), ("pca code", 3), ("mlp", 5),
                           ("mlp, conditioned", 5), ("joint quadratic", 4)]
    )  # fmt: skip
    def test_rank(self, name, rank):
        network = build(name)
        assert (torch.linalg.matrix_rank(own(network, noisy(network)), rtol=1e-10) == rank).all()

    @pytest.mark.parametrize(("name", "rows"), [("pooled", POOLING), ("pca code", axes(3))])
    def test_nothing_but_the_code_is_seen(self, name, rows):
        network = build(name)
        J = own(network, noisy(network))
        assert (J - J @ rows.T @ rows).abs().max() < 1e-12

    @pytest.mark.parametrize(
        ("name", "circular", "reach"),
        [("circular 3", True, 1), ("circular full", True, 4), ("zeros 3", False, 1),
         ("zeros full", False, 4), ("pixel affine", True, 0)],
    )  # fmt: skip
    def test_convolutions_are_one_kernel(self, name, circular, reach):
        """Entries depend on both channels and on the offset alone, and vanish beyond the window."""
        network = build(name)
        down, right = offsets(circular)
        away = [torch.minimum(o, 4 - o) if circular else o.abs() for o in (down, right)]
        inside = torch.maximum(*away) <= reach
        channel = place()[0]
        key = torch.stack([(2 * channel[:, None] + channel).expand(D, D), down, right], -1)
        kinds = key.reshape(-1, 3).unique(dim=0, return_inverse=True)[1]
        for J in own(network, noisy(network)):
            assert J[~inside].abs().sum() == 0
            assert J[inside].abs().min() > 0
            found = torch.zeros(int(kinds.max()) + 1, dtype=torch.float64)
            found[kinds] = J.flatten()
            torch.testing.assert_close(found[kinds], J.flatten(), rtol=1e-12, atol=1e-14)
            assert len(found.round(decimals=9).unique()) >= min(4 * (2 * reach + 1) ** 2, 64)

    @pytest.mark.parametrize("name", ["own pixels", "shared pixels", "shared pixels, conditioned",
                                      "window 1, own kernels"])  # fmt: skip
    def test_pixels_see_themselves(self, name):
        network = build(name)
        _, row, column = place()
        same = (row[:, None] == row) & (column[:, None] == column)
        J = own(network, noisy(network))
        assert J[:, ~same].abs().sum() == 0
        assert J[:, same].abs().amax(0).min() > 0

    @pytest.mark.parametrize("name", ["shared pixels", "pixel affine", "window 1, own kernels"])
    def test_shared_functions_commute_with_any_permutation_of_pixels(self, name):
        network = build(name)
        y = noisy(network).flatten(4)
        order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
        moved = network(y[..., order].reshape(2, 2, 2, *SHAPE))
        kept = network(y.reshape(moved.shape)).flatten(4)[..., order]
        torch.testing.assert_close(moved.flatten(4), kept)

    def test_own_functions_differ_between_pixels(self):
        network = constrained.Pixelwise(SHAPE, SIGMAS, width=8)
        made = network(torch.full((1, 2, 1, *SHAPE), 0.4)).flatten(4)[:, :, 0]
        assert made.std(3).min() > 1e-2

    @pytest.mark.parametrize(
        ("name", "block"), [("blocks", (2, 2)), ("blocks, conditioned", (2, 4))]
    )
    def test_blocks_see_themselves(self, name, block):
        network = build(name)
        _, row, column = place()
        down, right = row // block[0], column // block[1]
        same = (down[:, None] == down) & (right[:, None] == right)
        J = own(network, noisy(network))
        assert J[:, ~same].abs().sum() == 0
        assert J[:, same].abs().min() > 0

    def test_a_basis_separates_coordinates(self):
        network = build("quadratic in a basis")
        rows = axes(4)
        J = own(network, noisy(network))
        assert (J - rows.T @ rows @ J @ rows.T @ rows).abs().max() < 1e-12
        inner = rows @ J @ rows.T
        assert (inner - torch.diag_embed(inner.diagonal(dim1=1, dim2=2))).abs().max() < 1e-12
        J = own(cubic := build("cubic"), noisy(cubic))
        assert (J - torch.diag_embed(J.diagonal(dim1=1, dim2=2))).abs().max() == 0

    def test_joint_polynomials_mix_coordinates(self):
        inner = axes(4) @ own(network := build("joint quadratic"), noisy(network)) @ axes(4).T
        assert inner.abs().min() > 1e-6

    @pytest.mark.parametrize(("name", "degree"), [("cubic", 3), ("quadratic in a basis", 2),
                                                  ("joint quadratic", 2)])  # fmt: skip
    def test_degree(self, name, degree):
        """Along a line the differences of order p + 1 vanish, those of order p do not."""
        network = build(name)
        start, step = noisy(network, 1), noisy(network, 1, seed=1)
        times = torch.arange(degree + 3.0).double().reshape(-1, 1, 1, 1)
        values = network(start + times * step).diff(n=degree, dim=2)
        assert values.abs().max() > 1e-2
        assert values.diff(dim=2).abs().max() < 1e-10 * values.abs().max()

    @pytest.mark.parametrize("conditioned", [True, False])
    @pytest.mark.parametrize("window", [1, 3, 5])
    def test_windows(self, window, conditioned):
        """On a torus of 6×6: what is beyond the window has no effect, what is inside has."""
        network = constrained.ResNet((1, 6, 6), SIGMAS, window=window, channels=6, seeds=2,
                                     conditioned=conditioned).double()  # fmt: skip
        y = noisy(network)
        J = own(network, y)
        _, row, column = place((1, 6, 6))
        away = [(o[:, None] - o).abs() for o in (row, column)]
        inside = torch.maximum(*(torch.minimum(o, 6 - o) for o in away)) <= window // 2
        assert J[:, ~inside].abs().sum() == 0
        assert J[:, inside].abs().amax(0).min() > 0
        moved = network(y.roll((2, 3), (-2, -1)))
        torch.testing.assert_close(moved, network(y).roll((2, 3), (-2, -1)))

    def test_windows_with_zeros_know_the_border_and_nothing_else(self):
        network = constrained.ResNet((1, 8, 8), SIGMAS, window=3, channels=6, seeds=2,
                                     padding="zeros").double()  # fmt: skip
        y = noisy(network)
        _, row, column = place((1, 8, 8))
        inside = torch.maximum((row[:, None] - row).abs(), (column[:, None] - column).abs()) <= 1
        J = own(network, y)
        assert J[:, ~inside].abs().sum() == 0
        assert J[:, inside].abs().amax(0).min() > 0
        moved, kept = network(y.roll(1, -1)), network(y).roll(1, -1)
        torch.testing.assert_close(moved[..., 1:-1, 2:-1], kept[..., 1:-1, 2:-1])
        assert (moved - kept)[..., 0].abs().max() > 1e-3
        flat = network(torch.zeros_like(y))
        assert (flat[..., 0, 0] - flat[..., 3, 3]).abs().max() > 1e-3

    def test_signals(self):
        for kind, options in [(constrained.Convolution, {"kernel_size": 3}),
                              (constrained.ResNet, {"window": 3, "channels": 6}),
                              (constrained.Blockwise, {"block": 2})]:  # fmt: skip
            network = kind((2, 6), SIGMAS, **options).double()
            J = own(network, noisy(network)).abs().amax(0)
            seen = (J[:6, :6] > 0).sum(1)
            assert (seen == (2 if "block" in options else 3)).all()


def data(n=300, shape=SHAPE, seed=3):
    """Skewed, correlated data with a mean."""
    generator = torch.Generator().manual_seed(seed)
    d = math.prod(shape)
    x = torch.rand(n, d, generator=generator, dtype=torch.float64) ** 2
    mix = torch.randn(d, d, generator=generator, dtype=torch.float64) / d**0.5
    return (x @ mix + 0.3 * x.square() + 0.2).reshape(n, *shape)


def solve(network, closed):
    """Set the weights of a network that is linear in them, so that it meets `closed`."""
    names = [name for name, _ in network.named_parameters()]
    zero = [torch.zeros_like(p) for p in network.parameters()]

    def answer(values, y):
        return functional_call(network, dict(zip(names, values, strict=True)), (y,))

    y = 2 * noisy(network, batch=40, seed=7)
    J = jacrev(answer)(zero, y)  # each (1, K, B, *shape, 1, K, …)
    start = answer(zero, y)
    solved = [torch.zeros_like(p) for p in zero]
    for k, sigma in enumerate(network.levels.tolist()):
        left = closed(y[0, k], sigma) - start[0, k]
        rows = [part[0, k].flatten(0, y.ndim - 3)[:, 0, k].flatten(1) for part in J]
        found = torch.linalg.lstsq(torch.cat(rows, 1), left.flatten()[:, None], driver="gelsd")
        sizes = [part.shape[1] for part in rows]
        for p, values in zip(solved, found.solution[:, 0].split(sizes), strict=True):
            p[0, k] = values.reshape(p[0, k].shape)
    network.load_state_dict(dict(zip(names, solved, strict=True)), strict=False)


class TestClosedFormsAreInTheClass:
    """Weights are solved for on some inputs; the answers must agree on others."""

    SMALL = (2, 3, 3)

    @pytest.mark.parametrize(
        ("kind", "options", "closed", "fit"),
        [
            (constrained.Affine, {}, denoisers.Affine, {}),
            (constrained.Affine, {"skip": False}, denoisers.Affine, {}),
            (constrained.Convolution, {"kernel_size": 3}, denoisers.Convolutional,
             {"kernel_size": 3}),
            (constrained.Convolution, {}, denoisers.Convolutional, {}),
            (constrained.Convolution, {"kernel_size": 3, "padding": "zeros"},
             denoisers.Convolutional, {"kernel_size": 3, "padding": "zeros"}),
            (constrained.Convolution, {"padding": "zeros"}, denoisers.Convolutional,
             {"padding": "zeros"}),
            (constrained.Polynomial, {"degree": 3}, denoisers.Polynomial, {"degree": 3}),
            (constrained.Polynomial, {"degree": 1}, denoisers.Polynomial, {"degree": 1}),
        ],
    )  # fmt: skip
    def test_linear_in_the_weights(self, kind, options, closed, fit):
        x = data(shape=self.SMALL)
        centre = x.mean() if kind is constrained.Convolution else x.mean(0)
        network = kind(self.SMALL, SIGMAS, scale=x.std(), centre=centre, **options).double()
        self.check(network, closed.fit(x, **fit))

    @pytest.mark.parametrize("basis", ["pca", "joint"])
    def test_polynomials_in_a_basis(self, basis):
        x = data(shape=self.SMALL)
        closed = denoisers.Polynomial.fit(x, degree=2, basis=basis, components=4)
        code = (x - closed.mean).flatten(1) @ closed.vectors
        network = constrained.Polynomial(
            self.SMALL, SIGMAS, degree=2, joint=basis == "joint", basis=closed.vectors.T,
            scale=code.std(0), centre=closed.mean,
        ).double()  # fmt: skip
        self.check(network, closed)

    def check(self, network, closed):
        solve(network, closed)
        y = 2 * noisy(network, batch=20, seed=8)
        for k, sigma in enumerate(network.levels.tolist()):
            expected = closed(y[0, k], sigma)
            torch.testing.assert_close(network(y)[0, k], expected, rtol=1e-8, atol=1e-8)
            torch.testing.assert_close(network.denoise(y[0, k], sigma), expected,
                                       rtol=1e-8, atol=1e-8)  # fmt: skip

    def test_low_rank(self):
        x = data()
        closed = denoisers.LinearBottleneck.fit(x, rank=3)
        network = constrained.LinearBottleneck(SHAPE, SIGMAS, rank=3, centre=x.mean(0)).double()
        with torch.no_grad():
            for k, sigma in enumerate(network.levels.tolist()):
                network.encoder[0, k] = closed.eigenvectors.T / network.c_in[k].flatten()[0]
                network.decoder[0, k] = closed.eigenvectors * closed.gain(sigma)
        for sigma in network.levels.tolist():
            y = noisy(network)[0, 0]
            torch.testing.assert_close(network.denoise(y, sigma), closed(y, sigma))

    def test_without_variance_the_answer_is_the_centre(self):
        scale = torch.ones(SHAPE)
        scale[0, 0] = 0
        network = constrained.Pixelwise(SHAPE, SIGMAS, scale=scale, centre=0.3)
        x_hat = network.denoise(torch.randn(5, *SHAPE), 2.0)
        assert (x_hat[:, 0, 0] - 0.3).abs().max() < 1e-6
        assert (x_hat[:, 1] - 0.3).abs().min() > 1e-6


class TestStack:
    @pytest.mark.parametrize("name", NETWORKS)
    def test_denoise_is_forward_at_a_level(self, name):
        network = build(name).float()
        y = noisy(network, batch=3).float()
        together = network(y)
        for s in range(2):
            for k, sigma in enumerate([2.0, 0.5]):
                torch.testing.assert_close(together[s, k], network.denoise(y[s, k], sigma, s))
        sigma = torch.tensor([0.5, 2.0, 0.5])
        each = network.denoiser(1)(y[1, 0], sigma)
        torch.testing.assert_close(each[[0, 2]], network.denoise(y[1, 0, [0, 2]], 0.5, 1))
        torch.testing.assert_close(each[1:2], network.denoise(y[1, 0, 1:2], 2.0, 1))
        shared = network(y[0])
        torch.testing.assert_close(shared[0], together[0])
        assert shared.shape == together.shape

    @pytest.mark.parametrize("name", NETWORKS)
    def test_a_copy_of_the_weights_is_a_copy(self, name):
        network, other = build(name), build(name, seeds=[7, 8])
        other.load_state_dict(network.state_dict())
        y = noisy(network)
        assert torch.equal(network(y), other(y))
        assert torch.equal(network(y), copy.deepcopy(network)(y))

    @pytest.mark.parametrize("name", LINEAR)
    def test_maps(self, name):
        network = build(name)
        y = noisy(network)
        for s, sigma in [(0, 2.0), (1, 0.5)]:
            A, b = network.maps(sigma, s)
            by_maps = (y[s, 0].flatten(1) @ A.T + b).reshape(-1, *SHAPE)
            torch.testing.assert_close(network.denoise(y[s, 0], sigma, s), by_maps)

    def test_samples_of_a_linear_stack_follow_the_law_of_its_maps(self):
        network = constrained.Convolution((1, 3, 3), dc.noise.karras(6), kernel_size=3, scale=0.5)
        sigmas = dc.noise.karras(6)
        law = denoisers.affine_law(network.maps, sigmas, network.shape)
        start = dc.sampling.initial_noise(20_000, network.shape)
        assert law.agreement(dc.sampling.ddim(network.denoiser(), start, sigmas)).ok

    def test_loss(self):
        network = build("blocks")
        x, n = data(6), noisy(network, batch=6)
        found = network.loss(x, n)
        assert found.shape == (2, 2, 6)
        sigma = network.levels.reshape(2, 1, 1, 1, 1)
        error = network(x + sigma * n) - x
        for k, s in enumerate(network.levels.tolist()):
            unit = s * 0.7 / math.sqrt(s**2 + 0.7**2)
            torch.testing.assert_close(
                found[:, k], error[:, k].flatten(2).square().mean(2) / unit**2
            )
        plain = build("rank 3")
        torch.testing.assert_close(
            plain.loss(x, n), (plain(x + sigma * n) - x).flatten(3).square().mean(3) / 0.49
        )
        assert network.loss(x, n[0, 0]).shape == (2, 2, 6)

    @pytest.mark.parametrize("name", ["affine", "zeros 3", "own pixels", "cubic", "window 3"])
    def test_inputs_and_answers_are_of_order_one_at_every_level(self, name):
        """The loss of the start, and its slope in the weights, hardly depend on the level."""
        sigmas = dc.noise.karras(5)
        network = build(name, sigmas=sigmas, seeds=1, scale=0.5)
        x = 0.5 * noisy(network, 50)[:1, :1] + 0.3 * (name == "zeros 3")
        loss = network.loss(x, noisy(network, 50, seed=1)[:, :1].expand(1, 5, *x.shape[2:]))
        assert loss.mean(2).max() < 30 * loss.mean(2).min()
        loss.sum().backward()
        for p in network.parameters():
            if p.shape[1] == 5:
                slope = p.grad.flatten(2).norm(dim=2)
                assert slope.max() < 200 * slope.min()

    def test_bad_arguments(self):
        network = build("affine")
        with pytest.raises(ValueError, match="y must have shape"):
            network(torch.zeros(2, 3, 4, *SHAPE))
        with pytest.raises(ValueError, match="sigma must be one of the 2 levels"):
            network.denoise(torch.zeros(1, *SHAPE), 1.0)
        with pytest.raises(ValueError, match="seed must be below 2"):
            network.denoise(torch.zeros(1, *SHAPE), 2.0, 2)
        with pytest.raises(ValueError, match="y must have shape"):
            network.denoise(torch.zeros(1, 2, 3, 3), 2.0)
        with pytest.raises(NotImplementedError):
            constrained.Stack(SHAPE, SIGMAS)._raw(torch.zeros(1), [], torch.zeros(1))

    @pytest.mark.parametrize(
        ("kind", "options", "message"),
        [
            (constrained.Affine, {"scale": 0.0}, "scale must be > 0"),
            (constrained.Affine, {"scale": -torch.ones(SHAPE)}, "scale must be > 0"),
            (constrained.Affine, {"scale": torch.ones(3)}, "scale must be a number or have shape"),
            (constrained.Affine, {"centre": math.nan}, "centre must be finite"),
            (constrained.Affine, {"seeds": 0}, "seeds must be"),
            (constrained.Affine, {"seeds": [1, 1]}, "seeds must be different"),
            (constrained.Affine, {"seeds": []}, "seeds must be different"),
            (constrained.Affine, {"gain": -1.0}, "gain must be"),
            (constrained.Affine, {"basis": torch.ones(2, D)}, "basis must have orthonormal"),
            (constrained.Affine, {"basis": torch.ones(2, 3)}, "basis must have shape"),
            (constrained.LinearBottleneck, {"rank": 0}, "rank must be"),
            (constrained.LinearBottleneck, {"rank": D + 1}, "rank must be at most"),
            (constrained.Convolution, {"kernel_size": 2}, "kernel_size must be odd"),
            (constrained.Convolution, {"kernel_size": 5}, "kernel_size must be odd and at most 3"),
            (constrained.Convolution, {"padding": "reflect"}, "padding must be one of"),
            (constrained.Convolution, {"centre": torch.rand(SHAPE)}, "the same at all places"),
            (constrained.Convolution, {"basis": axes(3)}, "basis must be None"),
            (constrained.Pixelwise, {"width": 0}, "width must be"),
            (constrained.Pixelwise, {"depth": 0}, "depth must be"),
            (constrained.Pixelwise, {"activation": "tanh"}, "activation must be one of"),
            (constrained.Pixelwise, {"shared": True, "scale": torch.rand(SHAPE)},
             "the same at all places"),
            (constrained.Blockwise, {"block": 3}, "block must divide"),
            (constrained.EncoderBottleneck, {"encoder": 2 * POOLING}, "orthonormal rows"),
            (constrained.EncoderBottleneck, {"encoder": POOLING, "scale": 0.0}, "scale must be"),
            (constrained.Polynomial, {"degree": 0}, "degree must be"),
            (constrained.Polynomial, {"degree": 10}, "degree must be"),
            (constrained.Polynomial, {"degree": 2, "joint": True}, "at most 10"),
            (constrained.ResNet, {"window": 2}, "window must be odd"),
            (constrained.ResNet, {"window": 3, "padding": "same"}, "padding must be one of"),
            (constrained.ResNet, {"window": 3, "channels": 0}, "channels must be"),
            (constrained.ResNet, {"window": 3, "pointwise": -1}, "pointwise must be"),
        ],
    )  # fmt: skip
    def test_bad_options(self, kind, options, message):
        with pytest.raises(ValueError, match=message):
            kind(SHAPE, SIGMAS, **options)

    def test_convolutions_take_pictures_and_signals_alone(self):
        for kind, options in [(constrained.Convolution, {}), (constrained.ResNet, {"window": 3})]:
            with pytest.raises(ValueError, match="examples must have shape"):
                kind((4,), SIGMAS, **options)


def trained(network, x, steps, rate, batch=64):
    """Adam with a rate that falls to zero."""
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: 1 - t / steps)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        chosen = x[torch.randint(len(x), (batch,), generator=generator)]
        noise = torch.randn(len(network.levels), *chosen.shape, generator=generator)
        optimizer.zero_grad()
        network.loss(chosen, noise).mean(2).sum().backward()
        optimizer.step()
        decay.step()
    return network


def excess(network, closed, x, seed):
    """Loss above that of the closed form, relative to it, for each seed and level."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for sigma in network.levels.tolist():
        y = x + sigma * torch.randn(x.shape, generator=generator)
        best = closed(y, sigma)
        least = (best - x).square().mean()
        rows.append([((network.denoise(y, sigma, s) - best).square().mean() / least).item()
                     for s in range(network.seeds)])  # fmt: skip
    return torch.tensor(rows)


class TestTraining:
    """All seeds end at the closed form, which is the best in the class: the loss splits there."""

    def test_affine(self):
        x = data(500, shape=(1, 2, 2)).float()
        network = constrained.Affine((1, 2, 2), SIGMAS, seeds=3, scale=x.std(), centre=x.mean(0))
        before = excess(network, denoisers.Affine.fit(x), x.repeat(4, 1, 1, 1), 1)
        network = trained(network, x, 600, 0.03)
        after = excess(network, denoisers.Affine.fit(x), x.repeat(4, 1, 1, 1), 1)
        assert before.min() > 0.1
        assert after.max() < 0.01

    def test_pixelwise(self):
        x = torch.randint(2, (400, 1, 2, 2), generator=torch.Generator().manual_seed(0)) * 2.0 - 1
        network = constrained.Pixelwise((1, 2, 2), SIGMAS, seeds=2, shared=True, width=24)
        network = trained(network, x, 500, 0.01)
        closed = denoisers.Pixelwise.fit(x, shared=True)
        assert excess(network, closed, x.repeat(4, 1, 1, 1), 1).max() < 0.02
        affine = denoisers.Affine.fit(x)  # what an affine network could do
        assert excess(network, affine, x.repeat(4, 1, 1, 1), 1)[1].min() > 0.1
