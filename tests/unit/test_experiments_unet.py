"""The experiment on the baseline UNet: what it measures, what it leaves, and going on."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from diffusion_creativity import _files, experiments
from diffusion_creativity.experiments import unet_baseline as module
from diffusion_creativity.experiments.registry import Unit, get
from diffusion_creativity.networks import Preconditioned, UNet


def unit(folder, variant="faces"):
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    return Unit(variant, 0, torch.device("cpu"), folder, lambda _: None)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    out = tmp_path_factory.mktemp("results")
    return experiments.run("unet_baseline", "smoke", out=out, say=lambda _: None)


def test_measures_what_it_left(smoke):
    (metrics,) = (u["metrics"] for u in smoke.record["units"])
    network = module.trained(smoke, "faces")
    config = get("unet_baseline").config("smoke")
    x, held_out = module._images("faces", config)
    assert x.shape == (100, 1, 16, 16)
    assert held_out.shape == (50, 1, 16, 16)
    assert metrics["parameters"] == sum(p.numel() for p in network.parameters())
    assert metrics["loss_held_out"] == pytest.approx(module.loss_by_level(network, held_out))
    assert metrics["loss_seen"] == pytest.approx(module.loss_by_level(network, x[:50]))
    shares = [metrics[f"faces_{kind}"] for kind in ("copy", "creative", "invalid")]
    assert sum(shares) == pytest.approx(1)
    made = module.samples(network, (1, 16, 16), config.samples, config.sampler_steps)
    judged = module.judged("faces", made, x, held_out, config)
    assert judged["frechet"] == pytest.approx(metrics["frechet"], rel=1e-4)


def test_weights_are_small_and_the_sheet_is_there(smoke):
    path = smoke.folder / "faces-0.safetensors"
    weights = load_file(path)
    assert {value.dtype for value in weights.values()} == {torch.float16}
    assert smoke.record["files"] == ["faces-0-samples.png", "faces-0.safetensors"]


@pytest.mark.parametrize("profile", ["book", "t4", "gpu"])
def test_full_sizes_fit_the_repository(profile):
    """Float16 weights of at most 5 MB for every set."""
    from diffusion_creativity.networks.describe import parameters

    config = get("unet_baseline").config(profile)
    for channels in (1, 3):
        assert 2 * parameters(replace(config.design, channels=channels)) < 4.9e6


def kept_for_gradients(network, y):
    """Bytes of all tensors that the backward pass needs."""
    kept = {}
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.setdefault(t.data_ptr(), t), lambda t: t
    ):
        network(y, torch.ones(len(y)))
    return sum(t.nbytes for t in kept.values())


def test_profile_t4_fits_a_small_gpu():
    """Of 15 GB and 8 TFLOP/s: a quarter of either is enough, for ten minutes."""
    from diffusion_creativity.experiments._study_designs import flops

    config = get("unet_baseline").config("t4")
    operations = 0
    for side in (16, 28):  # faces and clothes
        design = replace(config.design, channels=1, side=side)
        operations += 3 * flops(design) * config.batch * config.steps  # forward, and twice backward
        network = Preconditioned(UNet(design), sigma_data=0.5)
        assert config.batch / 2 * kept_for_gradients(network, torch.zeros(2, 1, side, side)) < 4e9
    assert operations < 600 * 8e12 / 4


def test_goes_on_where_it_was_stopped(tmp_path):
    config = get("unet_baseline").config("smoke")
    whole = module.unet_baseline(config, unit(tmp_path / "whole"))
    broken = unit(tmp_path / "parts")

    def stop(fraction):
        if fraction > 0.6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        module.unet_baseline(config, replace(broken, progress=stop))
    kept = sorted(p.name for p in broken.scratch.glob("checkpoint-*"))
    assert kept == ["checkpoint-000000005.safetensors", "checkpoint-000000010.safetensors"]
    resumed = module.unet_baseline(config, broken)
    assert whole.tensors.keys() == resumed.tensors.keys()
    assert all(torch.equal(whole.tensors[k], resumed.tensors[k]) for k in whole.tensors)


def test_pictures_get_a_frame_that_the_network_can_halve(monkeypatch):
    class Set:
        x = torch.full((7, 1, 28, 28), 0.5)

    monkeypatch.setattr(module, "load", lambda name, split: Set)
    config = get("unet_baseline").config("gpu")
    x, _ = module._images("fashion_mnist", replace(config, images=5))
    assert x.shape == (5, 1, 32, 32)
    assert (x[..., 2:30, 2:30] == 0.5).all()
    assert x.mean().item() == pytest.approx((0.5 * 28**2 - (32**2 - 28**2)) / 32**2)
    shallow = replace(
        config, design=replace(config.design, depth=2, widths=(8, 8, 8), attention=())
    )
    assert module._images("fashion_mnist", shallow)[0].shape[-1] == 28


def test_the_loss_is_that_of_training():
    """D = c_skip y: the loss is E (c_skip y - x)² / c_out², by hand in float64."""

    class Zero(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.unused = torch.nn.Parameter(torch.zeros(()))

        def forward(self, x, _):
            return torch.zeros_like(x)

    x = torch.randn(600, 1, 4, 4, generator=torch.Generator().manual_seed(3))
    s = 0.7
    found = module.loss_by_level(Preconditioned(Zero(), sigma_data=s), x)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(2**31 - 1)).double()
    for sigma, loss in zip(module.LEVELS, found, strict=True):
        error = s**2 / (s**2 + sigma**2) * (x + sigma * noise) - x
        weight = (s**2 + sigma**2) / (s * sigma) ** 2
        assert loss == pytest.approx(weight * error.square().mean().item(), rel=1e-4)


def test_sheets_show_the_first_samples(smoke):
    network = module.trained(smoke, "faces")
    made = module.samples(network, (1, 16, 16), 20, 4)
    expected = _files.sheet(_files.pixels(made))
    assert (smoke.folder / "faces-0-samples.png").read_bytes() == expected
