"""Artifacts as files that Discord takes: fetched, and made smaller where they are over its limit.

A smaller one keeps the metadata that says that it is AI-made.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from bot.chat import Card, Chat, Media
from bot.platforms.discord.drawing import ALT_MAX, safe_name
from bot.platforms.discord.rest import Upload

QUALITIES = (92, 80, 65)
SIDE_MIN = 256
SMALL_BYTES_MAX = 900_000  # for a second try after Discord found a message too large


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """A card's pictures; None for one that is gone."""

    files: Sequence[Upload | None] = ()
    shrunk: int = 0


async def of_card(chat: Chat, card: Card, *, bytes_max: int) -> Pictures:
    files: list[Upload | None] = []
    shrunk = 0
    for number, picture in enumerate(card.pictures):
        media = await chat.media(picture.artifact)
        made = await _fitted(media, bytes_max) if media else None
        if made is None or media is None:
            files.append(None)
            continue
        shrunk += made is not media
        name = safe_name(f"atelier-{card.job}-{number + 1}.{made.name.rpartition('.')[2]}")
        alt = picture.alt[:ALT_MAX]
        files.append(Upload(name=name, data=made.data, media_type=made.media_type, description=alt))
    return Pictures(files=files, shrunk=shrunk)


async def _fitted(media: Media, bytes_max: int) -> Media | None:
    if len(media.data) <= bytes_max:
        return media
    data = await asyncio.to_thread(smaller, media.data, bytes_max)
    return Media(data=data, media_type="image/jpeg", name="picture.jpg") if data else None


def smaller(data: bytes, bytes_max: int) -> bytes:
    """A JPEG within the limit; b"" for what is no picture."""
    try:
        with Image.open(io.BytesIO(data)) as opened:
            xmp = opened.info.get("xmp")
            image = opened.convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError):
        return b""
    while min(image.size) >= SIDE_MIN:
        for quality in QUALITIES:
            made = _jpeg(image, quality, xmp if isinstance(xmp, bytes) else b"")
            if len(made) <= bytes_max:
                return made
        image = image.resize((image.width * 2 // 3, image.height * 2 // 3))
    made = _jpeg(image, QUALITIES[-1], b"")
    return made if len(made) <= bytes_max else b""


def _jpeg(image: Image.Image, quality: int, xmp: bytes) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality, **({"xmp": xmp} if xmp else {}))
    return out.getvalue()
