"""Feature maps: what each sees, against direct computations and other implementations."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from sklearn.decomposition import PCA

from diffusion_creativity import data
from diffusion_creativity.experiments import classifier as training
from diffusion_creativity.metrics import _dinov2, _inception, _network_features, features

ROOT = Path(__file__).resolve().parents[2]
DIGITS = data.load("digits").x
NAMES = ("digits", "fashion_mnist", "mnist")


def picture(n, c, h, w):
    """Images by formula, so that other implementations can be given the same."""
    i = torch.arange(n * c * h * w, dtype=torch.float64)
    return torch.sin(0.37 * i + 0.001 * i**2).reshape(n, c, h, w).float()


def drawn(network):
    """Weights by formula, of the size that keeps a signal's size."""
    state = {}
    shapes = {k: tuple(v.shape) for k, v in network.state_dict().items() if "num_batches" not in k}
    for i, (name, shape) in enumerate(sorted(shapes.items())):
        steps = torch.arange(math.prod(shape), dtype=torch.float64) * 0.7548776662466927 + i / 7
        u = (2 * (steps % 1) - 1).reshape(shape)
        fan = math.prod(shape[1:]) if len(shape) > 1 and shape[0] > 1 else 12
        scales = ("bn.weight", "running_var", "norm.weight", "norm1.weight", "norm2.weight")
        middle = float(name.endswith(scales))
        state[name] = (middle + u * math.sqrt(6 / fan) * (0.5 if middle else 1)).float()
    return state


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory):
    """A file with the layout of Inception's weights."""
    path = tmp_path_factory.mktemp("weights") / "inception.safetensors"
    with torch.device("meta"):
        network = _inception.Inception()
    save_file(drawn(network) | {"fc.weight": torch.zeros(1008, 2048)}, path)
    return path


@pytest.fixture(scope="module")
def dinov2_file(tmp_path_factory):
    """A file with the layout of DINOv2's weights: width 128, two blocks, 16 × 16 positions."""
    path = tmp_path_factory.mktemp("weights") / "dinov2.safetensors"
    save_file(drawn(_dinov2.DinoV2(128, 2, 14, 257)), path)
    return path


MAPS = {
    "pixels": (features.pixels(), 64),
    "pca": (features.pca(DIGITS, components=20), 20),
    "whitened": (features.pca(DIGITS, components=20, whiten=True), 20),
    "random": (features.random_convolution(width=8, grid=2, batch=3), 2 * 3 * 8 * 4),
    "classifier": (features.classifier("digits"), 64),
}


@pytest.mark.parametrize("name", MAPS)
def test_a_feature_map_takes_each_image_by_itself(name):
    feature_map, d = MAPS[name]
    x = DIGITS[:11]
    found = feature_map(x)
    assert found.shape == (11, d)
    assert found.dtype == torch.float32
    assert found.device == x.device
    assert torch.equal(found, feature_map(x.clone()))
    close = {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(torch.cat([feature_map(x[:1]), feature_map(x[1:])]), found, **close)
    torch.testing.assert_close(feature_map(x.double()), found, **close)
    torch.testing.assert_close(feature_map(x.flip(0)).flip(0), found, **close)
    assert feature_map(x.half()).dtype == torch.float32


@pytest.mark.parametrize("name", MAPS)
def test_a_feature_map_refuses_what_is_no_batch_of_images(name):
    feature_map, _ = MAPS[name]
    with pytest.raises(ValueError, match=r"images must have shape \(n, C, H, W\), got \(8, 8\)"):
        feature_map(DIGITS[0, 0])
    with pytest.raises(ValueError, match="images must be finite"):
        feature_map(DIGITS[:1] * math.nan)
    with pytest.raises(ValueError, match="images must hold at least one example"):
        feature_map(DIGITS[:0])


@pytest.mark.parametrize("name", ["pca", "whitened", "classifier"])
def test_a_map_made_for_one_shape_takes_no_other(name):
    with pytest.raises(ValueError, match=r"images must have shape \(n, 1, 8, 8\)"):
        MAPS[name][0](torch.zeros(2, 1, 28, 28))


def test_pixels_are_the_pixels():
    assert torch.equal(features.pixels()(DIGITS), DIGITS.reshape(-1, 64))


@pytest.mark.parametrize("n", [20, 500])
def test_principal_components_are_those_of_scikit_learn(n):
    """Up to sign, fewer images than pixels and more."""
    x = DIGITS[:n]
    found = features.pca(x, components=10)(DIGITS[-30:]).double().numpy()
    other = PCA(10, svd_solver="full").fit(x.flatten(1).double().numpy())
    expected = other.transform(DIGITS[-30:].flatten(1).double().numpy())
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=2e-5)


def test_whitened_components_have_unit_covariance_by_n():
    rank = 61  # three pixels of digits never change
    z = features.pca(DIGITS, components=rank, whiten=True)(DIGITS).double()
    torch.testing.assert_close(z.mean(0), torch.zeros(rank).double(), atol=1e-4, rtol=0)
    eye = torch.eye(rank).double()
    torch.testing.assert_close(z.T @ z / len(z), eye, atol=2e-4, rtol=0)
    with pytest.raises(ValueError, match=r"components must be at most the rank .* 61, got 62"):
        features.pca(DIGITS, components=62)


def test_the_rank_of_equal_images_is_zero():
    with pytest.raises(ValueError, match="rank of the covariance, 0, got 1"):
        features.pca(DIGITS[:1].expand(5, -1, -1, -1), components=1)


def statistics_directly(x, width, layers, grid, seed):
    """Random convolutions of one image in float64, pixel by pixel."""
    generator = torch.Generator().manual_seed(seed)
    pooled, found = x.double().numpy(), []
    for _ in range(layers):
        c, h, w = pooled.shape
        weight = torch.randn(width, c, 3, 3, generator=generator).double().numpy()
        weight *= math.sqrt(2 / (9 * c))
        bias = torch.randn(width, generator=generator).double().numpy() / 2
        out = np.zeros((width, h, w))
        for i in range(h):
            for j in range(w):
                rows = np.clip([i - 1, i, i + 1], 0, h - 1)
                columns = np.clip([j - 1, j, j + 1], 0, w - 1)
                patch = pooled[:, rows][:, :, columns]
                out[:, i, j] = np.maximum((weight * patch).sum((1, 2, 3)) + bias, 0)
        ends = [[(a * s // grid, -(-(a + 1) * s // grid)) for a in range(grid)] for s in (h, w)]
        cells = [[out[:, a:b, e:f] for e, f in ends[1]] for a, b in ends[0]]
        for power, root in ((1, 1.0), (2, 0.5)):
            stack = np.array([[(cell**power).mean((1, 2)) ** root for cell in r] for r in cells])
            found.append(stack.transpose(2, 0, 1).ravel())
        halves = [[slice(2 * a, 2 * a + 2) for a in range(-(-s // 2))] for s in (h, w)]
        pooled = np.array([[out[:, a, b].mean((1, 2)) for b in halves[1]] for a in halves[0]])
        pooled = pooled.transpose(2, 0, 1)
    return np.concatenate(found)


@given(
    st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.integers(1, 3)
)
def test_random_convolutions_against_a_direct_sum(c, h, w, layers, grid):
    x = torch.randn(2, c, h, w, generator=torch.Generator().manual_seed(h * 10 + w))
    found = features.random_convolution(width=3, layers=layers, grid=grid, seed=5)(x)
    expected = [statistics_directly(image, 3, layers, grid, 5) for image in x]
    np.testing.assert_allclose(found.numpy(), expected, rtol=2e-4, atol=2e-4)


def test_random_convolutions_depend_on_their_seed_and_look_away_from_places():
    x = torch.full((2, 1, 64, 64), -1.0)
    x[0, :, 30:33, 28:31] = 1
    x[1, :, 34:37, 32:35] = 1  # moved by the stride of the last layer, away from borders
    z = features.random_convolution()(x)
    torch.testing.assert_close(z[0], z[1])
    assert not torch.allclose(z, features.random_convolution(seed=1)(x))
    halves = features.random_convolution(grid=2)(x)
    assert not torch.allclose(halves[0], halves[1], rtol=0.1)


@pytest.mark.parametrize("argument", ["width", "layers", "grid", "batch"])
def test_random_convolutions_refuse_empty_sizes(argument):
    with pytest.raises(ValueError, match=f"{argument} must be an integer >= 1, got 0"):
        features.random_convolution(**{argument: 0})


# The classifiers that the package ships


def recorded(name):
    record = json.loads((ROOT / "results" / "classifier" / "metrics.json").read_text())
    units = [u for u in record["units"] if (u["variant"], u["seed"]) == (name, 0)]
    return units[0]["metrics"]


@pytest.mark.parametrize("name", NAMES)
def test_shipped_weights_are_those_of_the_recorded_run(name):
    state = load_file(_network_features.WEIGHTS / f"classifier_{name}.safetensors")
    assert training.fingerprint(state) == recorded(name)["sha256"]


@pytest.mark.parametrize("name", NAMES)
def test_shipped_weights_classify_held_out_images_as_recorded(name):
    folder = os.environ.get("DIFFUSION_CREATIVITY_DATA", "")
    raw = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}.get(name)
    if raw and not (Path(folder) / raw / "raw").is_dir():
        pytest.skip(f"needs {raw} in $DIFFUSION_CREATIVITY_DATA")
    test, row = training.part(name, "test"), recorded(name)
    assert len(test) == row["test_images"]
    n = min(len(test), 1000)
    correct = features.classifier(name).logits(test.x[:n]).argmax(1) == test.labels[:n]
    # all of digits, where rounding may change one image; else five standard errors of 1,000 images
    share = row["accuracy"]
    bound = 1 / n if n == len(test) else 5 * math.sqrt(share * (1 - share) / n)
    assert correct.double().mean().item() == pytest.approx(share, abs=bound + 1e-9)
    assert row["accuracy_low"] > {"digits": 0.95, "mnist": 0.99, "fashion_mnist": 0.9}[name]


def test_digits_held_out_are_not_trained_on():
    train, test = (training.part("digits", split).x.flatten(1) for split in ("train", "test"))
    assert (len(train), len(test)) == (1437, 360)
    assert torch.cdist(test, train).min() > 0
    both = torch.cat([train, test]).sum(0)
    torch.testing.assert_close(both, DIGITS.flatten(1).sum(0), rtol=1e-4, atol=1e-2)


def test_weights_of_the_package_are_small():
    assert sum(path.stat().st_size for path in _network_features.WEIGHTS.iterdir()) <= 1_000_000


def test_the_classifier_reads_its_logits_off_the_features():
    feature_map = features.classifier("digits")
    z = feature_map(DIGITS[:50])
    assert (z >= 0).all()
    logits = torch.nn.functional.linear(
        z, feature_map.network.head.weight, feature_map.network.head.bias
    )
    torch.testing.assert_close(feature_map.logits(DIGITS[:50]), logits)


def test_unknown_classifiers():
    with pytest.raises(ValueError, match=r"name must be one of digits, .*, got 'cats'"):
        features.classifier("cats")


# Networks from a file of the reader's. The expected values were computed once with the weights
# and images that `drawn` and `picture` give, by pytorch-fid 0.3.0 and by timm 1.0.31.


def test_inception_is_that_of_pytorch_fid(inception_file):
    z = features.inception(inception_file)(picture(2, 3, 40, 32))
    assert z.shape == (2, 2048)
    assert z.dtype == torch.float32
    expected = [0.07765145599842072, 0.3256027400493622, 5.364497184753418]
    torch.testing.assert_close(z[0, [500, 1000, 2047]], torch.tensor(expected), rtol=1e-4, atol=0)
    means = torch.tensor([1.2919588088989258, 1.2923922538757324])
    torch.testing.assert_close(z.mean(1), means, rtol=1e-5, atol=0)


def test_inception_has_the_published_number_of_weights():
    """23,834,568 in all (Szegedy et al.'s v3 in torchvision), of which 2,049,000 classify."""
    with torch.device("meta"):
        network = _inception.Inception()
    assert sum(p.numel() for p in network.parameters()) == 23_834_568 - 2_049_000


def test_dinov2_is_that_of_timm(dinov2_file):
    z = features.dinov2(dinov2_file)(picture(2, 1, 40, 32))
    expected = [
        [-1.423888921737671, -0.24168066680431366, 0.7756178975105286, -0.5713852047920227],
        [-1.4795118570327759, 0.04561314359307289, 1.0170388221740723, -0.5985130071640015],
    ]
    torch.testing.assert_close(z[:, [0, 30, 60, 127]], torch.tensor(expected), rtol=1e-4, atol=1e-5)


def test_grey_is_repeated_and_batches_do_not_matter(dinov2_file):
    x = picture(3, 1, 20, 20)
    z = features.dinov2(dinov2_file)(x)
    colour = features.dinov2(dinov2_file, batch=1)(x.expand(-1, 3, -1, -1))
    torch.testing.assert_close(colour, z, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="images must have 1 or 3 channels"):
        features.dinov2(dinov2_file)(x.expand(-1, 2, -1, -1))


def test_positions_are_resized_smoothly():
    """Positions linear in the place stay linear, at the middles of the new patches."""
    network = _dinov2.DinoV2(64, 1, 14, 1 + 37**2)
    ramp = torch.arange(37.0)
    grid = torch.zeros(64, 37, 37)
    grid[0], grid[1] = ramp[:, None], ramp[None]
    network.pos_embed.data[0, 1:] = grid.flatten(1).T
    found = network._positions(16)[0, 1:].T.unflatten(1, (16, 16)).detach()
    middles = (torch.arange(16) + 0.5) * 37 / 16.1 - 0.5
    inner = slice(1, 14)  # cubic interpolation bends at the border
    torch.testing.assert_close(found[0, inner, 3], middles[inner], atol=0.05, rtol=0)
    torch.testing.assert_close(found[1, 3, inner], middles[inner], atol=0.05, rtol=0)
    torch.testing.assert_close(network._positions(37), network.pos_embed)


def test_resizing_is_antialiased():
    """A board of single pixels becomes grey, and does not alias."""
    board = ((torch.arange(1024)[:, None] + torch.arange(1024)) % 2 * 2.0 - 1)[None, None]
    small = _network_features._colour(board, 100)
    assert small.shape == (1, 3, 100, 100)
    assert small.abs().max() < 0.05


def test_files_that_are_not_read(tmp_path, inception_file, dinov2_file):
    with pytest.raises(ValueError, match="there is none at"):
        features.inception(tmp_path / "missing.safetensors")
    for name, legacy in (("zip.pth", True), ("pickle.pth", False)):
        torch.save({"a": torch.zeros(1)}, tmp_path / name, _use_new_zipfile_serialization=legacy)
        with pytest.raises(ValueError, match="a pickle or TorchScript archive") as refused:
            features.inception(tmp_path / name)
        assert "weights_only=True" in str(refused.value)
    part = tmp_path / "part.safetensors"
    part.write_bytes(dinov2_file.read_bytes()[:-1])
    with pytest.raises(ValueError, match="no whole safetensors file"):
        features.dinov2(part)
    with pytest.raises(ValueError, match="lacks 470 of 564 tensors, such as 'Conv2d_1a"):
        features.inception(dinov2_file)
    with pytest.raises(ValueError, match="must hold DINOv2's weights under its authors' names"):
        features.dinov2(inception_file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"norm.weight": None}, "lacks 1 of .* such as 'norm.weight'"),
        ({"norm.weight": torch.zeros(3)}, r"norm.weight .* must have shape \(128,\), got \(3,\)"),
        ({"norm.weight": torch.full((128,), math.nan)}, "norm.weight .* must be finite"),
        ({"register_tokens": torch.zeros(1, 4, 128)}, "without registers"),
        ({"blocks.0.mlp.w12.weight": torch.zeros(2, 2)}, "without the giant size"),
    ],
)
def test_weights_that_do_not_fit(tmp_path, dinov2_file, change, message):
    state = load_file(dinov2_file) | change
    path = tmp_path / "changed.safetensors"
    save_file({k: v for k, v in state.items() if v is not None}, path)
    with pytest.raises(ValueError, match=message):
        features.dinov2(path)


def test_a_converted_file_is_read(tmp_path, dinov2_file):
    """By the three lines that the docstring and the error give."""
    state = load_file(dinov2_file)
    torch.save(state, tmp_path / "weights.pth")
    loaded = torch.load(tmp_path / "weights.pth", map_location="cpu", weights_only=True)
    path = tmp_path / "half.safetensors"
    save_file({key: value.contiguous().half() for key, value in loaded.items()}, path)
    x = picture(1, 3, 30, 30)
    near = {"rtol": 0.05, "atol": 0.05}  # float16 keeps three digits
    torch.testing.assert_close(features.dinov2(path)(x), features.dinov2(dinov2_file)(x), **near)
