"""The engine for text: any causal language model of transformers. Jobs are written side by side, a token a step;
each joins, is streamed, and leaves on its own.

A job is begun -> waits in line until the cache has room for it -> runs -> has ended. Where a step runs out of
memory, or somebody's numbers overflow, all go back into the line and fewer of them come out: in the end the guilty one
runs alone and fails alone. What a text has already is kept, so nobody hears anything twice.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from generators import decoding, hardware, prompts, sampling, weights
from generators.answer import Answer
from generators.engine import Host, ModelUnavailable
from generators.job import Job
from generators.messages import FailureCode
from generators.models import Model
from generators.requests import WriteText


def load(model: Model, host: Host) -> TextRunner:
    """Raises `ModelUnavailable` and `MemoryError`."""
    source = weights.resolve(model, Path(host.settings.cache))
    if isinstance(source, Path):
        weights.check(source)
    causal, tokenizer = _read(model, source, host.settings.device)
    try:
        causal.to(host.settings.device)
    except torch.OutOfMemoryError as error:
        raise MemoryError(str(error)) from None
    return TextRunner(causal.eval(), tokenizer, model, host)


class TextRunner:
    """Implements `generators.engine.Runner`."""

    def __init__(self, causal: Any, tokenizer: Any, model: Model, host: Host) -> None:
        self._causal = causal
        self._tokenizer = tokenizer
        self._model = model
        self._host = host
        self._decoder, self._context = decoding.decoder(causal, model, host)
        self._running: list[Answer] = []
        self._line: deque[Answer] = deque()  # begun, and waiting for room
        self._is_crowded = False  # somebody was left in the line
        self._abreast = host.settings.texts_max  # halved by a step that failed, grows as texts are finished

    def memory_bytes(self) -> int:
        return hardware.weight_bytes(self._causal) + self._decoder.memory_bytes()

    def room(self, job: Job) -> bool:
        return not self._is_crowded and len(self.jobs()) < self._abreast

    def begin(self, job: Job) -> None:
        if job.drop_if_cancelled():
            return
        request = job.request
        if not isinstance(request, WriteText):
            sentence = f"{request.model} writes text and cannot answer this kind of request."
            job.fail("model_unavailable", sentence)
            return
        try:
            prompt = prompts.encode(self._tokenizer, request, self._context)
        except prompts.PromptTooLong as error:
            job.fail("prompt_too_long", str(error))
            return
        job.unread = prompt.unread
        job.progress(0, request.max_tokens)
        self._line.append(
            Answer(
                job,
                request,
                prompt.ids,
                causal=self._causal,
                tokenizer=self._tokenizer,
                context=self._context,
            )
        )

    def jobs(self) -> Sequence[Job]:
        return [answer.job for answer in (*self._running, *self._line)]

    @torch.inference_mode()
    def step(self) -> None:
        self._let_cancelled_go()
        self._take_in()
        if not self._running:
            return
        began = time.monotonic()
        failure = self._attempt()
        rows = len(self._running)
        share = (time.monotonic() - began) / rows
        for answer in self._running:
            answer.job.device_seconds += share
        if failure:
            self._retreat(failure)
        else:
            self._finish()
        self._host.pulse.beat(0 if failure else rows)

    def abandon(self) -> None:
        for answer in self._running:
            self._decoder.leave(answer)
        self._running = []
        self._line.clear()
        self._is_crowded = False

    def _let_cancelled_go(self) -> None:
        for answer in self._running:
            if answer.job.drop_if_cancelled():
                self._decoder.leave(answer)
        self._running = [answer for answer in self._running if not answer.job.ended]
        self._line = deque(answer for answer in self._line if not answer.job.drop_if_cancelled())

    def _take_in(self) -> None:
        while self._line and len(self._running) < self._abreast and self._decoder.fits(self._line[0]):
            answer = self._line.popleft()
            self._running.append(answer)
            self._decoder.join(answer)
        self._is_crowded = bool(self._line)

    def _attempt(self) -> FailureCode | None:
        """A step, or why it failed. The error is let go here: its traceback holds the step's memory."""
        try:
            self._decoder.step()
        except sampling.Overflow:
            return "bad_output"
        except (RuntimeError, MemoryError) as error:
            if not hardware.is_out_of_memory(error):
                raise
            return "out_of_memory"
        return None

    def _finish(self) -> None:
        for answer in self._running:
            if answer.done:
                answer.finish()
                self._abreast = min(self._abreast + 1, self._host.settings.texts_max)
        self._running = [answer for answer in self._running if not answer.job.ended]

    def _retreat(self, failure: FailureCode) -> None:
        """Back into the line, to go on with fewer abreast, or with all when other models could give way."""
        for answer in self._running:
            self._decoder.leave(answer)
        self._line.extendleft(reversed(self._running))
        many, self._running = len(self._running), []
        if failure == "out_of_memory":
            hardware.sweep()
            if self._host.relieve():
                return
        if many == 1:
            self._line.popleft().job.fail(failure, self._sentence(failure))
        else:
            self._abreast = many // 2

    def _sentence(self, failure: FailureCode) -> str:
        if failure == "out_of_memory":
            return f"The answer of {self._model.name} does not fit into the device."
        return (
            f'The numbers of {self._model.name} overflow. Try dtype = "bfloat16" or "float32" for this model.'
        )


def _read(model: Model, source: Path | str, device: str) -> tuple[Any, Any]:
    causal: Any = AutoModelForCausalLM
    tokenizer: Any = AutoTokenizer
    options: dict[str, Any] = {"revision": model.revision} if model.revision else {}
    variant: dict[str, Any] = {"variant": model.variant} if model.variant else {}
    dtype = hardware.dtype(model, device)
    try:
        return (
            causal.from_pretrained(
                source, dtype=dtype, use_safetensors=True, trust_remote_code=False, **options, **variant
            ),
            tokenizer.from_pretrained(source, trust_remote_code=False, **options),
        )
    except (OSError, ValueError, AttributeError, ImportError, KeyError, TypeError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelUnavailable(f"{model.name} cannot be loaded: {first[:300]}") from error
