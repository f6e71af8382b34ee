"""A submitted job inside the worker: the one place from which its events go out, the terminal one exactly once."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from generators.messages import (
    UNREAD_CHARS_MAX,
    Cancelled,
    Failed,
    FailureCode,
    FromWorker,
    Progress,
    Result,
    Submit,
    Token,
)
from generators.requests import Artifact, Request

Send = Callable[[FromWorker], None]


@dataclass(eq=False)
class Job:
    """`cancelled` is what somebody asked for (set by any thread); `ended` is what has been said (engine only).

    `suspect`: something broke while it ran among others, so it runs again as the only one of its model.
    `deadline`: by the loop's clock, the end of what it may run; `crowded`: whether others ran meanwhile.
    `unread`: of what it asks, the words that the model has no room for.
    """

    submit: Submit
    send: Send
    arrived: float = field(default_factory=time.monotonic)
    cancelled: bool = False
    ended: bool = False
    suspect: bool = False
    deadline: float = math.inf
    crowded: bool = False
    unread: str = ""
    share: float = 0.0
    device_seconds: float = 0.0
    _said: int = 0  # characters sent as tokens
    _repeated: int = 0  # characters to come that were sent before it began again

    @property
    def id(self) -> str:
        return self.submit.job

    @property
    def model(self) -> str:
        return self.submit.request.model

    @property
    def request(self) -> Request:
        return self.submit.request

    @property
    def inputs(self) -> dict[str, bytes]:
        return self.submit.inputs

    @property
    def alone(self) -> bool:
        """Whether it needs the device for itself."""
        return self.submit.alone

    @property
    def waits_since(self) -> float:
        """When it would have come here if nothing had gone ahead of it out of turn."""
        return self.arrived - self.submit.passed_seconds

    def progress(self, step: int, steps: int, preview: bytes = b"") -> None:
        if not self.ended:
            self.share = step / max(steps, 1)
            self.send(Progress(job=self.id, step=step, steps=steps, preview=preview))

    def token(self, text: str) -> None:
        """More of its text. After a new beginning, what was sent before is not sent twice: the seed repeats it."""
        fresh = text[self._repeated :]
        self._repeated -= len(text) - len(fresh)
        if fresh and not self.ended:
            self._said += len(fresh)
            self.send(Token(job=self.id, text=fresh))

    def start(self, now: float) -> None:
        """From now on its time counts."""
        self.deadline = now + (self.submit.limit_seconds or math.inf)
        self.crowded = False

    def again(self) -> None:
        """It will be begun anew, as a suspect."""
        self.suspect = True
        self.share, self._repeated = 0.0, self._said

    def finish(self, artifacts: tuple[Artifact, ...]) -> None:
        unread = self.unread[:UNREAD_CHARS_MAX]
        self._end(Result(job=self.id, artifacts=artifacts, device_seconds=self.device_seconds, unread=unread))

    def fail(self, code: FailureCode, message: str) -> None:
        """`message` is for operators and never quotes a prompt."""
        self._end(Failed(job=self.id, code=code, message=message, device_seconds=self.device_seconds))

    def fail_if_late(self, now: float) -> None:
        if now > self.deadline:
            beside = "beside others" if self.crowded else "alone"
            why = f"It has run {beside} for longer than {self.submit.limit_seconds:.0f} s."
            self.fail("crowded" if self.crowded else "timeout", why)

    def drop_if_cancelled(self) -> bool:
        """Whether the job has ended, which it now has if somebody asked to cancel it."""
        if self.cancelled:
            self._end(Cancelled(job=self.id, share=min(self.share, 1.0), device_seconds=self.device_seconds))
        return self.ended

    def _end(self, event: Result | Failed | Cancelled) -> None:
        if not self.ended:
            self.ended = True
            self.send(event)
