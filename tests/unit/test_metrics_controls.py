"""The nine sets that metrics are held to: each is what it says."""

import pytest
import torch
from scipy import ndimage

import diffusion_creativity as dc
from diffusion_creativity.metrics import controls

DIGITS = dc.data.load("digits")
TRAIN, REAL, LABELS = DIGITS.x[:900], DIGITS.x[900:], DIGITS.labels[900:]


def rows(x):
    return {bytes(image.numpy().tobytes()) for image in x}


@pytest.fixture(scope="module")
def sets():
    return controls(TRAIN, REAL, n=600, labels=LABELS, seed=3)


def test_every_set_has_the_size_asked_for(sets):
    assert len(sets) == 9
    assert {tuple(x.shape) for x in sets.values()} == {(600, 1, 8, 8)}
    assert all(x.dtype == torch.float32 and x.isfinite().all() for x in sets.values())


def test_real_images_are_others_and_distinct(sets):
    assert rows(sets["real"]) <= rows(REAL)
    assert len(rows(sets["real"])) >= 600 - 2  # the set itself may hold a twin
    assert rows(sets["dropped modes"]) <= rows(REAL[LABELS < 5])


def test_copies_are_training_images_and_shifted_ones_are_up_to_a_shift(sets):
    assert dc.metrics.copied_fraction(sets["copies"], TRAIN) == 1
    assert dc.metrics.copied_fraction(sets["shifted copies"], TRAIN) < 0.1
    assert dc.metrics.copied_fraction(sets["shifted copies"], TRAIN, modulo="translations") == 1
    residual = sets["noisy copies"] - sets["copies"]
    bound = 6 * 0.05 / (2 * residual.numel()) ** 0.5  # six standard errors
    assert abs(residual.std().item() - 0.05) < bound


def test_each_half_of_a_chimera_is_a_training_half(sets):
    for half in (slice(None, 4), slice(4, None)):
        assert rows(sets["chimeras"][..., half, :].contiguous()) <= rows(
            TRAIN[..., half, :].contiguous()
        )
    assert dc.metrics.copied_fraction(sets["chimeras"], TRAIN) < 0.1


def test_the_gaussian_has_the_moments_of_the_training_images():
    many = controls(TRAIN, REAL.repeat(40, 1, 1, 1), seed=1)["Gaussian"]
    assert dc.denoisers.Affine.fit(TRAIN).law(None).agreement(many, alpha=1e-6).ok


def test_white_noise_keeps_mean_and_variance_alone(sets):
    noise, n = sets["white noise"], sets["white noise"].numel()
    assert abs(noise.mean() - TRAIN.mean()) < 6 * TRAIN.std() / n**0.5
    assert abs(noise.std() / TRAIN.std() - 1) < 6 / (2 * n) ** 0.5


@pytest.mark.parametrize("width", [0.4, 1.0, 2.3])
def test_blur_agrees_with_scipy(width):
    x = torch.randn(5, 3, 11, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = ndimage.gaussian_filter(
        x.numpy(), (0, 0, width, width), mode="nearest", radius=max(1, round(3 * width))
    )
    found = dc.metrics.blurred(x, width)
    assert torch.allclose(found, torch.from_numpy(expected), atol=1e-12)


def test_the_same_seed_gives_the_same_sets(sets):
    again, other = (controls(TRAIN, REAL, n=600, labels=LABELS, seed=s) for s in (3, 4))
    assert all(torch.equal(sets[name], again[name]) for name in sets)
    assert not any(torch.equal(sets[name], other[name]) for name in sets)


def test_without_labels_one_side_of_the_first_component_stays():
    kept = controls(TRAIN, REAL)["dropped modes"]
    assert rows(kept) <= rows(REAL)
    assert len(rows(kept)) < 0.8 * len(REAL)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train": TRAIN[:, :, :4]}, "real must hold images"),
        ({"train": TRAIN.flatten(1)}, "train must hold images"),
        ({"n": 898}, "n must be at most the 897"),
        ({"blur": 0}, "blur"),
        ({"noise": -1}, "noise"),
        ({"labels": LABELS[:5]}, "labels must have shape"),
    ],
)
def test_bad_input_is_explained(arguments, message):
    with pytest.raises(ValueError, match=message):
        controls(**{"train": TRAIN, "real": REAL} | arguments)
