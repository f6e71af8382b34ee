"""One text while it is written: its tokens so far, the choice of the next, and the job that hears of them."""

from __future__ import annotations

from typing import Any

import torch

from generators import sampling
from generators.detokenizing import Detokenizer
from generators.job import Job
from generators.requests import Artifact, WriteText
from generators.sampling import Dice


class Answer:
    """`prompt` and `tokens` are ids; it is done after `limit` tokens or with one of `ends`."""

    def __init__(
        self, job: Job, request: WriteText, prompt: list[int], *, causal: Any, tokenizer: Any, context: int
    ) -> None:
        self.job = job
        self.request = request
        self.prompt = prompt
        self.tokens: list[int] = []
        self.limit = min(request.max_tokens, context - len(prompt))
        self.configured: Any = sampling.configuration(request, causal, tokenizer, self.limit)
        self.ends = sampling.ends(self.configured.eos_token_id)
        self._dice = Dice(request, causal, self.configured, len(prompt))
        self._chosen: torch.Tensor | None = None
        self._detokenizer = Detokenizer(tokenizer)
        self._text = ""

    @property
    def done(self) -> bool:
        return len(self.tokens) >= self.limit or (bool(self.tokens) and self.tokens[-1] in self.ends)

    def choose(self, scores: torch.Tensor) -> torch.Tensor:
        """The next id, shape (1,). Asked again because a step failed after it, the answer is the same: the dice
        are thrown once a token."""
        if self._chosen is None:
            self._chosen = self._dice.choose(self.prompt + self.tokens, scores)
        return self._chosen

    def add(self, token: int) -> None:
        self._chosen = None
        self.tokens.append(token)
        self.job.share = len(self.tokens) / self.request.max_tokens
        self._say(self._detokenizer.add(token))

    def finish(self) -> None:
        """Answer the job with the text."""
        self._say(self._detokenizer.end())
        if self._text.strip():
            data = self._text.encode()
            seed = self.request.seed
            self.job.finish((Artifact(media_type=self.request.media_type, data=data, seed=seed),))
        else:
            self.job.fail("bad_output", "The model wrote nothing.")

    def _say(self, fresh: str) -> None:
        self._text += fresh
        self.job.token(fresh)
