"""The vision transformer of DINOv2, with the names of weights that its authors and timm share.

Oquab et al. 2023, arXiv:2304.07193.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

SIZE = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, for colours in [0, 1]
HEAD = 64  # dimensions of an attention head, in every size of the network


class Block(nn.Module):
    """Attention, then a perceptron, each added to its input with a learnt scale."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = nn.ModuleDict(
            {"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)}
        )
        self.ls1 = _scale(width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.ModuleDict(
            {"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)}
        )
        self.ls2 = _scale(width)

    def forward(self, x: Tensor) -> Tensor:
        """Apply to tokens (n, t, width)."""
        x = x + self.ls1["gamma"] * self._attend(self.norm1(x))
        hidden = functional.gelu(self.mlp["fc1"](self.norm2(x)))
        return x + self.ls2["gamma"] * self.mlp["fc2"](hidden)

    def _attend(self, x: Tensor) -> Tensor:
        n, t, width = x.shape
        qkv = self.attn["qkv"](x).reshape(n, t, 3, width // HEAD, HEAD)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (n, heads, t, HEAD)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        return self.attn["proj"](mixed.transpose(1, 2).reshape(n, t, width))


def _scale(width: int) -> nn.ParameterDict:
    return nn.ParameterDict({"gamma": nn.Parameter(torch.ones(width))})


class DinoV2(nn.Module):
    """Images (n, 3, 224, 224), standardised by ImageNet's colours, to the class token's width."""

    def __init__(self, width: int, depth: int, patch: int, positions: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, positions, width))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, patch, patch)})
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def features(self, x: Tensor) -> Tensor:
        """Return the normalised class token (n, width)."""
        patches = self.patch_embed["proj"](x)
        tokens = patches.flatten(2).mT
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), tokens], 1)
        tokens = tokens + self._positions(patches.shape[-1])
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens[:, 0])

    def _positions(self, side: int) -> Tensor:
        """Positions for side × side patches, resized as the authors do (0.1 against rounding)."""
        first, grid = self.pos_embed[:, :1], self.pos_embed[:, 1:]
        trained = math.isqrt(grid.shape[1])
        if side == trained:
            return self.pos_embed
        grid = grid.mT.unflatten(2, (trained, trained))
        scale = (side + 0.1) / trained
        grid = functional.interpolate(grid, scale_factor=(scale, scale), mode="bicubic")
        return torch.cat([first, grid.flatten(2).mT], 1)


def for_weights(state: dict[str, Tensor]) -> DinoV2:
    """Return the network, empty, whose sizes are those of the weights."""
    proj, positions = state.get("patch_embed.proj.weight"), state.get("pos_embed")
    if proj is None or positions is None or proj.ndim != 4 or positions.ndim != 3:
        raise ValueError(
            "path must hold DINOv2's weights under its authors' names (patch_embed.proj.weight, "
            f"pos_embed, …), got {', '.join(sorted(state)[:3])}, …"
        )
    for name, what in (("register_tokens", "registers"), ("reg_token", "registers"),
                       ("blocks.0.mlp.w12.weight", "the giant size")):  # fmt: skip
        if name in state:
            raise ValueError(f"path must hold DINOv2 without {what}, got a file with {name!r}")
    depth = len({key.split(".")[1] for key in state if key.startswith("blocks.")})
    return DinoV2(proj.shape[0], depth, proj.shape[-1], positions.shape[1])
