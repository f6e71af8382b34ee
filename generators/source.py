"""Pictures from outside: judged by their headers before a pixel is decoded, then made plain RGB.

Used by the engines and by whoever accepts an upload, so both refuse the same files. A name or declared type is
never believed: the content says what a file is.
"""

from __future__ import annotations

import io
import warnings
from typing import Literal

import msgspec
from PIL import Image, ImageOps, UnidentifiedImageError

BYTES_MAX = 32 * 1024 * 1024
PIXELS_MAX = 40_000_000  # a 40-megapixel photo is 120 MB as RGB
SIDE_MIN = 8
_OPAQUE = 128  # of alpha, from here on

Reason = Literal[
    "too_large_bytes",
    "too_many_pixels",
    "too_small",
    "not_a_picture",
    "format_not_allowed",
    "truncated",
]

_MEDIA_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}


class SourceRefused(Exception):
    """A picture that cannot be used; `reason` is for programs, the text says what to do next."""

    def __init__(self, reason: Reason, sentence: str) -> None:
        super().__init__(sentence)
        self.reason: Reason = reason


class SourceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What the header says; the size is as a viewer shows it, so after EXIF orientation."""

    width: int
    height: int
    media_type: str


def inspect(data: bytes, *, bytes_max: int = BYTES_MAX, pixels_max: int = PIXELS_MAX) -> SourceInfo:
    """Judge a picture by its header alone. Raises `SourceRefused`."""
    picture = _opened(data, bytes_max=bytes_max, pixels_max=pixels_max)
    width, height = picture.size
    if _lies_sideways(picture):
        width, height = height, width
    return SourceInfo(width=width, height=height, media_type=_MEDIA_TYPES[str(picture.format)])


def decode(data: bytes, *, bytes_max: int = BYTES_MAX, pixels_max: int = PIXELS_MAX) -> Image.Image:
    """The first frame as RGB, upright, transparency on white. Raises `SourceRefused`."""
    return _flat(_upright(_opened(data, bytes_max=bytes_max, pixels_max=pixels_max)))


def is_cut_out(data: bytes, *, bytes_max: int = BYTES_MAX, pixels_max: int = PIXELS_MAX) -> bool:
    """Whether a part of it is transparent, so that `cut_out` finds a mask. Raises `SourceRefused`."""
    whole = _upright(_opened(data, bytes_max=bytes_max, pixels_max=pixels_max))
    return whole.has_transparency_data and any(_alpha(whole).histogram()[:_OPAQUE])


def cut_out(data: bytes) -> tuple[Image.Image, Image.Image]:
    """A picture as `decode` has it, and its mask: white where it is transparent. Raises `SourceRefused`."""
    layered = _upright(_opened(data, bytes_max=BYTES_MAX, pixels_max=PIXELS_MAX)).convert("RGBA")
    return _flat(layered), _alpha(layered).point([255] * _OPAQUE + [0] * (256 - _OPAQUE))


def _opened(data: bytes, *, bytes_max: int, pixels_max: int) -> Image.Image:
    """Pillow reads only the header here: no pixel is decoded before the size is known to be bearable."""
    if len(data) > bytes_max:
        raise SourceRefused(
            "too_large_bytes",
            f"The picture is larger than {bytes_max // 1024 // 1024} MiB. Send a smaller one.",
        )
    picture = _identified(data)
    if picture.width * picture.height > pixels_max:
        raise SourceRefused(
            "too_many_pixels",
            f"The picture has more than {pixels_max // 1_000_000} megapixels. Scale it down.",
        )
    if min(picture.size) < SIDE_MIN:
        raise SourceRefused("too_small", f"The picture is smaller than {SIDE_MIN} pixels. Send a larger one.")
    return picture


def _upright(picture: Image.Image) -> Image.Image:
    try:
        picture.load()
        return ImageOps.exif_transpose(picture)
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
        raise SourceRefused(
            "truncated", "The picture is damaged or incomplete. Please send it again."
        ) from error


def _identified(data: bytes) -> Image.Image:
    try:
        with warnings.catch_warnings():  # Pillow's own bomb warning: our bound is stricter
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(io.BytesIO(data), formats=tuple(_MEDIA_TYPES))
    except Image.DecompressionBombError as error:
        raise SourceRefused("too_many_pixels", "The picture has too many pixels. Scale it down.") from error
    except UnidentifiedImageError as error:
        raise _unidentified(data) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise SourceRefused(
            "truncated", "The picture is damaged or incomplete. Please send it again."
        ) from error


def _unidentified(data: bytes) -> SourceRefused:
    if data[:3] in (b"GIF", b"BM\x00") or data[:4] in (b"II*\0", b"MM\0*", b"%PDF") or data[4:8] == b"ftyp":
        return SourceRefused("format_not_allowed", "Only PNG, JPEG and WebP pictures can be used.")
    return SourceRefused("not_a_picture", "That file is not a picture. Send a PNG, JPEG or WebP file.")


def _lies_sideways(picture: Image.Image) -> bool:
    orientation = 0x0112
    try:
        return picture.getexif().get(orientation, 1) in (5, 6, 7, 8)
    except (OSError, SyntaxError, ValueError):
        return False


def _alpha(picture: Image.Image) -> Image.Image:
    return picture.convert("RGBA").getchannel("A")


def _flat(picture: Image.Image) -> Image.Image:
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layered = picture.convert("RGBA")
    page = Image.new("RGBA", layered.size, "white")
    return Image.alpha_composite(page, layered).convert("RGB")
