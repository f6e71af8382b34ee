"""A submitted job inside the worker: the one place from which its events go out, the terminal one exactly once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from generators.messages import Cancelled, Failed, FailureCode, FromWorker, Progress, Result, Submit, Token
from generators.requests import Artifact, Request

Send = Callable[[FromWorker], None]


@dataclass(eq=False)
class Job:
    """`cancelled` is what somebody asked for (set by any thread); `ended` is what has been said (engine only)."""

    submit: Submit
    send: Send
    cancelled: bool = False
    ended: bool = False
    share: float = 0.0
    device_seconds: float = field(default=0.0)

    @property
    def id(self) -> str:
        return self.submit.job

    @property
    def request(self) -> Request:
        return self.submit.request

    @property
    def inputs(self) -> dict[str, bytes]:
        return self.submit.inputs

    def progress(self, step: int, steps: int, preview: bytes = b"") -> None:
        if not self.ended:
            self.share = step / max(steps, 1)
            self.send(Progress(job=self.id, step=step, steps=steps, preview=preview))

    def token(self, text: str) -> None:
        if text and not self.ended:
            self.send(Token(job=self.id, text=text))

    def finish(self, artifacts: tuple[Artifact, ...]) -> None:
        self._end(Result(job=self.id, artifacts=artifacts, device_seconds=self.device_seconds))

    def fail(self, code: FailureCode, message: str) -> None:
        """`message` is for operators and never quotes a prompt."""
        self._end(Failed(job=self.id, code=code, message=message, device_seconds=self.device_seconds))

    def drop_if_cancelled(self) -> bool:
        """Whether the job has ended, which it now has if somebody asked to cancel it."""
        if self.cancelled:
            self._end(Cancelled(job=self.id, share=min(self.share, 1.0), device_seconds=self.device_seconds))
        return self.ended

    def _end(self, event: Result | Failed | Cancelled) -> None:
        if not self.ended:
            self.ended = True
            self.send(event)
