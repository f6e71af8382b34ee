"""Pictures from outside: what is refused, why, and that nothing is decoded before it is judged."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from PIL import Image

from generators.source import SourceInfo, SourceRefused, cut_out, decode, inspect, is_cut_out


def saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and has no pixels: a decompression bomb's first bytes."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + body
        + struct.pack(">I", zlib.crc32(body))
        + b"\0\0\0\0IDAT"
    )


def reason(data: bytes, **bounds: int) -> str:
    with pytest.raises(SourceRefused) as refused:
        decode(data, **bounds)
    return refused.value.reason


RED = Image.new("RGB", (40, 20), "red")


@pytest.mark.parametrize(
    ("kind", "media_type"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")]
)
def test_the_allowed_formats_are_told_by_content(kind: str, media_type: str) -> None:
    data = saved(RED, kind)
    assert inspect(data) == SourceInfo(width=40, height=20, media_type=media_type)
    assert decode(data).mode == "RGB"


@pytest.mark.parametrize("size", [(100_000, 100_000), (65_000, 65_000), (30_000, 2_000), (7_000, 7_000)])
def test_a_bomb_is_refused_by_its_header(size: tuple[int, int]) -> None:
    assert reason(png_header(*size)) == "too_many_pixels"
    with pytest.raises(SourceRefused, match="pixels"):
        inspect(png_header(*size))


def test_each_bound_has_its_reason() -> None:
    data = saved(RED, "PNG")
    assert reason(data, bytes_max=10) == "too_large_bytes"
    assert reason(data, pixels_max=799) == "too_many_pixels"
    assert reason(saved(Image.new("RGB", (4, 400)), "PNG")) == "too_small"
    assert reason(b"") == "not_a_picture"
    assert reason(b"<svg xmlns='http://www.w3.org/2000/svg'/>") == "not_a_picture"
    assert reason(saved(RED, "GIF")) == "format_not_allowed"
    assert reason(saved(RED, "TIFF")) == "format_not_allowed"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_truncated_file_is_called_that(kind: str) -> None:
    noisy = Image.effect_noise((200, 200), 90).convert("RGB")
    data = saved(noisy, kind)
    assert reason(data[: len(data) // 2]) == "truncated"


def test_a_phone_picture_stands_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn right by 90 degrees
    data = saved(RED, "JPEG", exif=exif)
    assert (inspect(data).width, inspect(data).height) == (20, 40)
    assert decode(data).size == (20, 40)


def test_of_an_animation_the_first_frame_counts() -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    for kind in ("WEBP", "PNG"):
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:])
        red, _, blue = decode(data).getpixel((10, 10))  # type: ignore[misc]
        assert red > 200 > 60 > blue


def test_transparency_becomes_white_paper() -> None:
    assert decode(saved(Image.new("RGBA", (20, 20), (255, 0, 0, 0)), "PNG")).getpixel((5, 5)) == (
        255,
        255,
        255,
    )


def test_a_hole_is_what_is_mostly_transparent() -> None:
    for kind in ("PNG", "WEBP"):
        for alpha, is_hole in ((0, True), (127, True), (128, False), (255, False)):
            picture = Image.new("RGBA", (20, 20), "red")
            picture.paste((0, 0, 255, alpha), (0, 0, 5, 5))
            data = saved(picture, kind, **({"lossless": True} if kind == "WEBP" else {}))
            assert is_cut_out(data) is is_hole
            mask = cut_out(data)[1]
            assert (mask.getpixel((2, 2)), mask.getpixel((9, 9))) == (255 if is_hole else 0, 0)
    assert not is_cut_out(saved(RED, "JPEG"))


def test_a_palette_may_have_a_hole_too() -> None:
    picture = Image.new("P", (20, 20), 1)
    picture.putpalette([0, 0, 0, 255, 0, 0])
    picture.paste(0, (0, 0, 5, 5))
    assert is_cut_out(saved(picture, "PNG", transparency=0))
    assert not is_cut_out(saved(picture, "PNG"))


@given(some.binary(max_size=300), some.sampled_from(["PNG", "JPEG", "WEBP"]), some.integers(0, 200))
def test_any_bytes_decode_or_are_refused(noise: bytes, kind: str, at: int) -> None:
    data, said = saved(RED, kind), list[str]()
    for candidate in (noise, data[:at] + noise + data[at:], data[:at] + noise):
        try:
            assert decode(candidate).mode == "RGB"
        except SourceRefused as refused:
            said.append(str(refused))
    assert all(sentence.endswith(".") for sentence in said)
