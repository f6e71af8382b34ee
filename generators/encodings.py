"""What text encoders said, kept: the empty negative prompt of everyone, and the prompts of many pictures."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

from generators import merging

BYTES_MAX = 128 * 2**20


class Encodings:
    """Bounded by bytes; the least recently used goes first."""

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._outputs: OrderedDict[Hashable, Any] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable) -> Any:
        """None if unknown."""
        if key in self._outputs:
            self._outputs.move_to_end(key)
        return self._outputs.get(key)

    def keep(self, key: Hashable, output: Any) -> None:
        if key in self._outputs:
            return
        self._outputs[key] = output
        self._bytes += merging.tensor_bytes(output)
        while self._bytes > self._bytes_max and self._outputs:
            _, dropped = self._outputs.popitem(last=False)
            self._bytes -= merging.tensor_bytes(dropped)

    def clear(self) -> None:
        self._outputs.clear()
        self._bytes = 0
