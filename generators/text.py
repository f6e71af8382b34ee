"""The engine for text: any causal language model of transformers, one job after the other, streamed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.generation.stopping_criteria import StoppingCriteria, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from generators import hardware, prompts, weights
from generators.engine import Host, ModelUnavailable
from generators.job import Job
from generators.models import Model
from generators.requests import Artifact, WriteText

_CONTEXT_UNKNOWN = 2048
_SEED_MASK = 2**63 - 1


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
    def __init__(self, causal: Any, tokenizer: Any, model: Model, host: Host) -> None:
        self._causal = causal
        self._tokenizer = tokenizer
        self._model = model
        self._host = host

    def memory_bytes(self) -> int:
        return hardware.weight_bytes(self._causal)

    def run(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            if not job.drop_if_cancelled():
                self._begin(job)

    def _begin(self, job: Job) -> None:
        request = job.request
        if not isinstance(request, WriteText):
            job.fail(
                "model_unavailable", f"{request.model} writes text and cannot answer this kind of request."
            )
            return
        try:
            ids = prompts.encode(self._tokenizer, request, self._context())
        except prompts.PromptTooLong as error:
            job.fail("bad_input", str(error))
            return
        self._write(job, request, ids)

    def _write(self, job: Job, request: WriteText, ids: list[int]) -> None:
        job.progress(0, request.max_tokens)
        writer = Writer(job, request.max_tokens, self._tokenizer, self._host)
        if not self._is_within_memory(request, ids, writer):
            job.fail("out_of_memory", f"The answer of {self._model.name} does not fit into the device.")
        elif not job.drop_if_cancelled():
            _finish(job, request, writer.text)

    def _is_within_memory(self, request: WriteText, ids: list[int], writer: Writer) -> bool:
        try:
            self._generate(request, ids, writer)
            return True
        except (RuntimeError, MemoryError) as error:
            if not hardware.is_out_of_memory(error):
                raise
            return False
        finally:
            writer.charge()

    def _generate(self, request: WriteText, ids: list[int], writer: Writer) -> None:
        untyped: Any = torch
        untyped.manual_seed(request.seed & _SEED_MASK)  # also of every accelerator
        prompt = torch.tensor([ids], device=self._causal.device)
        with torch.inference_mode():
            self._causal.generate(
                input_ids=prompt,
                attention_mask=torch.ones_like(prompt),
                generation_config=self._sampling(request, len(ids)),
                streamer=writer,
                stopping_criteria=StoppingCriteriaList([Wanted(writer)]),
            )

    def _sampling(self, request: WriteText, prompt_tokens: int) -> GenerationConfig:
        own = self._causal.generation_config
        end = own.eos_token_id if own.eos_token_id is not None else self._tokenizer.eos_token_id
        sampled: dict[str, Any] = {
            "temperature": request.temperature,
            "top_p": request.top_p,
            "top_k": request.top_k,
        }
        return GenerationConfig(
            max_new_tokens=min(request.max_tokens, self._context() - prompt_tokens),
            do_sample=request.temperature > 0,
            repetition_penalty=request.repetition_penalty,
            bos_token_id=own.bos_token_id,
            eos_token_id=end,
            pad_token_id=own.pad_token_id if own.pad_token_id is not None else _first(end),
            **(sampled if request.temperature > 0 else {}),
        )

    def _context(self) -> int:
        return int(getattr(self._causal.config, "max_position_embeddings", 0) or _CONTEXT_UNKNOWN)


class Writer(BaseStreamer):
    """Receives token ids as they are made and sends on what of their text is certain.

    A window of the newest ids is decoded with and without the last of them, as tokenizers decode a token
    differently at the start of a text; a character that is still incomplete (U+FFFD) waits for its last byte.
    """

    def __init__(self, job: Job, tokens_max: int, tokenizer: Any, host: Host) -> None:
        self.job = job
        self.text = ""
        self._tokens_max = tokens_max
        self._tokenizer = tokenizer
        self._host = host
        self._ids: list[int] = []
        self._window = 0  # where the window begins
        self._said = 0  # ids before this have been sent
        self._is_prompt = True
        self._charged = time.monotonic()

    def put(self, value: torch.Tensor) -> None:
        self._host.pulse.beat()
        if self._is_prompt:  # transformers streams the prompt first
            self._is_prompt = False
            return
        self._ids += [int(token) for token in value.reshape(-1)]
        self.job.share = len(self._ids) / self._tokens_max
        self._say(is_last=False)

    def end(self) -> None:
        self._say(is_last=True)

    def charge(self) -> None:
        """The time since the last charge."""
        now = time.monotonic()
        self.job.device_seconds += now - self._charged
        self._charged = now

    def _say(self, *, is_last: bool) -> None:
        before = self._decoded(self._ids[self._window : self._said])
        known = self._decoded(self._ids[self._window :])
        if known.endswith("\ufffd") and not is_last:
            return
        fresh = known[len(before) :].rstrip("\ufffd")
        self.text += fresh
        self.job.token(fresh)
        self._window, self._said = self._said, len(self._ids)

    def _decoded(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


class Wanted(StoppingCriteria):
    """Stops a text that somebody cancelled."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> Any:
        self._writer.charge()
        unwanted = self._writer.job.drop_if_cancelled()
        return torch.full((input_ids.shape[0],), unwanted, device=input_ids.device, dtype=torch.bool)


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


def _finish(job: Job, request: WriteText, text: str) -> None:
    if text.strip():
        job.finish((Artifact(media_type=request.media_type, data=text.encode(), seed=request.seed),))
    else:
        job.fail("bad_output", "The model wrote nothing.")


def _first(tokens: int | list[int] | None) -> int | None:
    return tokens[0] if isinstance(tokens, list) and tokens else tokens if isinstance(tokens, int) else None
