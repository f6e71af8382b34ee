"""How a request chooses its next token: as `generate()` of transformers does, with dice of its own.

The settings become the library's own configuration and its own processors of scores, so that a text of a batch
is the text that `generate()` writes alone; the generator of random numbers is the request's, so that its text
does not depend on who shares the batch, nor on when it was tried again.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from transformers import GenerationConfig, TopPLogitsWarper
from transformers.generation.logits_process import LogitsProcessor

from generators.requests import WriteText

_SEED_MASK = 2**63 - 1
_GREATEST = 1024  # scores among which a nucleus is looked for first


class Overflow(Exception):
    """The model's numbers are infinite or not numbers."""


def configuration(request: WriteText, causal: Any, tokenizer: Any, tokens_max: int) -> GenerationConfig:
    own = causal.generation_config
    end = own.eos_token_id if own.eos_token_id is not None else tokenizer.eos_token_id
    sampled: dict[str, Any] = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": request.top_k,
    }
    return GenerationConfig(
        max_new_tokens=tokens_max,
        do_sample=request.temperature > 0,
        repetition_penalty=request.repetition_penalty,
        bos_token_id=own.bos_token_id,
        eos_token_id=end,
        pad_token_id=own.pad_token_id if own.pad_token_id is not None else next(iter(ends(end)), None),
        **(sampled if request.temperature > 0 else {}),
    )


def ends(tokens: int | list[int] | None) -> list[int]:
    """The ids that end a text, as a configuration may say them: none, one or several."""
    return [] if tokens is None else [tokens] if isinstance(tokens, int) else tokens


def seed(request: WriteText) -> int:
    """As torch's generators take it."""
    return request.seed & _SEED_MASK


def check(scores: torch.Tensor) -> None:
    """Scores (texts, vocabulary) from which something can be chosen. Raises `Overflow`."""
    if not scores.amax(dim=-1).isfinite().all():
        raise Overflow


class Nucleus(LogitsProcessor):
    """The library's top-p without its sorting of the whole vocabulary, which took an eighth of a step of eight texts:
    the greatest scores nearly always hold the share."""

    def __init__(self, whole: TopPLogitsWarper) -> None:
        self._whole = whole

    def __call__(self, input_ids: Any, scores: torch.Tensor) -> torch.Tensor:
        greatest, places = scores.topk(min(_GREATEST, scores.shape[-1]))
        shares = (greatest - scores.logsumexp(dim=-1, keepdim=True)).exp()
        upto = shares.cumsum(dim=-1)
        if upto[..., -1].min() < self._whole.top_p:
            return self._whole(input_ids, scores)
        kept = greatest.masked_fill(upto - shares >= self._whole.top_p, -math.inf)
        return torch.full_like(scores, -math.inf).scatter(-1, places, kept)


class Dice:
    """Chooses the tokens of one text, one after the other."""

    def __init__(self, request: WriteText, causal: Any, configured: Any, prompt_tokens: int) -> None:
        self._processors = causal._get_logits_processor(configured, input_ids_seq_length=prompt_tokens)
        for place, processor in enumerate(self._processors):
            if isinstance(processor, TopPLogitsWarper):
                self._processors[place] = Nucleus(processor)
        self._is_greedy = not configured.do_sample
        self._generator = torch.Generator(device=causal.device).manual_seed(seed(request))

    def choose(self, ids: list[int], scores: torch.Tensor) -> torch.Tensor:
        """The next id, shape (1,), after `ids`, from the model's scores, shape (1, vocabulary)."""
        scores = self._processors(torch.tensor([ids], device=scores.device), scores)
        if self._is_greedy:
            return scores.argmax(dim=-1)
        return torch.multinomial(scores.softmax(dim=-1), 1, generator=self._generator).squeeze(1)
