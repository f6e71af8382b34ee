"""What can be asked of a generator, as frozen values that cross processes and rest in job rows as JSON.

Everything is decided before a request is made: sizes, steps and the seed are filled in, so that running one
twice gives the same artifact. Bounds are checked by whoever makes the request; engines trust them.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["image", "text"]


class LoraUse(msgspec.Struct, frozen=True, kw_only=True):
    """One of the model's LoRAs (a name from its entry) and how strongly it is applied."""

    name: str
    weight: float = 1.0


class TextToImage(msgspec.Struct, frozen=True, kw_only=True, tag="text_to_image"):
    """`count` pictures of `width` x `height` pixels; picture i uses `seed + i`."""

    model: str
    prompt: str
    negative: str = ""
    width: int
    height: int
    steps: int
    guidance: float
    seed: int
    count: int = 1
    scheduler: str = ""  # empty: the one that the model came with
    loras: tuple[LoraUse, ...] = ()
    reveal_prompt: bool = True  # whether the file's metadata may quote the prompt


class ImageToImage(TextToImage, frozen=True, kw_only=True, tag="image_to_image"):
    """Like TextToImage, starting from a picture.

    `source` names an input: a blob key in the job row, a key of `Submit.inputs` on the wire. `strength` in
    (0, 1] is the share of the steps that is run, so how far the result may go from the source.
    """

    source: str
    strength: float = 0.6


class Inpaint(ImageToImage, frozen=True, kw_only=True, tag="inpaint"):
    """Like ImageToImage, but only where the source is transparent is it drawn anew: its alpha channel is the mask."""

    strength: float = 1.0


class Message(msgspec.Struct, frozen=True, kw_only=True):
    role: Literal["system", "user", "assistant"]
    content: str


class WriteText(msgspec.Struct, frozen=True, kw_only=True, tag="write_text"):
    """Up to `max_tokens` new tokens after `messages`, rendered with the model's own chat template.

    `temperature` 0 is greedy; `top_k` 0 and `top_p` 1 switch those filters off.
    """

    model: str
    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float = 0.7
    top_p: float = 0.95
    top_k: int = 0
    repetition_penalty: float = 1.1
    seed: int = 0
    media_type: str = "text/plain"


Request = TextToImage | ImageToImage | Inpaint | WriteText


def pieces(request: Request) -> int:
    """How many pictures or texts it asks for."""
    return request.count if isinstance(request, TextToImage) else 1


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """One finished file. `width` and `height` are 0 for what has no pixels; `seed` makes it again."""

    media_type: str
    data: bytes
    width: int = 0
    height: int = 0
    seed: int = 0


def encode(request: Request) -> bytes:
    """The JSON a job row holds."""
    return msgspec.json.encode(request)


def decode(raw: bytes) -> Request:
    """The request of a job row. Raises `msgspec.ValidationError` for JSON of another shape."""
    return msgspec.json.decode(raw, type=Request)
