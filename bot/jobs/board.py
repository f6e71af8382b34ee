"""What live jobs show: gathers states, places and progress, draws cards, hands them to the platforms.

One sequenced writer a message: `final` closes a job here and waits for the drawing in flight, so nothing
overwrites its result. The dispatcher reports in the same process through `hear`, others by the `progress` signal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import msgspec
import structlog

from bot.chat import Address, Card, Locale, Platform
from bot.jobs import forecast
from bot.jobs.cards import Cards, Moment
from bot.jobs.ending import address_of
from bot.jobs.forecast import Accuracy, Place, Promise
from bot.jobs.progress import Live
from storage import artifacts, flows, jobs, records
from storage.blobs import Blobs
from storage.database import Database, DatabaseUnavailable, Session
from storage.jobs import Job

DRAW_SECONDS = 0.25  # between two drawings of the board
LOOK_SECONDS = 1.0  # between two looks at states and places in the database
WATCHED_MAX = 10_000

log = structlog.get_logger(__name__)


class Final(msgspec.Struct, frozen=True, kw_only=True):
    address: Address
    card: Card


@dataclass
class _Watch:
    address: Address
    note: str = ""
    live: Live | None = None
    card: Card | None = None
    drawn_from: tuple[Job, Moment] | None = None
    shown: Card | None = None
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    closed: bool = False
    promise: Promise | None = None


@dataclass(frozen=True)
class _Look:
    """The database's side of the board at one moment."""

    jobs: Mapping[int, Job] = field(default_factory=dict[int, Job])
    places: Mapping[int, Place] = field(default_factory=dict[int, Place])


class Board:
    def __init__(
        self, database: Database, blobs: Blobs, cards: Cards, *, clock: Callable[[], datetime]
    ) -> None:
        self._database, self._blobs, self._cards, self._clock = database, blobs, cards, clock
        self.accuracy = Accuracy()
        self._platforms: dict[str, Platform] = {}
        self._watched: dict[int, _Watch] = {}
        self._look = _Look()
        self._news = asyncio.Event()
        self._unread: set[int] = set()
        database.signals.on("progress", self._signalled)

    def add(self, platform: Platform) -> None:
        self._platforms[platform.name] = platform

    def watch(self, job: Job, *, note: str = "") -> None:
        """Shows this job from now on, if its platform is served here; its status ends with the note."""
        address = address_of(job)
        if address.platform in self._platforms and len(self._watched) < WATCHED_MAX:
            self._watched.setdefault(job.id, _Watch(address, note))
            self._news.set()

    def hear(self, job: int, live: Live) -> None:
        """Newest progress of a job; called by whoever runs it."""
        if watch := self._watched.get(job):
            watch.live = live
            self._news.set()

    async def run(self) -> None:
        """Draws until cancelled; starts with the jobs that were live before a restart."""
        await self._resume()
        looked = 0.0
        loop = asyncio.get_running_loop()
        while True:
            await self._news.wait()
            self._news.clear()
            if loop.time() - looked >= LOOK_SECONDS:
                await self._look_again()
                looked = loop.time()
            await self._draw()
            await asyncio.sleep(DRAW_SECONDS)
            if self._watched:
                self._news.set()  # places change without news of one's own

    async def card(self, job: Job, locale: Locale | None = None) -> Card:
        """The job's card now, whatever its state: for the gallery and for replies."""
        return (await self.draw_all([job], locale))[0]

    def label(self, job: Job) -> str:
        """The words that say that the job's output is AI-made, in its address's language."""
        return self._cards.label(job.model, address_of(job).locale)

    async def draw_all(self, found: list[Job], locale: Locale | None = None) -> list[Card]:
        """Cards of several jobs, with their outputs."""
        done = [job.id for job in found if job.state in jobs.TERMINAL]  # the others have no outputs yet
        made = await self._database.read(artifacts.of_jobs, done) if done else {}
        places = self._look.places
        cards: list[Card] = []
        for job in found:
            watch = self._watched.get(job.id)
            moment = Moment(
                live=watch.live if watch else None,
                note=watch.note if watch else "",
                place=places.get(job.id),
                artifacts=made.get(job.id, ()),
                text=await self._text(job, made),
            )
            cards.append(self._cards.draw(job, locale or address_of(job).locale, moment))
        return cards

    async def final(self, job_id: int) -> Final | None:
        """The card of a job that is over, after which nothing more is shown; None if it was deleted."""
        watch = self._watched.get(job_id)
        if watch is not None:
            watch.closed = True
            async with watch.writing:
                pass
        job = await self._database.read(jobs.get, job_id)
        if job is not None and watch is not None:
            self._judge(job, watch)
        found = None
        if job is not None and job.deleted_at is None:
            found = Final(address=address_of(job), card=await self.card(job))
        self._watched.pop(job_id, None)
        return found

    def _judge(self, job: Job, watch: _Watch) -> None:
        """How the promise was kept, where nothing but the line and the work could break it."""
        if (
            job.state == "completed"
            and job.attempt == 1
            and watch.promise
            and job.started_at
            and job.finished_at
        ):
            self.accuracy.note(watch.promise, job.started_at, job.finished_at)

    async def _text(self, job: Job, made: Mapping[int, list[artifacts.Artifact]]) -> str:
        texts = [each for each in made.get(job.id, ()) if each.media_type.startswith("text/")]
        parts = [await self._blobs.get(each.blob) or b"" for each in texts]
        return b"\n".join(parts).decode("utf-8", "replace")

    async def _resume(self) -> None:
        try:
            for job in await self._database.read(jobs.recent, limit=WATCHED_MAX, live=True):
                self.watch(job)
        except DatabaseUnavailable:
            log.warning("board.database_away")

    async def _look_again(self) -> None:
        try:
            now = self._clock()
            found, places = await self._database.read(_look, list(self._watched), now)
            self._look = _Look(found, {job: self.accuracy.tell(place) for job, place in places.items()})
            for job, watch in self._watched.items():
                if watch.promise is None and job in places:
                    watch.promise = self.accuracy.promise(places[job], now)
            unread, self._unread = self._unread, set()
            for job, data in (
                (await self._database.read(records.progress, list(unread))).items() if unread else ()
            ):
                self.hear(job, msgspec.json.decode(data, type=Live))
        except DatabaseUnavailable:
            log.warning("board.database_away")

    async def _draw(self) -> None:
        async with asyncio.TaskGroup() as group:
            for job_id, watch in list(self._watched.items()):
                job = self._look.jobs.get(job_id)
                if job is None or job.state in jobs.TERMINAL:
                    continue  # not looked at yet, or its result is on the way
                moment = Moment(live=watch.live, place=self._look.places.get(job_id), note=watch.note)
                if watch.drawn_from != (job, moment):  # in a long line most stay as they are
                    watch.card = self._cards.draw(job, watch.address.locale, moment)
                    watch.drawn_from = (job, moment)
                if watch.card is not None and watch.card != watch.shown:
                    group.create_task(self._show(job.account, watch, watch.card))

    async def _show(self, account: int, watch: _Watch, card: Card) -> None:
        async with watch.writing:
            if watch.closed:
                return
            try:
                platform = self._platforms[watch.address.platform]
                if await platform.show(account, watch.address, card):
                    watch.shown = card
            except Exception:
                log.exception("board.show_failed", job=card.job)

    def _signalled(self, payload: str) -> None:
        if payload.isdigit() and int(payload) in self._watched:
            self._unread.add(int(payload))
            self._news.set()


def _look(session: Session, watched: list[int], now: datetime) -> tuple[dict[int, Job], dict[int, Place]]:
    found = {job.id: job for job in jobs.many(session, watched)}
    tiers, lines = flows.snapshot(session)
    return found, forecast.places(tiers, lines, jobs.pending(session), now, records.capacity(session))
