"""Feature maps that are trained networks: shipped with the package, or from the reader's file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from .. import _validate
from . import _dinov2, _inception, _weights
from ._cnn import SmallCNN

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
SHAPES = {"digits": (1, 8, 8), "fashion_mnist": (1, 28, 28), "mnist": (1, 28, 28)}


@dataclass(frozen=True, eq=False)
class NetworkFeatures:
    """The features of a network, computed in batches; its weights follow the images' device."""

    network: nn.Module
    prepare: Callable[[Tensor], Tensor]  # images (n, C, H, W) in [-1, 1] to the network's input
    shape: Sequence[int] | None = None  # the images must have it, where it is given
    batch: int = 500

    def __call__(self, images: Tensor) -> Tensor:
        """Return the features (n, d)."""
        return self._apply(self.network.features, images)

    def logits(self, images: Tensor) -> Tensor:
        """Return the classifier's logits (n, classes); other networks have none."""
        return self._apply(self.network, images)

    @torch.no_grad()
    def _apply(self, function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        images = check_images(images, shape=self.shape)
        self.network.to(images.device)
        parts = images.split(self.batch)
        return torch.cat([function(self.prepare(part.float())) for part in parts])


def classifier(name: str) -> NetworkFeatures:
    """Return the penultimate layer, d = 64, of a small CNN that the package brings along.

    ``name`` is the set on which it was trained, "digits", "mnist" or "fashion_mnist"; images must
    have the shape of that set, (1, 8, 8) or (1, 28, 28). ``classifier(name).logits(images)`` gives
    the ten classes' logits. The experiment "classifier" trains the weights and states their
    accuracy. It sees what tells the classes apart and may ignore the rest; on images of another
    kind it says nothing sure.
    """
    if name not in SHAPES:
        raise ValueError(f"name must be one of {', '.join(SHAPES)}, got {name!r}")
    path = WEIGHTS / f"classifier_{name}.safetensors"
    state = _weights.read(path)
    with torch.device("meta"):
        network = SmallCNN(
            SHAPES[name][0], len(state["head.bias"]), len(state["head.weight"].T) // 4
        )
    network = _weights.fill(network, state, path)
    return NetworkFeatures(network, lambda x: x, SHAPES[name])


def inception(path: str | Path, *, batch: int = 50) -> NetworkFeatures:
    """Return the last mean of Inception v3, d = 2,048, as in the Fréchet Inception distance.

    Images of any size, grey or colour, are resized to 299×299 (antialiased bilinear), grey repeated
    to three channels. For images up to that size this is the preprocessing of ``pytorch-fid``;
    values from other preprocessing do not compare. It sees what tells ImageNet's classes apart:
    texture above all (Heusel et al. 2017, arXiv:1706.08500).

    Parameters
    ----------
    path
        A safetensors file with the weights of ``pt_inception-2015-12-05-6726825d.pth``, the state
        that ``pytorch-fid`` publishes, under its names (those of torchvision's Inception v3); what
        classifies (``fc.*``, ``AuxLogits.*``) is not read. Once converted by the reader::

            import torch; from safetensors.torch import save_file
            state = torch.load("pt_inception-2015-12-05-6726825d.pth", weights_only=True)
            save_file({key: v.contiguous() for key, v in state.items()}, "inception.safetensors")

        Pickles and TorchScript archives are refused: reading them may run code.
    batch
        Images at once.
    """
    state = _weights.read(path)
    with torch.device("meta"):
        network = _inception.Inception()
    network = _weights.fill(network, state, path)
    batch = _validate.integer("batch", batch, minimum=1)
    return NetworkFeatures(network, lambda x: _colour(x, _inception.SIZE), batch=batch)


def dinov2(path: str | Path, *, batch: int = 50) -> NetworkFeatures:
    """Return the class token of DINOv2: d = 384, 768 or 1,024 for its small, base or large size.

    Images of any size, grey or colour, are resized to 224×224 (antialiased bilinear), grey repeated
    to three channels, colours standardised by ImageNet's. Nearer to what people see than Inception,
    on natural images (Stein et al. 2023, arXiv:2306.04675).

    Parameters
    ----------
    path
        A safetensors file under the authors' names: ``model.safetensors`` of
        ``timm/vit_small_patch14_dinov2.lvd142m`` (base, large) as it is, or the authors'
        ``dinov2_vits14_pretrain.pth`` once converted as in `inception`. Sizes are read from it.
        Not read: variants with registers, and the giant size.
    batch
        Images at once.
    """
    state = _weights.read(path)
    with torch.device("meta"):
        network = _dinov2.for_weights(state)
    network = _weights.fill(network, state, path)
    batch = _validate.integer("batch", batch, minimum=1)
    mean, std = (torch.tensor(c).reshape(3, 1, 1) for c in (_dinov2.MEAN, _dinov2.STD))

    def prepare(x: Tensor) -> Tensor:
        return ((_colour(x, _dinov2.SIZE) + 1) / 2 - mean.to(x)) / std.to(x)

    return NetworkFeatures(network, prepare, batch=batch)


def _colour(x: Tensor, size: int) -> Tensor:
    """Images (n, 3, size, size) from grey or colour ones of any size."""
    if x.shape[1] not in (1, 3):
        raise ValueError(f"images must have 1 or 3 channels, got shape {tuple(x.shape)}")
    x = functional.interpolate(x, (size, size), mode="bilinear", antialias=True)
    return x.expand(-1, 3, -1, -1)


def check_images(
    images: Tensor, name: str = "images", shape: Sequence[int] | None = None
) -> Tensor:
    """Return images (n, C, H, W) as a finite floating tensor."""
    images = _validate.dataset(images, name)
    if images.ndim != 4:
        raise ValueError(f"{name} must have shape (n, C, H, W), got {tuple(images.shape)}")
    if shape is not None and tuple(images.shape[1:]) != tuple(shape):
        raise ValueError(
            f"{name} must have shape (n, {', '.join(map(str, shape))}), got {tuple(images.shape)}"
        )
    return images
