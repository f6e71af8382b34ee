"""Texts of one model written side by side: the paged cache and the scheduler of transformers' continuous batching,
driven one step at a time by our own thread.

Its manager would run a second thread and sample for all alike. Here `step` makes the three calls of its loop, and
a processor of scores chooses for each text with the settings and the dice of its own. Prompts that begin alike (the
system's words) share what was computed of them: the library keeps whole pages by their content.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from transformers import ContinuousBatchingConfig, GenerationConfig, LogitsProcessorList
from transformers.generation.continuous_batching.cb_logits_processors import (
    ContinuousBatchingLogitsProcessorList,
)
from transformers.generation.continuous_batching.utils import find_head_dim, find_num_key_value_heads
from transformers.generation.logits_process import LogitsProcessor

from generators import sampling

PAGE_TOKENS = 16  # what prompts share is whole pages
_STEP_TOKENS = 256  # of prompts in one step: a long one is read over several, beside the others' next tokens
_ERROR_MAX = 0.05  # of the scores' norm, between a model alone and in the batch; bfloat16 makes about 0.01


class Unsupported(Exception):
    """The library cannot write texts of this model side by side. The text says why."""


class Text(Protocol):
    """What is being written, as ids; `generators.answer.Answer` for instance."""

    prompt: list[int]
    tokens: list[int]
    limit: int
    ends: list[int]

    def choose(self, scores: torch.Tensor) -> torch.Tensor: ...

    def add(self, token: int) -> None: ...


def token_bytes(causal: Any) -> int:
    """Of the keys and values of one token, and of its column in the mask of a step."""
    config = causal.config.get_text_config()
    numbers = 2 * config.num_hidden_layers * find_num_key_value_heads(config) * find_head_dim(config)
    return (numbers + _STEP_TOKENS) * causal.dtype.itemsize


class Batch:
    """`tokens_max` in the cache and `texts_max` at a time, both at least one."""

    def __init__(self, causal: Any, *, tokens_max: int, texts_max: int) -> None:
        """Raises `Unsupported`, `MemoryError` and what torch raises instead."""
        self._causal = causal
        self._chooser = _Chooser()
        self._manager = _managed(causal, self._chooser, math.ceil(tokens_max / PAGE_TOKENS), texts_max)
        self._processor = self._manager.batch_processor
        self._cache = self._processor.cache
        self._texts: dict[str, Text] = {}
        self._names = itertools.count()  # a text that comes back is another request to the library

    def memory_bytes(self) -> int:
        """Of the cache and the masks over it, measured."""
        masks: Any = self._processor.inputs_and_outputs.attention_mask or {}  # none with flash attention
        return self._cache.cache_tensor.nbytes + sum(mask.nbytes for mask in masks.values())

    def fits(self, text: Text) -> bool:
        """Whether the cache holds it to its end beside those that are being written, to theirs."""
        return self._reserved() + _pages(text) <= self._cache.num_blocks

    def join(self, text: Text) -> None:
        """From the next step on, after what it has already."""
        name = str(next(self._names))
        self._texts[name] = text
        if self._reserved() + self._kept() > self._cache.num_blocks:
            self._cache.evict_cached_blocks()
        self._manager.add_request(
            text.prompt + text.tokens,
            request_id=name,
            max_new_tokens=text.limit - len(text.tokens),
            eos_token_id=text.ends,
            streaming=True,
        )

    def leave(self, text: Text) -> None:
        """Its pages are free at the next step; also after a step that failed."""
        (name,) = (name for name, other in self._texts.items() if other is text)
        del self._texts[name]
        self._manager.cancel_request(name)

    def step(self) -> None:
        """A token more for each text whose prompt has been read; those that are done have left.

        Raises `sampling.Overflow`, and what the model raises: then all have to leave.
        """
        if not self._processor.prepare_next_batch():
            raise RuntimeError("none of the texts could be scheduled")
        scheduled = self._processor.inputs_and_outputs.requests_in_batch
        self._chooser.texts = [self._texts[each.state.request_id] for each in scheduled if each.has_new_token]
        self._processor._generation_step(self._causal)
        self._processor.update_batch()
        while (output := self._manager.get_result()) is not None:
            self._hear(output)

    def _hear(self, output: Any) -> None:
        if output.error:
            raise RuntimeError(output.error)
        self._texts[output.request_id].add(output.generated_tokens[-1])
        if output.is_finished():
            del self._texts[output.request_id]

    def _reserved(self) -> int:
        return sum(map(_pages, self._texts.values()))

    def _kept(self) -> int:
        """Pages of texts that have left, kept for prompts that begin like them."""
        return sum(len(allocator.ledger.cached_blocks) for allocator in self._cache.cache_allocators.values())


class _Chooser(LogitsProcessor):
    """Leaves of each text's scores only its choice, which the library then finds to be the greatest."""

    supports_continuous_batching = True

    def __init__(self) -> None:
        self.texts: Sequence[Text] = ()  # those with a row in the next scores

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        rows = scores[: len(self.texts)]
        sampling.check(rows)
        chosen = [text.choose(row[None]) for text, row in zip(self.texts, rows, strict=True)]
        only = torch.full_like(scores, -math.inf)
        return only.scatter_(1, torch.stack(chosen), 0.0) if chosen else only


def _pages(text: Text) -> int:
    return math.ceil((len(text.prompt) + text.limit) / PAGE_TOKENS)


def _managed(causal: Any, chooser: _Chooser, pages: int, texts_max: int) -> Any:
    """The library's manager, not started, with its processor made."""
    if not causal.is_backend_compatible():
        raise Unsupported("its attention is its own")
    settings = ContinuousBatchingConfig(
        page_size=PAGE_TOKENS,
        num_blocks=pages,
        max_batch_tokens=max(_STEP_TOKENS, texts_max),
        max_requests_per_batch=texts_max,
        max_memory_percent=1.0,
        max_blocks_per_request=0,
        safety_margin=0.0,  # we admit only what fits to its end
        use_cuda_graph=False,  # a graph could not choose for each text by its own rules
        use_async_batching=False,
        auto_switch_to_flash=False,  # it may fetch kernels
    )
    everyone = GenerationConfig(do_sample=False, eos_token_id=-1)
    manager = causal.init_continuous_batching(everyone, continuous_batching_config=settings)
    manager.logit_processor = ContinuousBatchingLogitsProcessorList(LogitsProcessorList([chooser]))
    manager.warmup()
    return manager


class _Probe:
    """A text of two tokens that keeps the scores it was shown."""

    def __init__(self, prompt: list[int]) -> None:
        self.prompt = prompt
        self.tokens: list[int] = []
        self.limit = 2
        self.ends: list[int] = []
        self._scores: list[torch.Tensor] = []

    def choose(self, scores: torch.Tensor) -> torch.Tensor:
        self._scores.append(scores)
        return scores.argmax(dim=-1)

    def add(self, token: int) -> None:
        self.tokens.append(token)

    def error(self, causal: Any) -> float:
        """The greatest, relative to the scores of the same texts read alone."""
        ids = torch.tensor([self.prompt + self.tokens[:1]], device=causal.device)
        alone = causal(ids, use_cache=False).logits[0, -self.limit :].float()
        return max(
            float((one - other).norm() / other.norm())
            for one, other in zip(torch.cat(self._scores), alone, strict=True)
        )


@torch.inference_mode()
def probe(batch: Batch, causal: Any) -> None:
    """Two texts, a step apart, must get the scores that they get alone: models that mix the texts of a batch, or
    keep a memory the library does not know of, would write nonsense. Raises `Unsupported`."""
    probes = [_Probe([1, 2, 3, 4, 5]), _Probe([6, 5, 4])]
    for each in probes:
        batch.join(each)
        batch.step()
    batch.step()
    error = max(each.error(causal) for each in probes)
    if not error < _ERROR_MAX:
        raise Unsupported(f"side by side its scores differ by {error:.0%}")
