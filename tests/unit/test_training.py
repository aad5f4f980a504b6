"""The training loop and the network that is affine at each level."""

import math

import pytest
import torch

import diffusion_creativity as dc
from diffusion_creativity.networks import AffinePerLevel
from diffusion_creativity.training import train

SIGMAS = dc.noise.karras(5, sigma_min=0.05, sigma_max=10.0)


def data(n=200, d=3):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, d, generator=generator) * torch.tensor([2.0, 1.0, 0.5])[:d] + 1


def trained(steps=600, seed=0, batch=64):
    network = AffinePerLevel((3,), SIGMAS, scale=1.5)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.3, momentum=0.9)
    decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: 1 - t / steps)
    history = list(
        train(network, data(), optimizer, steps=steps, batch=batch, seed=seed, schedule=decay)
    )
    return network, history


class TestNetwork:
    def test_forward_is_denoise_at_every_level(self):
        network = AffinePerLevel((1, 2, 2), SIGMAS, scale=0.7)
        torch.nn.init.normal_(network.weight)
        torch.nn.init.normal_(network.bias)
        y = torch.randn(5, 6, 1, 2, 2)
        together = network(y)
        for k, sigma in enumerate(SIGMAS[:-1].tolist()):
            torch.testing.assert_close(together[k], network.denoise(y[k], sigma))
            A, b = network.maps(sigma)
            by_maps = y[k].flatten(1).double() @ A.T + b
            torch.testing.assert_close(together[k].flatten(1).double(), by_maps,
                                       rtol=1e-4, atol=1e-4)  # fmt: skip

    @pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
    def test_answers_in_the_dtype_of_y(self, dtype):
        network = AffinePerLevel((3,), SIGMAS)
        torch.nn.init.normal_(network.weight)
        y = torch.randn(4, 3).to(dtype)
        found = network.denoise(y, 10.0)
        assert found.dtype == dtype
        torch.testing.assert_close(found, network.denoise(y.float(), 10.0).to(dtype))
        with pytest.raises(ValueError, match="y must have shape"):
            network.denoise(y[:, :2], 10.0)

    def test_starts_at_zero(self):
        network = AffinePerLevel((3,), SIGMAS)
        assert network.denoise(torch.randn(2, 3), 10.0).abs().max() == 0

    @pytest.mark.parametrize("sigma", [0.0, 3.3, -1.0, 20.0])
    def test_other_levels_are_refused(self, sigma):
        network = AffinePerLevel((3,), SIGMAS)
        with pytest.raises(ValueError, match="sigma"):
            network.denoise(torch.randn(2, 3), sigma)

    def test_bad_arguments(self):
        with pytest.raises(ValueError, match="scale"):
            AffinePerLevel((3,), SIGMAS, scale=0.0)
        with pytest.raises(ValueError, match="sigmas"):
            AffinePerLevel((3,), [1.0, 2.0, 0.0])

    def test_state_round_trip(self):
        network, _ = trained(steps=5)
        other = AffinePerLevel((3,), SIGMAS, scale=1.5)
        other.load_state_dict(network.state_dict())
        y = torch.randn(4, 3)
        torch.testing.assert_close(other.denoise(y, 10.0), network.denoise(y, 10.0))


class TestTraining:
    def test_reaches_the_closed_form(self):
        network, history = trained()
        closed = dc.denoisers.Affine.fit(data())
        cov = closed.law().cov
        for k, sigma in enumerate(SIGMAS[:-1].tolist()):
            A, b = network.maps(sigma)
            best, offset = closed.maps(sigma)
            noisy = cov + sigma**2 * torch.eye(3)
            off = A - best
            gap = (off @ noisy @ off.T).trace() + (off @ closed.mean + b - offset).square().sum()
            lam = closed.eigenvalues
            least = (lam * sigma**2 / (lam + sigma**2)).sum()
            assert gap < 0.05 * least, sigma
            assert history[-1].loss[k] < history[0].loss[k]

    def test_is_reproducible_and_seeds_differ(self):
        (a, first), (b, second), (c, _) = trained(20), trained(20), trained(20, seed=1)
        torch.testing.assert_close(a.weight, b.weight, rtol=0, atol=0)
        assert torch.equal(first[-1].loss, second[-1].loss)
        assert not torch.equal(a.weight, c.weight)

    def test_double_data_train_as_single_ones(self):
        losses = []
        for x in (data(), data().double()):
            network = AffinePerLevel((3,), SIGMAS)
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
            losses.append([p.loss for p in train(network, x, optimizer, steps=3)][-1])
        assert torch.equal(*losses)

    def test_is_a_generator_that_can_be_stopped(self):
        network = AffinePerLevel((3,), SIGMAS)
        loop = train(network, data(), torch.optim.SGD(network.parameters(), lr=0.1), steps=10**9)
        progress = [next(loop) for _ in range(3)]
        assert [p.step for p in progress] == [1, 2, 3]
        assert progress[0].loss.shape == (5,)
        assert not progress[0].loss.requires_grad

    def test_first_loss_is_that_of_zero(self):
        """In units of the scale: E x² / (d scale²), the same at all levels."""
        network = AffinePerLevel((3,), SIGMAS, scale=2.0)
        x = data(50)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.0)
        losses = torch.stack([p.loss for p in train(network, x, optimizer, steps=200, batch=100)])
        assert (losses - losses[:, :1]).abs().max() < 1e-5
        expected = x.square().mean().item() / 4
        assert losses.mean().item() == pytest.approx(expected, rel=0.05)

    @pytest.mark.parametrize(
        ("change", "name"),
        [
            ({"steps": 0}, "steps"),
            ({"batch": 0}, "batch"),
            ({"batch": 2.5}, "batch"),
            ({"seed": -1}, "seed"),
            ({"x": torch.empty(0, 3)}, "x"),
            ({"x": torch.zeros(4, 2)}, "x"),
            ({"x": torch.full((4, 3), math.nan)}, "x"),
        ],
    )
    def test_bad_arguments(self, change, name):
        network = AffinePerLevel((3,), SIGMAS)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        arguments = {"x": data(), "steps": 2} | change
        x = arguments.pop("x")
        with pytest.raises(ValueError, match=name):
            next(train(network, x, optimizer, **arguments))
