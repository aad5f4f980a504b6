"""From the bytes of an image file to 8-bit pixels, whatever mode the file has."""

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps

from ._files import Unusable

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # none that runs other programs
MAX_PIXELS = 50_000_000  # of one image; a small file can claim many more
BROKEN = (  # what Pillow's readers raise on damaged files
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    TypeError,
    IndexError,
    KeyError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


def decode(raw: bytes) -> Image.Image:
    """Return an image of mode L or RGB, upright, or raise `Unusable`.

    Palettes are looked up; what is transparent is laid on white; 16-bit grey is scaled to 8 bits;
    CMYK and the like become RGB; of an animation the first frame counts; an EXIF orientation is
    applied. Colour profiles are not.
    """
    try:
        image = Image.open(io.BytesIO(raw), formats=FORMATS)
        if image.width * image.height > MAX_PIXELS:
            raise Unusable(f"claims {image.width}×{image.height} pixels, above {MAX_PIXELS:,}")
        image.load()
        return _eight_bit(ImageOps.exif_transpose(image))
    except Image.UnidentifiedImageError as error:
        raise Unusable("not an image of a known format") from error
    except BROKEN as error:
        raise Unusable(f"damaged: {error}") from error


def planes(image: Image.Image, channels: int) -> np.ndarray:
    """Return uint8 of shape (channels, H, W): grey by ITU-R 601, colour of grey by repetition."""
    pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def scaled(image: Image.Image, size: int, box: tuple[int, int, int, int]) -> Image.Image:
    """Return the box (left, top, right, bottom) at size×size, by an antialiased triangle filter."""
    # Cropped first: resize(box=...) would let pixels outside the box into its border.
    return image.crop(box).resize((size, size), Image.Resampling.BILINEAR)


def _eight_bit(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise Unusable("floating-point pixels, whose range is unknown")
    if image.mode == "I" or image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise Unusable("pixels of more than 16 bits")
        return Image.fromarray(((values + 128) // 257).astype(np.uint8))  # 65535 = 255 · 257
    if image.mode.upper() in ("LA", "PA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")
