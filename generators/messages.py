"""The words between the pool and a worker: msgpack, one length-prefixed frame each, the same over any transport.

To the worker:   Submit, Cancel, Load, Unload, Stop
From the worker: Ready, Accepted, Progress, Token, Result, Failed, Cancelled, Loaded, Unloaded, Heartbeat

Each Submit is answered by Accepted, then any number of Progress and Token, then exactly one of Result, Failed
or Cancelled. A worker that dies says nothing: the pool answers Failed(code=WORKER_LOST or CLUSTER_LOST) in its place.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from generators.models import Model
from generators.requests import Artifact, Request

UNREAD_CHARS_MAX = 200

FailureCode = Literal[
    "worker_lost",  # the process died or hung: retry
    "cluster_lost",  # all workers went with what leads to them: retry, no job is to blame
    "out_of_memory",  # even alone: not again on this device
    "model_unavailable",  # folder missing, half-downloaded, pickled, unknown class, too big
    "lora_unavailable",  # missing, damaged, or of another family
    "bad_input",  # the source picture could not be read, or the size does not suit the model
    "prompt_too_long",  # there is no room for an answer
    "bad_output",  # NaN or empty result
    "timeout",  # longer than its limit, with the device for itself
    "crowded",  # longer than its limit, beside others: once more, alone
    "internal",  # anything else: retry
]


class Wire(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base of all messages: tagged with the class's name."""


class Submit(Wire, frozen=True, kw_only=True):
    """`limit_seconds`: how long it may run, waiting and loading not counted; 0: as long as it takes.
    `passed_seconds`: of work that has gone ahead of it already for the sake of loaded models.
    """

    job: str
    request: Request
    inputs: dict[str, bytes] = {}
    alone: bool = False  # run in a batch of one: its last batch lost the worker
    limit_seconds: float = 0.0
    passed_seconds: float = 0.0


class Cancel(Wire, frozen=True, kw_only=True):
    job: str


class Load(Wire, frozen=True, kw_only=True):
    """Make the model resident, or replace its entry: always sent before the first Submit that names it."""

    model: Model


class Unload(Wire, frozen=True, kw_only=True):
    model: str


class Stop(Wire, frozen=True, kw_only=True):
    """Finish nothing more: exit now."""


class Ready(Wire, frozen=True, kw_only=True):
    device: str
    name: str
    memory_bytes: int


class Accepted(Wire, frozen=True, kw_only=True):
    """The job waits inside the worker."""

    job: str


class Progress(Wire, frozen=True, kw_only=True):
    """`step` of `steps` are done; `preview` is a small JPEG or empty. Step 0 says that the job now runs."""

    job: str
    step: int
    steps: int
    preview: bytes = b""


class Token(Wire, frozen=True, kw_only=True):
    """More of a text, to be put after what came before."""

    job: str
    text: str


class Result(Wire, frozen=True, kw_only=True):
    """`unread`: how what the model had no room to read begins, at most `UNREAD_CHARS_MAX` characters of it."""

    job: str
    artifacts: tuple[Artifact, ...]
    device_seconds: float
    unread: str = ""


class Failed(Wire, frozen=True, kw_only=True):
    """`message` is for operators: it never quotes a prompt."""

    job: str
    code: FailureCode
    message: str
    device_seconds: float = 0.0


class Cancelled(Wire, frozen=True, kw_only=True):
    """`share` in [0, 1] of the job that had been done; 0 when it had not run."""

    job: str
    share: float
    device_seconds: float = 0.0


class Loaded(Wire, frozen=True, kw_only=True):
    model: str
    memory_bytes: int
    seconds: float


class Unloaded(Wire, frozen=True, kw_only=True):
    """Sent after an Unload, an eviction, or a Load that failed (then `message` says why)."""

    model: str
    message: str = ""


class Heartbeat(Wire, frozen=True, kw_only=True):
    """`stalled_seconds`: how long the engine has gone without finishing a step; 0 when idle.

    `loading` names the model being loaded: meanwhile a stall is measured against the longer limit for loading.
    `stepping` names the model whose step is being run.
    """

    stalled_seconds: float
    running: int
    waiting: int
    loading: str = ""
    stepping: str = ""
    resident: dict[str, int] = {}  # model -> bytes
    rows: dict[str, float] = {}  # model -> mean rows a forward since the last beat; none: it made none


ToWorker = Submit | Cancel | Load | Unload | Stop
FromWorker = Ready | Accepted | Progress | Token | Result | Failed | Cancelled | Loaded | Unloaded | Heartbeat
Event = Accepted | Progress | Token | Result | Failed | Cancelled
