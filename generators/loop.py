"""The engine's thread: jobs join resident models between steps, and busy models take turns on the device.

A turn of the loop: orders (Load, Unload) -> who may join -> whose time is over -> one step of the busy model that
had least device time. It waits only when nothing runs and nothing waits. Knows no torch and no process: see `worker`.

Who may join: of one model the oldest first, while its runner has room. A model that is not resident is loaded
when it fits beside the others, or in place of idle ones. Otherwise those that have to go for it may take more
jobs for `affinity_seconds`, less what went ahead of its oldest job before it came here, or, if that is later, until
they have been loaded for so long; then they drain. So staying on a warm model delays nobody for longer, from the queue
to the device, and a model that was waited for gets a turn worth its loading.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, NoReturn, assert_never

from generators import faults
from generators.engine import Host, ModelUnavailable
from generators.inbox import Inbox
from generators.job import Job, Send
from generators.messages import Load, Unload, Unloaded
from generators.models import Model
from generators.residency import NoRoom, Residency, Resident


class DeviceLost(Exception):
    """The device answers no more: only a new process helps."""


class Newcomer(NamedTuple):
    """A model that is not resident, and since when somebody waits for it."""

    since: float
    model: str


class Loop:
    """`works` says whether the device still does after an error that nobody foresaw."""

    def __init__(
        self,
        inbox: Inbox,
        residency: Residency,
        host: Host,
        *,
        send: Send,
        works: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inbox = inbox
        self._residency = residency
        self._host = host
        self._send = send
        self._works = works
        self._clock = clock
        self._models: dict[str, Model] = {}
        self._wishes: dict[str, float] = {}  # models to be loaded though no job needs them yet, since when
        self._spent = 0.0  # device time of the model that had its turn last, when it got it

    def run(self) -> NoReturn:
        """Raises `DeviceLost`."""
        while True:
            if not self.turn():
                self._inbox.wait()

    def turn(self) -> bool:
        """Whether another turn is due even if nothing more comes. Raises `DeviceLost`."""
        for order in self._inbox.orders():
            self._obey(order)
        self._residency.release()
        if not any(job.alone for job in self._inbox.begun()):
            self._admit()
        self._end_late()
        busy = self._residency.busy()
        if busy:
            self._step(min(busy, key=lambda resident: resident.spent))
        return bool(busy or self._wishes)

    # --- orders -----------------------------------------------------------------------------------------

    def _obey(self, order: Load | Unload) -> None:
        match order:
            case Load():
                self._expect(order.model)
            case Unload():
                self._wishes.pop(order.model, None)
                self._residency.dismiss(order.model)
            case _:
                assert_never(order)

    def _expect(self, model: Model) -> None:
        self._models[model.name] = model
        if self._residency.find(model):
            self._residency.announce(model.name)
        else:
            self._residency.dismiss(model.name)
            self._wishes[model.name] = self._clock()

    # --- who joins --------------------------------------------------------------------------------------

    def _admit(self) -> None:
        waiting = self._eligible()
        newcomer = self._newcomer(waiting)
        if newcomer is None:
            self._join(waiting, closed=())
            return
        try:
            self._join(waiting, closed=self._closed(newcomer))
            if not any(victim.busy for victim in self._victims(newcomer)):
                self._load(newcomer)
        except ModelUnavailable as error:
            self._refuse(newcomer, waiting, str(error))

    def _eligible(self) -> Sequence[Job]:
        """Those that wait, oldest first, up to one that wants the device for itself."""
        waiting = self._inbox.waiting()
        alone = next((at for at, job in enumerate(waiting) if job.alone), len(waiting))
        return waiting[: alone + 1]

    def _newcomer(self, waiting: Sequence[Job]) -> Newcomer | None:
        """Of all models that are waited for, the one that is so longest."""
        jobs = [Newcomer(job.waits_since, job.model) for job in waiting if not self._resident(job.model)]
        wishes = [Newcomer(since, model) for model, since in self._wishes.items()]
        return min([*jobs, *wishes], default=None)

    def _closed(self, newcomer: Newcomer) -> Sequence[str]:
        """Models that take no more jobs, so that they drain: their time beside a newcomer is over."""
        victims = self._victims(newcomer)
        begun = max([newcomer.since, *(victim.since for victim in victims)])
        is_over = self._clock() >= begun + self._host.settings.affinity_seconds
        return [victim.model.name for victim in victims] if is_over else []

    def _victims(self, newcomer: Newcomer) -> Sequence[Resident]:
        with self._loading(newcomer.model):  # what comes as GGUF is converted here
            return self._residency.victims(self._entry(newcomer.model))

    def _join(self, waiting: Sequence[Job], closed: Sequence[str]) -> None:
        """Within a model nobody overtakes: who does not fit holds the place of those behind."""
        held = set(closed)
        for job in waiting:
            resident = self._resident(job.model)
            if resident is None or job.model in held:
                continue
            if not self._may_join(resident, job) or (job.alone and job is not waiting[0]):
                held.add(job.model)
            elif self._inbox.take(job):
                self._begin(resident, job)

    def _may_join(self, resident: Resident, job: Job) -> bool:
        if job.alone:
            return not self._residency.busy()
        running = resident.runner.jobs()
        if job.suspect or any(other.suspect for other in running):
            return not running
        return not running or resident.runner.room(job)

    def _begin(self, resident: Resident, job: Job) -> None:
        """A model that was idle has saved up no turns."""
        job.start(self._clock())
        resident.used = self._clock()
        if not resident.busy:
            resident.spent = max(resident.spent, self._spent)
        try:
            with self._host.pulse.busy(stepping=job.model):
                resident.runner.begin(job)
        except Exception as error:
            faults.print_frames(error)
            job.fail("internal", f"The job could not be begun: {faults.place(error)}.")

    # --- loading ----------------------------------------------------------------------------------------

    def _load(self, newcomer: Newcomer) -> None:
        """Raises `ModelUnavailable`."""
        model = self._entry(newcomer.model)
        with self._loading(model.name):
            try:
                self._residency.load(model)
            except NoRoom:
                return
        self._wishes.pop(model.name, None)

    @contextmanager
    def _loading(self, model: str) -> Generator[None]:
        """Meanwhile nobody's time runs: jobs pay with it for their own steps only."""
        began = self._clock()
        try:
            with self._host.pulse.busy(loading=model):
                yield
        finally:
            for job in self._inbox.begun():
                job.deadline += self._clock() - began

    def _refuse(self, newcomer: Newcomer, waiting: Sequence[Job], why: str) -> None:
        """Answer whoever waited; who comes later gets a try of their own."""
        if self._wishes.pop(newcomer.model, None) is not None:
            self._send(Unloaded(model=newcomer.model, message=why))
        for job in waiting:
            if job.model == newcomer.model and self._inbox.take(job):
                job.fail("model_unavailable", why)

    def _entry(self, name: str) -> Model:
        if name not in self._models:
            raise ModelUnavailable(f"The worker was told of no model named {name!r}.")
        return self._models[name]

    def _resident(self, name: str) -> Resident | None:
        entry = self._models.get(name)
        return self._residency.find(entry) if entry else None

    # --- steps ------------------------------------------------------------------------------------------

    def _end_late(self) -> None:
        """Those that ran for longer than they may; their runners let them go at the next step."""
        begun = self._inbox.begun()
        for job in begun:
            job.crowded |= len(begun) > 1
            job.fail_if_late(self._clock())

    def _step(self, resident: Resident) -> None:
        name, runner = resident.model.name, resident.runner
        self._host.relieve = lambda: self._residency.relieve(keep=name)
        self._spent, began = resident.spent, self._clock()
        broken = ""
        try:
            with self._host.pulse.busy(stepping=name):
                runner.step()
        except Exception as error:
            faults.print_frames(error)
            broken = faults.place(error)  # the error itself is let go: its traceback holds the step's memory
        resident.spent += self._clock() - began
        if broken:
            self._isolate(resident, broken)
        self._answer_for(resident)

    def _isolate(self, resident: Resident, broken: str) -> None:
        """One who ran alone is guilty; of several each begins again alone, so that only the guilty one fails."""
        jobs = [job for job in resident.runner.jobs() if not job.ended]
        resident.runner.abandon()
        if not self._works():
            raise DeviceLost
        if len(jobs) == 1:
            jobs[0].fail("internal", f"The engine met an error that nobody foresaw: {broken}.")
            return
        for job in jobs:
            job.again()
        self._inbox.put_back(jobs)

    def _answer_for(self, resident: Resident) -> None:
        """A job that its runner has lost would wait for ever."""
        kept = resident.runner.jobs()
        for job in self._inbox.begun():
            if job.model == resident.model.name and job not in kept:
                job.fail("internal", "The engine ended without a result.")
