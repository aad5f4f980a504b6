"""Train the small classifiers whose penultimate layers `metrics.features.classifier` gives out."""

import hashlib
import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..data.images import ImageSet, load
from ..metrics._cnn import SmallCNN
from ..metrics.intervals import wilson
from .registry import Config, Outcome, Unit, experiment

HELD_OUT = 360  # digits has one split: so many of its 1,797 images, drawn by seed 0, are the test


@dataclass(frozen=True)
class ClassifierConfig(Config):
    """Sizes and learning rate."""

    variants: tuple[str, ...] = ("digits", "mnist", "fashion_mnist")
    width: int = 16  # channels of the first stage
    images: int = 300_000  # shown to the network, repeats counted
    batch: int = 128
    rate: float = 3e-3  # the highest learning rate of AdamW, over one cycle
    decay: float = 0.05  # weight decay


@experiment(
    "train the small CNNs whose penultimate layer is a feature map",
    profiles={
        "smoke": ClassifierConfig(variants=("digits",), images=6_000),
        "book": ClassifierConfig(),
    },
    cost={"smoke": "5 s on one CPU core", "book": "8 min on one CPU core"},
)
def classifier(config: ClassifierConfig, unit: Unit) -> Outcome:
    """Train on one set; report the accuracy of the weights as they are shipped, in float16."""
    train, test = (part(unit.variant, split) for split in ("train", "test"))
    classes = int(train.labels.max()) + 1
    network = SmallCNN(train.x.shape[1], classes, config.width)
    network.to(unit.device, memory_format=torch.channels_last)  # a third faster on a CPU
    loss = _train(network, train, config, unit)
    shipped = {name: _half(value) for name, value in network.state_dict().items()}
    network.load_state_dict({name: value.float() for name, value in shipped.items()})
    correct = int((predict(network, test.x) == test.labels).sum())
    accuracy = wilson(correct, len(test))
    return Outcome(
        {
            "accuracy": accuracy.value,
            "accuracy_low": accuracy.low,  # Wilson, 95 %
            "accuracy_high": accuracy.high,
            "test_images": len(test),
            "last_loss": loss,
            "parameters": sum(p.numel() for p in network.parameters()),
            "sha256": fingerprint(shipped),
        },
        tensors=shipped,
    )


def part(name: str, split: str) -> ImageSet:
    """Return the training or test images; those of digits are drawn apart once and for all."""
    if name != "digits":
        return load(name, split)
    every = load("digits")
    order = torch.randperm(len(every), generator=torch.Generator().manual_seed(0))
    chosen = order[HELD_OUT:] if split == "train" else order[:HELD_OUT]
    return replace(every, x=every.x[chosen], labels=every.labels[chosen])


def fingerprint(tensors: dict[str, Tensor]) -> str:
    """Hash of the tensors' names and values."""
    total = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        total.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()


@torch.no_grad()
def predict(network: nn.Module, x: Tensor, batch: int = 1000) -> Tensor:
    """Return the classes (n,) that the network gives to images, on the CPU."""
    network.eval()
    device = next(network.parameters()).device
    return torch.cat([network(part.to(device)).argmax(1).cpu() for part in x.split(batch)])


def _train(network: nn.Module, data: ImageSet, config: ClassifierConfig, unit: Unit) -> float:
    """Train with images shifted by up to one pixel; return the mean loss of the last tenth."""
    steps = math.ceil(config.images / config.batch)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=config.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.rate, total_steps=steps)
    generator = torch.Generator().manual_seed(unit.seed)
    x, labels, losses = data.x, data.labels, []
    order = torch.cat(
        [
            torch.randperm(len(x), generator=generator)
            for _ in range(math.ceil(steps * config.batch / len(x)))
        ]
    )
    network.train()
    for step in range(steps):
        rows = order[step * config.batch : (step + 1) * config.batch]
        images = _shifted(x[rows], generator).to(unit.device)
        loss = functional.cross_entropy(network(images), labels[rows].to(unit.device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.detach())
        unit.progress((step + 1) / steps)
    return float(torch.stack(losses[-max(1, steps // 10) :]).mean())


def _shifted(x: Tensor, generator: torch.Generator) -> Tensor:
    """Shift each image by -1, 0 or 1 pixels each way; the border is repeated."""
    n, _, height, width = x.shape
    padded = functional.pad(x, (1, 1, 1, 1), mode="replicate")
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # (n, C, 3, 3, H, W)
    down, right = torch.randint(3, (2, n), generator=generator)
    return windows[torch.arange(n), :, down, right]


def _half(value: Tensor) -> Tensor:
    return value.detach().cpu().half() if value.is_floating_point() else value.detach().cpu()
