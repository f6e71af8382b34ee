"""How the texts of one model are written: side by side where the library can, else one after the other."""

from __future__ import annotations

import sys
from typing import Any, Protocol

from generators import hardware
from generators.answer import Answer
from generators.engine import Host
from generators.models import Model
from generators.text_alone import Alone
from generators.text_batch import Batch, Unsupported, probe, token_bytes

_CONTEXT_UNKNOWN = 2048
_CACHE_SHARE = 0.1  # of the memory for models
_CACHE_TOKENS_MIN = 256


class Decoder(Protocol):
    """Writes the texts that have joined it."""

    def memory_bytes(self) -> int:
        """Beside the weights."""
        ...

    def fits(self, text: Answer) -> bool:
        """Whether it can join, and be written to its end."""
        ...

    def join(self, text: Answer) -> None: ...

    def leave(self, text: Answer) -> None:
        """Before its end; those that are done leave by themselves."""
        ...

    def step(self) -> None:
        """More of each text. Raises `sampling.Overflow` and what the model raises: then all have to leave."""
        ...


def decoder(causal: Any, model: Model, host: Host) -> tuple[Decoder, int]:
    """And how many tokens a prompt may have with its answer. Raises `MemoryError`."""
    context = int(getattr(causal.config, "max_position_embeddings", 0) or _CONTEXT_UNKNOWN)
    attention = causal.config._attn_implementation
    try:
        return _batch(causal, host, context)
    except MemoryError:
        raise
    except Exception as error:  # each kind of model fails in its own way
        why = str(error) if isinstance(error, Unsupported) else type(error).__name__
    sys.stderr.write(f"{model.name} writes its texts one after the other: {why}.\n")
    causal.set_attn_implementation(attention)
    return Alone(causal, host.pulse), context


def _batch(causal: Any, host: Host, context: int) -> tuple[Decoder, int]:
    """With a cache as large as settings and free memory allow."""
    texts_max = host.settings.texts_max
    wanted = min(texts_max * context, _cache_bytes(causal, host) // token_bytes(causal))
    tokens_max = max(wanted, min(context, _CACHE_TOKENS_MIN))
    while (batch := _try(causal, tokens_max, texts_max)) is None:
        if tokens_max < 2 * _CACHE_TOKENS_MIN:
            raise MemoryError(f"no room for a cache of {tokens_max} tokens")
        tokens_max //= 2
    probe(batch, causal)
    return batch, min(context, tokens_max)


def _try(causal: Any, tokens_max: int, texts_max: int) -> Batch | None:
    try:
        return Batch(causal, tokens_max=tokens_max, texts_max=texts_max)
    except (RuntimeError, MemoryError) as error:
        if not hardware.is_out_of_memory(error):
            raise
        return None


def _cache_bytes(causal: Any, host: Host) -> int:
    """For what all texts of one model need beside its weights: both together fit into the memory for models."""
    settings = host.settings
    memory_bytes = settings.memory_bytes or hardware.memory_bytes(settings.device)
    wanted = settings.text_cache_bytes or int(memory_bytes * _CACHE_SHARE)
    return min(wanted, memory_bytes - hardware.weight_bytes(causal))
