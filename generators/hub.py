"""Many pipelines side by side in one thread, their heavy calls joined: step-level continuous batching.

Each picture's unmodified pipeline runs as a `Task`, a greenlet, until it calls a module. The call (`Call`) goes to
the hub and waits; a turn of the hub runs one group of waiting calls as one forward and lets their tasks go on to
their next calls. So pictures at different steps share forwards; one that comes or goes changes nothing for others.

What torch keeps for a thread (gradients, autocast) is set once around a turn and looked at whenever a task hands
over, because a task that changed it would change it for all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Hashable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import greenlet
import torch

from generators import families, faults, hardware, merging, turns
from generators.encodings import Encodings
from generators.profiles import Profiles
from generators.requests import LoraUse

Loras = tuple[LoraUse, ...]
DECODED_ROWS, DECODED_ROWS_MAX = 2, 8  # pictures in a decoding, at first and at most: it holds up steps


class Task(greenlet.greenlet):
    """One picture's pipeline. `charge` is told the seconds of device time that it took."""

    def __init__(
        self, work: Callable[[], Any], *, size: tuple[int, int], loras: Loras, charge: Callable[[float], None]
    ) -> None:
        super().__init__(work)
        self.size = size
        self.loras = loras
        self.charge = charge
        self.leaving = False

    def ask(self, call: Call) -> Any:
        """Wait, within the task, for a call's result."""
        if self.leaving:
            raise greenlet.GreenletExit
        return self.parent.switch(call)  # type: ignore[union-attr] - only a thread's first greenlet has none


@dataclass(eq=False)
class Call:
    """One call of a module that a task waits for. `part` is `unet`, `vae.decode` or such; `loras` are those it must
    see, None if it is not touched by any."""

    task: Task
    part: str
    function: Callable[..., Any]
    arguments: dict[str, Any]
    sharing: Literal["joined", "same", "alone"]
    key: Hashable
    rows: int
    loras: Loras | None = None
    is_step: bool = False
    joining: families.Joining = families.PLAIN
    since: int = 0

    @property
    def profile(self) -> str:
        width, height = self.task.size
        return f"{self.part} {width}x{height}"


@dataclass(frozen=True)
class Failure:
    """Why a call or task came to nothing; it must not hold the error, whose traceback holds tensors."""

    code: Literal["out_of_memory", "internal"]
    message: str


@dataclass(frozen=True)
class Ended:
    task: Task
    output: Any  # a pipeline's, or a Failure


class Hub:
    def __init__(
        self,
        *,
        device: str,
        profiles: Profiles,
        rows: int,
        adapt: Callable[[Loras], None],
        relieve: Callable[[], bool],
        beat: Callable[[int], None],
    ) -> None:
        """`rows`: of a forward while no profile knows better. `adapt` puts LoRAs on; `relieve` frees memory; `beat`
        hears of each forward, and of a step's rows."""
        self._device = device
        self._profiles = profiles
        self._rows = rows
        self._adapt = adapt
        self._relieve = relieve
        self._beat = beat
        self._encodings = Encodings()
        self._new: list[Task] = []
        self._waiting: dict[Task, Call] = {}
        self._ended: list[Ended] = []
        self._turn = 0

    def add(self, task: Task) -> None:
        """It begins with the next turn."""
        self._new.append(task)

    def turn(self) -> Sequence[Ended]:
        """Begin what is new, run one group of calls, and say which tasks have ended."""
        self._turn += 1
        with self._mode():
            while self._new:
                self._resume(self._new.pop(0))
            self._run(turns.choose(list(self._waiting.values()), self._turn, self._cap))
        ended, self._ended = self._ended, []
        return ended

    def drop(self, task: Task) -> None:
        """Let a task go, wherever it is; what it holds is free afterwards."""
        self._new = [each for each in self._new if each is not task]
        self._waiting.pop(task, None)
        task.leaving = True
        with self._mode():
            task.throw()

    def cap(self, part: str, size: tuple[int, int]) -> int:
        """Rows that a forward of a part may have."""
        width, height = size
        what = f"{part} {width}x{height}"
        if part == "vae.decode":
            return self._profiles.cap(what, DECODED_ROWS, DECODED_ROWS_MAX)
        return self._profiles.cap(what, self._rows)

    def _cap(self, call: Call) -> int:
        match call.sharing:
            case "joined":
                return self.cap(call.part, call.task.size)
            case "same":
                return len(self._waiting) * call.rows
            case "alone":
                return call.rows

    def _run(self, calls: Sequence[Call]) -> None:
        """Calls that do not fit together stay, and their next forward is smaller; one that does not fit alone ends
        its task. After any other error each runs by itself, so that only the guilty one ends."""
        if not calls:
            return
        began = time.monotonic()
        outputs = self._forward(calls)
        self._charge(calls, time.monotonic() - began)
        self._beat(sum(call.rows for call in calls) if calls[0].is_step else 0)
        if not isinstance(outputs, Failure):
            for call, output in zip(calls, outputs, strict=True):
                self._resume(call.task, output)
        elif outputs.code == "out_of_memory" and self._is_eased(calls):
            return
        elif len(calls) > 1:
            for call in calls:
                self._run([call])
        else:
            self._give_up(calls[0].task, outputs)

    def _forward(self, calls: Sequence[Call]) -> Sequence[Any] | Failure:
        try:
            if calls[0].loras is not None:
                self._adapt(calls[0].loras)
            match calls[0].sharing:
                case "joined":
                    return self._joined(calls)
                case "same":
                    return [self._encoded(calls[0])] * len(calls)
                case "alone":
                    return [calls[0].function(**calls[0].arguments)]
        except Exception as error:
            return self._failure(error)

    def _joined(self, calls: Sequence[Call]) -> Sequence[Any]:
        began = hardware.clock(self._device)
        first, rows = calls[0], sum(call.rows for call in calls)
        arguments = merging.joined([call.arguments for call in calls], first.joining)
        output = first.function(**arguments)
        self._profiles.note(first.profile, rows, hardware.clock(self._device) - began)
        cuts: list[Any] = []
        at = 0
        for call in calls:
            cuts.append(merging.cut(output, at, at + call.rows))
            at += call.rows
        return cuts

    def _encoded(self, call: Call) -> Any:
        output = self._encodings.get(call.key)
        if output is None:
            output = call.function(**call.arguments)
            self._encodings.keep(call.key, output)
        return output

    def known(self, key: Hashable) -> Any:
        """What a text encoder said before, or None."""
        return self._encodings.get(key)

    def _is_eased(self, calls: Sequence[Call]) -> bool:
        """Whether the same calls may be tried again."""
        hardware.sweep()
        if len(calls) > 1 and calls[0].sharing == "joined":
            self._profiles.ran_out(calls[0].profile, sum(call.rows for call in calls))
            return True
        self._encodings.clear()
        return self._relieve()

    def _charge(self, calls: Sequence[Call], seconds: float) -> None:
        rows = sum(call.rows for call in calls)
        for call in calls:
            call.task.charge(seconds * call.rows / rows)

    def _resume(self, task: Task, output: Any = None) -> None:
        """Let a task go on to its next call or its end."""
        self._waiting.pop(task, None)
        began = time.monotonic()
        asked = self._switch(task, output)
        task.charge(time.monotonic() - began)
        if task.dead:
            self._ended.append(Ended(task, asked))
        elif isinstance(asked, Failure):
            self._give_up(task, asked)
        else:
            asked.since = self._turn
            self._waiting[task] = asked

    def _switch(self, task: Task, output: Any) -> Any:
        try:
            asked = task.switch(output) if task else task.switch()
        except Exception as error:
            return self._failure(error)
        return asked if self._is_unchanged() else Failure("internal", "It changed the mode of all.")

    def _give_up(self, task: Task, failure: Failure) -> None:
        self.drop(task)
        self._ended.append(Ended(task, failure))

    @contextmanager
    def _mode(self) -> Generator[None]:
        with torch.inference_mode(), torch.autocast(self._kind, enabled=False):
            yield

    @property
    def _kind(self) -> str:
        return self._device.partition(":")[0]

    def _is_unchanged(self) -> bool:
        """Whether the mode is still the hub's; it is set right if not."""
        changed = torch.is_grad_enabled() or torch.is_autocast_enabled(self._kind)
        if changed:
            torch.set_grad_enabled(False)
            torch.set_autocast_enabled(self._kind, False)
        return not changed

    def _failure(self, error: Exception) -> Failure:
        """What is to be remembered of an error. Raises it where the device works no more: nobody's fault here."""
        if hardware.is_out_of_memory(error):
            return Failure("out_of_memory", "")
        if not hardware.works(self._device):
            raise error
        faults.print_frames(error)
        return Failure("internal", faults.place(error))
