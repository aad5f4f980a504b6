"""The small convolutional classifier whose penultimate layer is a feature map."""

import torch
from torch import Tensor, nn


class SmallCNN(nn.Module):
    """Three stages of two 3×3 convolutions, at full, half and quarter size; then two linear layers.

    ``forward`` takes images (n, channels, H, W) in [-1, 1] to logits (n, classes), ``features`` to
    the penultimate layer (n, 4 · width), after its ReLU. A mean over positions comes before it, so
    that any H, W >= 4 will do.
    """

    def __init__(self, channels: int = 1, classes: int = 10, width: int = 16) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *_stage(channels, width),
            nn.MaxPool2d(2),
            *_stage(width, 2 * width),
            nn.MaxPool2d(2),
            *_stage(2 * width, 4 * width),
        )
        self.penultimate = nn.Linear(4 * width, 4 * width)
        self.head = nn.Linear(4 * width, classes)

    def features(self, x: Tensor) -> Tensor:
        """Return the penultimate layer (n, 4 · width)."""
        return torch.relu(self.penultimate(self.trunk(x).mean((2, 3))))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (n, classes)."""
        return self.head(self.features(x))


def _stage(inputs: int, outputs: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        convolution = nn.Conv2d(channels, outputs, 3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]
    return layers
