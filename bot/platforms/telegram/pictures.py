"""Pictures for a chat: small ones enlarged, several in one grid. Runs Pillow off the loop; knows no SDK."""

from __future__ import annotations

import asyncio
import io
from math import ceil, sqrt

from PIL import Image, ImageOps

CELL_PIXELS = 1024  # a side of one picture in a grid
GAP_PIXELS = 8
SIDE_PIXELS_MAX = 2560  # Telegram shows photos at most this large
JPEG_QUALITY = 90


async def enlarged(data: bytes, scale: int) -> bytes:
    """The picture `scale` times as large; as it is where it can't be read or needs nothing."""
    return await asyncio.to_thread(_enlarge, data, scale) if scale > 1 else data


async def grid(pictures: list[bytes], scale: int = 1) -> bytes:
    """One JPEG with all of them, in reading order: 2x1, 2x2, 3x2 and so on."""
    return await asyncio.to_thread(_grid, pictures, scale)


def _enlarge(data: bytes, scale: int) -> bytes:
    try:
        with Image.open(io.BytesIO(data)) as image:
            return _jpeg(_scaled(image.convert("RGB"), scale))
    except (OSError, ValueError):
        return data


def _grid(pictures: list[bytes], scale: int) -> bytes:
    cells = [_cell(each, scale) for each in pictures]
    width = max(cell.width for cell in cells)
    height = max(cell.height for cell in cells)
    columns = ceil(sqrt(len(cells)))
    rows = ceil(len(cells) / columns)
    size = (columns * (width + GAP_PIXELS) - GAP_PIXELS, rows * (height + GAP_PIXELS) - GAP_PIXELS)
    sheet = Image.new("RGB", size, "white")
    for index, cell in enumerate(cells):
        row, column = divmod(index, columns)
        sheet.paste(cell, (column * (width + GAP_PIXELS), row * (height + GAP_PIXELS)))
    return _jpeg(sheet)


def _cell(data: bytes, scale: int) -> Image.Image:
    with Image.open(io.BytesIO(data)) as image:
        cell = _scaled(image.convert("RGB"), scale)
    return ImageOps.contain(cell, (CELL_PIXELS, CELL_PIXELS)) if max(cell.size) > CELL_PIXELS else cell


def _scaled(image: Image.Image, scale: int) -> Image.Image:
    factor = min(scale, SIDE_PIXELS_MAX // max(image.size))
    if factor <= 1:
        return image
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.LANCZOS)


def _jpeg(image: Image.Image) -> bytes:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=JPEG_QUALITY)
    return data.getvalue()
