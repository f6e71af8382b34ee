"""Texts one after the other with plain `generate()`, for models that cannot write several side by side."""

from __future__ import annotations

from typing import Any

import torch
from transformers import LogitsProcessorList
from transformers.generation.logits_process import LogitsProcessor
from transformers.generation.stopping_criteria import StoppingCriteria, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from generators import sampling
from generators.answer import Answer
from generators.engine import Pulse


class Alone:
    """The same as `generators.text_batch.Batch`, with a step that writes a whole text."""

    def __init__(self, causal: Any, pulse: Pulse) -> None:
        self._causal = causal
        self._pulse = pulse
        self._answer: Answer | None = None

    def memory_bytes(self) -> int:
        return 0

    def fits(self, text: Answer) -> bool:
        return self._answer is None

    def join(self, text: Answer) -> None:
        self._answer = text

    def leave(self, text: Answer) -> None:
        self._answer = None

    def step(self) -> None:
        """Until the text is done or somebody cancels it. Raises `sampling.Overflow` and what the model raises."""
        if self._answer is not None:
            self._generate(self._answer)
            self._answer = None if self._answer.done else self._answer

    def _generate(self, answer: Answer) -> None:
        untyped: Any = torch
        untyped.manual_seed(sampling.seed(answer.request))  # also of every accelerator
        prompt = torch.tensor([answer.prompt], device=self._causal.device)
        self._causal.generate(
            input_ids=prompt,
            attention_mask=torch.ones_like(prompt),
            generation_config=answer.configured,
            logits_processor=LogitsProcessorList([_Checked()]),
            streamer=_Streamer(answer, self._pulse),
            stopping_criteria=StoppingCriteriaList([_Wanted(answer)]),
        )


class _Streamer(BaseStreamer):
    """What an earlier try has said already comes again, the same, and is not said twice."""

    def __init__(self, answer: Answer, pulse: Pulse) -> None:
        self._answer = answer
        self._pulse = pulse
        self._known = len(answer.prompt) + len(answer.tokens)  # transformers streams the prompt first

    def put(self, value: torch.Tensor) -> None:
        self._pulse.beat(rows=1)
        for token in value.reshape(-1):
            if self._known:
                self._known -= 1
            else:
                self._answer.add(int(token))

    def end(self) -> None:
        pass


class _Wanted(StoppingCriteria):
    """Stops a text that somebody cancelled."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> Any:
        unwanted = self._answer.job.cancelled
        return torch.full((input_ids.shape[0],), unwanted, device=input_ids.device, dtype=torch.bool)


class _Checked(LogitsProcessor):
    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        sampling.check(scores)
        return scores
