"""A UNet in one file: every design choice is a named switch of `UNetConfig`."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._unet_checks import check


@dataclass(frozen=True)
class UNetConfig:
    """The design of a `UNet`; what cannot be built raises ValueError with the reason.

    Resolutions are named by their side in pixels: `side`, `side` / 2, …, `side` / 2**depth.
    """

    channels: int = 1  # of the image
    side: int = 32  # of the images it is made for: it names the resolutions
    depth: int = 3  # how often the side is halved on the way down
    widths: tuple[int, ...] = (32, 96, 96, 64)  # channels at each of the depth + 1 resolutions
    blocks: int | tuple[int, ...] = 1  # residual blocks at a resolution, down and again up
    bottleneck: int | None = None  # channels through the lowest resolution; None: its width
    skips: str | tuple[int, ...] = "all"  # "all", "none", or the sides that have one
    combine: str = "sum"  # how a skip joins the way up: "sum" or "concatenate"
    kernel: int = 3  # side of the convolutions, odd
    padding: str = "zeros"  # what lies beyond the border: "zeros", "circular" or "reflect"
    down: str = "stride"  # halving: "stride", "average", "max" or "unshuffle"
    up: str = "nearest"  # doubling: "nearest", "bilinear" or "transposed"
    norm: str = "group"  # "group" (over all pixels), "pixel" (each alone), "batch" or "none"
    groups: int = 4  # of channels in "group"; the greatest common divisor with the width
    attention: tuple[int, ...] = ()  # sides at which every block attends to all pixels
    heads: int = 4  # of attention; the greatest common divisor with the width
    activation: str = "silu"  # "silu", "relu", "identity", "square" (overflows without norm)
    conditioning: str = "film"  # on the noise: "film", "concatenate" (a channel) or "none"
    embedding: int = 64  # numbers that tell "film" the noise level
    bias: bool = True  # False: nothing is added anywhere, in norms and "film" neither

    def __post_init__(self) -> None:
        for name in ("widths", "blocks", "skips", "attention"):
            if isinstance(getattr(self, name), list):  # as JSON returns them
                object.__setattr__(self, name, tuple(getattr(self, name)))
        check(self)

    @property
    def sides(self) -> tuple[int, ...]:
        """The resolutions, from `side` down."""
        return tuple(self.side // 2**i for i in range(self.depth + 1))

    @property
    def blocks_at(self) -> tuple[int, ...]:
        """Blocks at each resolution, on each way."""
        one = isinstance(self.blocks, int)
        return (self.blocks,) * (self.depth + 1) if one else self.blocks

    @property
    def skip_sides(self) -> tuple[int, ...]:
        """The resolutions that have a skip."""
        named = {"all": self.sides[:-1], "none": ()}
        return named.get(self.skips, self.skips) if isinstance(self.skips, str) else self.skips


class UNet(nn.Module):
    """A network ``F(x, noise_label)`` from images to images of the same shape.

    ``stem → [blocks, halve] * depth → blocks, bottleneck, blocks → [double, skip, blocks] * depth
    → head``. Every block's last layer and the head start at zero, so a new network returns zeros.
    Any side divisible by 2**depth is taken, not `config.side` alone. The weights lie in the
    channels-last order, in which convolutions are fastest.
    """

    def __init__(self, config: UNetConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or UNetConfig()
        joins = [s in c.skip_sides and c.combine == "concatenate" for s in c.sides]
        self.noise = _Noise(c)
        self.stem = _conv(c, c.channels + (c.conditioning == "concatenate"), c.widths[0])
        self.encoder = nn.ModuleList(_stage(c, i) for i in range(c.depth + 1))
        self.down = nn.ModuleList(_down(c, i) for i in range(c.depth))
        self.bottleneck = _bottleneck(c)
        self.decoder = nn.ModuleList(_stage(c, i, joins[i]) for i in range(c.depth + 1))
        self.up = nn.ModuleList(_up(c, i) for i in range(c.depth))
        last = _zero(_conv(c, c.widths[0], c.channels))
        self.head = nn.Sequential(_norm(c, c.widths[0]), _activation(c), last)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, noise_label: Tensor) -> Tensor:
        """Map x (B, C, H, W) and one number per image, noise_label (B,), to a tensor like x."""
        self._check(x, noise_label)
        films = self.noise.films(noise_label)
        h = self.stem(self.noise.append(x, noise_label))
        h = h.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)  # channels last, also in vmap
        passed = {}
        for i, stage in enumerate(self.encoder):
            for block in stage:
                h = block(h, next(films))
            if i < self.config.depth:
                passed[i] = h
                h = self.down[i](h)
        h = self.bottleneck(h)
        for i in reversed(range(self.config.depth + 1)):
            if i < self.config.depth:
                h = self._join(self.up[i](h), passed[i], self.config.sides[i])
            for block in self.decoder[i]:
                h = block(h, next(films))
        return self.head(h)

    def _join(self, h: Tensor, skip: Tensor, side: int) -> Tensor:
        if side not in self.config.skip_sides:
            return h
        return h + skip if self.config.combine == "sum" else torch.cat([h, skip], 1)

    def _check(self, x: Tensor, noise_label: Tensor) -> None:
        c, factor = self.config, 2**self.config.depth
        if x.ndim != 4 or x.shape[1] != c.channels or x.shape[2] % factor or x.shape[3] % factor:
            raise ValueError(f"x must have shape (B, {c.channels}, H, W) with H and W divisible "
                             f"by 2**depth = {factor}, got {tuple(x.shape)}")  # fmt: skip
        if noise_label.shape != x.shape[:1]:
            raise ValueError(
                f"noise_label must have shape ({len(x)},), got {tuple(noise_label.shape)}"
            )


class _Block(nn.Module):
    """``x + conv(act(film(norm(conv(act(norm(x)))))))``, then attention where it is wanted."""

    def __init__(self, c: UNetConfig, inside: int, outside: int, attends: bool) -> None:
        super().__init__()
        self.activation = _activation(c)
        self.norm1, self.conv1 = _norm(c, inside), _conv(c, inside, outside)
        self.norm2, self.conv2 = _norm(c, outside), _zero(_conv(c, outside, outside))
        self.shortcut = nn.Identity() if inside == outside else _conv(c, inside, outside, 1)
        self.attention = _Attention(c, outside) if attends else nn.Identity()

    def forward(self, x: Tensor, film: tuple[Tensor, ...]) -> Tensor:
        h = self.conv1(self.activation(self.norm1(x)))
        h = _modulate(self.norm2(h), *film)
        return self.attention(self.shortcut(x) + self.conv2(self.activation(h)))


class _Attention(nn.Module):
    """``x + proj(softmax(q kᵀ / √d) v)`` over all pixels of an image."""

    def __init__(self, c: UNetConfig, width: int) -> None:
        super().__init__()
        self.heads = math.gcd(c.heads, width)
        self.norm, self.qkv = _norm(c, width), _conv(c, width, 3 * width, 1)
        self.proj = _zero(_conv(c, width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(self.norm(x)).permute(0, 2, 3, 1).flatten(1, 2)  # (B, HW, 3C)
        q, k, v = qkv.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        h = F.scaled_dot_product_attention(q, k, v)  # (B, heads, HW, C / heads)
        h = h.transpose(1, 2).flatten(2).unflatten(1, x.shape[2:])  # (B, H, W, C)
        return x + self.proj(h.permute(0, 3, 1, 2))


class _Noise(nn.Module):
    """Tells the network the noise level, as `conditioning` says.

    "film" (:cite:t:`perez2018film`) turns waves of the label into a factor and, with bias, a shift
    for each channel of each block: one matrix product for all blocks.
    """

    def __init__(self, c: UNetConfig) -> None:
        super().__init__()
        self.kind, self.parts = c.conditioning, 1 + c.bias
        self.widths = [w for w, n in zip(c.widths, c.blocks_at, strict=True) for _ in range(n)]
        self.widths += self.widths[::-1]  # down and up
        if self.kind == "film":
            # ln σ / 4 spans about 3 units: from an eighth of a wave to four waves in each.
            self.register_buffer("waves", 2 * math.pi * torch.logspace(-3, 2, 16, base=2))
            self.embed = nn.Sequential(nn.Linear(32, c.embedding), nn.SiLU())
            self.film = nn.Linear(c.embedding, self.parts * sum(self.widths))

    def films(self, noise_label: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """Factor and shift (B, width, 1, 1) for each block in turn; nothing without "film"."""
        if self.kind != "film":
            return iter([()] * len(self.widths))
        angle = noise_label[:, None].to(self.waves.dtype) * self.waves
        embedded = self.embed(torch.cat([angle.cos(), angle.sin()], 1).to(self.film.weight.dtype))
        each = self.film(embedded)[:, :, None, None].split([self.parts * w for w in self.widths], 1)
        return iter([e.chunk(self.parts, 1) for e in each])

    def append(self, x: Tensor, noise_label: Tensor) -> Tensor:
        """Append the label to x as a constant channel if `conditioning` is "concatenate"."""
        if self.kind != "concatenate":
            return x
        plane = noise_label.to(x.dtype)[:, None, None, None].expand(-1, 1, *x.shape[2:])
        return torch.cat([x, plane], 1)


def _modulate(h: Tensor, factor: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
    if factor is None:
        return h
    return h * (1 + factor) if shift is None else torch.addcmul(shift, h, 1 + factor)


def _conv(c: UNetConfig, inside: int, outside: int, kernel: int | None = None, stride: int = 1):
    kernel = kernel or c.kernel
    mode = c.padding if kernel > 1 else "zeros"  # nothing to pad: saves a copy
    kind = _CircularConv if mode == "circular" else nn.Conv2d
    return kind(inside, outside, kernel, stride, kernel // 2, padding_mode=mode, bias=c.bias)


def _zero(conv: nn.Conv2d) -> nn.Conv2d:
    for parameter in conv.parameters():
        nn.init.zeros_(parameter)
    return conv


def _stage(c: UNetConfig, i: int, joined: bool = False) -> nn.ModuleList:
    width, n = c.widths[i], c.blocks_at[i]
    inside = [width * (1 + joined), *[width] * n][:n]  # the first block takes the skip in
    return nn.ModuleList(_Block(c, w, width, c.sides[i] in c.attention) for w in inside)


def _bottleneck(c: UNetConfig) -> nn.Module:
    if c.bottleneck is None:
        return nn.Identity()
    width, narrow = c.widths[-1], c.bottleneck
    return nn.Sequential(_conv(c, width, narrow, 1), _conv(c, narrow, width, 1))


def _down(c: UNetConfig, i: int) -> nn.Module:
    inside, outside = c.widths[i], c.widths[i + 1]
    if c.down == "stride":
        return _conv(c, inside, outside, stride=2)
    if c.down == "unshuffle":
        return nn.Sequential(nn.PixelUnshuffle(2), _conv(c, 4 * inside, outside, 1))
    pool = nn.AvgPool2d(2) if c.down == "average" else nn.MaxPool2d(2)
    return nn.Sequential(pool, _conv(c, inside, outside, 1))


def _up(c: UNetConfig, i: int) -> nn.Module:
    inside, outside = c.widths[i + 1], c.widths[i]
    if c.up == "transposed":
        return nn.ConvTranspose2d(inside, outside, 2, stride=2, bias=c.bias)
    grow = nn.UpsamplingNearest2d(scale_factor=2) if c.up == "nearest" else _Bilinear(c.padding)
    return nn.Sequential(_conv(c, inside, outside, 1), grow)  # fewer pixels first: cheaper


class _CircularConv(nn.Conv2d):
    """`nn.Conv2d` on a torus; its own circular padding leaves the channels-last order."""

    def forward(self, x: Tensor) -> Tensor:
        p = self.kernel_size[0] // 2
        x = torch.cat([x[..., -p:], x, x[..., :p]], 3)
        x = torch.cat([x[..., -p:, :], x, x[..., :p, :]], 2)
        return F.conv2d(x, self.weight, self.bias, self.stride)


class _Bilinear(nn.Module):
    """Doubles the side; beyond the border lies what the padding says."""

    def __init__(self, padding: str) -> None:
        super().__init__()
        self.mode = "constant" if padding == "zeros" else padding

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (1, 1, 1, 1), self.mode)
        return F.interpolate(x, scale_factor=2, mode="bilinear")[..., 2:-2, 2:-2]


class _PixelNorm(nn.LayerNorm):
    """Layer norm over the channels of each pixel: no pixel learns of another."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class _Square(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.square()


def _norm(c: UNetConfig, width: int) -> nn.Module:
    if c.norm == "none":
        return nn.Identity()
    norm = {
        "group": lambda: nn.GroupNorm(math.gcd(c.groups, width), width),
        "pixel": lambda: _PixelNorm(width),
        "batch": lambda: nn.BatchNorm2d(width),
    }[c.norm]()
    if not c.bias:
        norm.bias = None
    return norm


def _activation(c: UNetConfig) -> nn.Module:
    kinds = {"silu": nn.SiLU, "relu": nn.ReLU, "identity": nn.Identity, "square": _Square}
    return kinds[c.activation]()
