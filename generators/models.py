"""What the operator says of a model: where it is, and its own sizes and limits.

The bot's configuration extends this entry with titles, licences and prices; generators need only this part.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from generators.requests import Kind


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One model. `source` is a folder, a hub id, or `embedded:NAME`; weights are safetensors or GGUF only.

    Zero or empty means: what the model itself says.
    """

    name: str
    kind: Kind
    source: str
    revision: str = ""
    variant: str = ""  # e.g. "fp16": which files of a hub repository
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    loras: dict[str, str] = {}  # name -> folder, file or hub id
    scheduler: str = ""
    compile: bool = (
        False  # by torch: faster steps, a load that takes minutes longer; pictures without LoRAs only
    )
    # pictures
    width: int = 0
    height: int = 0
    multiple: int = 8  # sizes are rounded to it
    pixels_max: int = 1_048_576
    steps: int = 0
    steps_max: int = 50
    guidance: float = 0.0
    strength: float = 0.6
    count_max: int = 4
    # text
    max_tokens: int = 0
    max_tokens_max: int = 1024
    prompt_chars_max: int = 4000
