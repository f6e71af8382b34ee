"""What must be true of both chats and of the database once the crowd has gone home.

A job's messages are known by their signed buttons: one with Cancel shows it on its way, one without shows its end.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import select

from bot.chat import Action
from storage.database import Database, Session
from storage.tables import DeliveryRow, EntryRow, JobRow
from tests.end_to_end.crowd import (
    ASKED_SECONDS,
    Crowd,
    Message,
    OnDiscord,
    Read,
    Trouble,
    discord_buttons,
    telegram_buttons,
)
from tests.fakes.discord.state import BOT, EPHEMERAL, LOADING, gallery, words
from tests.fakes.telegram import words as telegram_words

VAULT = -1_009_999  # where inline pictures are kept; not for people's eyes
SENT_SECONDS = 3.0  # between a message and the record of it; a crash there sends another
NEAR_A_CRASH_MAX = 6  # for each: leftovers of what was on its way just then
NUMBER = re.compile(r"\bq\d+\b")
LABELS = ("Made with AI · ", "由 AI 生成 · ")


@dataclass(frozen=True)
class End:
    """One job as the database has it."""

    id: int
    event: str
    kind: str
    state: str
    private: bool
    deleted: bool
    sent: str


@dataclass(frozen=True)
class Shown:
    """One message of the bot's about a job. `public`: others than the requester see it. `excused`: the bot may not
    know that it was sent.
    """

    job: int
    message: str
    over: bool
    picture: str  # a digest of the picture's bytes
    words: str
    public: bool
    excused: bool

    def holds(self, kind: str) -> bool:
        return bool(self.picture) if kind == "image" else any(label in self.words for label in LABELS)


@dataclass
class Findings:
    """`wrong` must stay empty; the rest is what crashes are allowed to leave behind, counted."""

    wrong: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


async def check(crowd: Crowd, trouble: Trouble, database: Database) -> Findings:
    found = Findings()
    ends = await database.read(_ends)
    shown = [*_on_discord(crowd, trouble), *_on_telegram(crowd, trouble), *_inline(crowd, ends)]
    _check_jobs(ends, shown, found)
    _check_pictures(shown, found)
    _check_privacy(crowd, ends, shown, found)
    events = {each.event for each in ends}
    _check_interactions(crowd, trouble, events, found)
    _check_written(crowd, trouble, events, found)
    _check_telegram(crowd, trouble, events, found)
    charged, prices = await database.read(_money)
    if not charged == prices > 0:
        found.wrong.append(f"charged {charged}, completed jobs cost {prices}")
    leftovers = sum(found.counts[each] for each in ("shown twice", "stale", "unanswered at a crash"))
    if leftovers > NEAR_A_CRASH_MAX * len(trouble.crashes):
        found.wrong.append(f"too much is left behind: {dict(found.counts)}")
    return found


def _check_jobs(ends: list[End], shown: list[Shown], found: Findings) -> None:
    """One end in sight for each; twice only where the bot could not know of the first."""
    by_job: defaultdict[int, list[Shown]] = defaultdict(list)
    for each in shown:
        by_job[each.job].append(each)
    for end in ends:
        mine = by_job.pop(end.id, [])
        over = [each for each in mine if each.over]
        found.counts[end.state + (" and deleted" if end.deleted else "")] += 1
        found.counts["stale"] += len(mine) - len(over)
        if end.deleted:
            found.counts["stale"] += len(over)
        elif end.sent != "sent":
            found.wrong.append(f"job {end.id} is {end.state}, its delivery {end.sent}")
        elif not over:
            found.wrong.append(f"job {end.id} ({end.event}) is {end.state} and nobody sees it")
        elif end.state == "completed" and not all(each.holds(end.kind) for each in over):
            found.wrong.append(f"job {end.id} is completed without its {end.kind} in {over}")
        elif len(over) > 1:
            found.counts["shown twice"] += len(over) - 1
            if sum(not each.excused for each in over) > 1:
                found.wrong.append(f"job {end.id} is shown {len(over)} times for no reason: {over}")
    if by_job:
        found.wrong.append(f"messages of jobs that do not exist: {sorted(by_job)}")


def _check_pictures(shown: list[Shown], found: Findings) -> None:
    """Each job has a picture of its own."""
    jobs: defaultdict[str, set[int]] = defaultdict(set)
    for each in shown:
        if each.over and each.picture:
            jobs[each.picture].add(each.job)
    found.counts["pictures"] = len(jobs)
    found.wrong += [f"jobs {sorted(each)} show the same picture" for each in jobs.values() if len(each) > 1]


def _check_privacy(crowd: Crowd, ends: list[End], shown: list[Shown], found: Findings) -> None:
    """By what the database says of a job, and by what people asked for, whose words have a number."""
    private = {each.id for each in ends if each.private}
    found.counts["private jobs"] = len(private)
    found.wrong += [
        f"private job {each.job} in public" for each in shown if each.public and each.job in private
    ]
    for said in _said_in_public(crowd):
        found.wrong += [
            f"{each} was asked in private" for each in NUMBER.findall(said) if each in crowd.secret
        ]


def _said_in_public(crowd: Crowd) -> Iterator[str]:
    """All words of the bot's that others see."""
    for message in crowd.discord.messages.values():
        if message["author"]["id"] == BOT and _is_public(crowd, message):
            yield words(message)
    for chat in crowd.telegram.chats.values():
        if chat.id < 0:
            yield from (telegram_words(each) for each in chat.messages.values() if _is_mine(crowd, each))
    yield from map(telegram_words, crowd.telegram.inline.values())


def _is_public(crowd: Crowd, message: Message) -> bool:
    return crowd.discord.channels[message["channel_id"]].type != 1 and not message["flags"] & EPHEMERAL


def _is_mine(crowd: Crowd, message: Message) -> bool:
    return message["from"] == crowd.telegram.me


def _check_interactions(crowd: Crowd, trouble: Trouble, events: set[str], found: Findings) -> None:
    """Each was heard and answered, unless nobody was there."""
    for each in crowd.discord.interactions.values():
        original = crowd.discord.messages.get(each.original)
        if each.answer is not None and not (original and _is_empty(original)):
            found.counts["interactions answered"] += 1
        elif each.answer is None and trouble.is_deaf(each.asked_at):
            found.counts["unheard while away"] += 1
        else:
            found.wrong.append(f"interaction {each.id} of type {each.type} was not answered: {each.answer}")


def _is_empty(message: Message) -> bool:
    """Still “thinking …”, or without anything to read or see."""
    return bool(message["flags"] & LOADING) or not (words(message).strip() or message["attachments"])


def _check_written(crowd: Crowd, trouble: Trouble, events: set[str], found: Findings) -> None:
    """Mentions and direct messages on Discord."""
    answered = {each.get("reference") for each in crowd.discord.messages.values()}
    for each in crowd.discord.messages.values():
        if each["author"]["id"] == BOT:
            continue
        if each["id"] in answered or each["id"] in events:
            found.counts["mentions answered"] += 1
        elif trouble.is_deaf(each["asked_at"]):
            found.counts["unheard while away"] += 1
        else:
            found.wrong.append(f"message {each['id']} was not answered")


def _check_telegram(crowd: Crowd, trouble: Trouble, events: set[str], found: Findings) -> None:
    """What people said there waits for the bot: each message has a job, or an answer with something in it.

    What only words would answer may be lost by a crash, if nothing had been said yet.
    """
    for chat in crowd.telegram.chats.values():
        mine = [each for each in chat.messages.values() if _is_mine(crowd, each)]
        answered = {
            each["reply_to_message"]["message_id"]
            for each in mine
            if "reply_to_message" in each and (telegram_words(each) or each.keys() & {"photo", "document"})
        }
        for asked in _requests(crowd, chat.messages.values()):
            numbers = {each["message_id"] for each in asked}
            heard = any(f"m{chat.id}.{number}" in events for number in numbers)
            if heard or numbers & answered:
                found.counts["telegram requests answered"] += 1
            elif any((chat.id, number) in crowd.telegram.answered for number in numbers):
                found.wrong.append(f"the answer to {numbers} in {chat.id} is gone")
            elif trouble.crashed_within(ASKED_SECONDS, asked[0]["at"]):
                found.counts["unanswered at a crash"] += 1
            else:
                found.wrong.append(f"message {numbers} in {chat.id} was not answered")


def _requests(crowd: Crowd, messages: Iterable[Message]) -> list[list[Message]]:
    """People's messages; those of an album are one."""
    asked: defaultdict[str, list[Message]] = defaultdict(list)
    for each in messages:
        if not _is_mine(crowd, each):
            asked[each.get("media_group_id") or str(each["message_id"])].append(each)
    return list(asked.values())


def _on_discord(crowd: Crowd, trouble: Trouble) -> Iterator[Shown]:
    listed = {
        message
        for member in crowd.members
        if isinstance(member, OnDiscord)
        for each in member.listings
        for message in each.made
    }
    for message in crowd.discord.messages.values():
        if message["id"] in listed or message["author"]["id"] != BOT:
            continue
        files = [urlsplit(each["url"]).path for each in message["attachments"]] if gallery(message) else []
        picture = _digest(b"".join(crowd.discord.files[each] for each in files))
        yield from _shown(
            message, discord_buttons, crowd.read, picture=picture, words=words(message),
            public=_is_public(crowd, message), excused=_is_excused(message, trouble),
        )  # fmt: skip


def _on_telegram(crowd: Crowd, trouble: Trouble) -> Iterator[Shown]:
    for chat in crowd.telegram.chats.values():
        for message in chat.messages.values():
            if _is_mine(crowd, message) and chat.id != VAULT:
                yield from _shown(
                    message, telegram_buttons, crowd.read, picture=_photo(crowd, message),
                    words=telegram_words(message), public=chat.id < 0, excused=_is_excused(message, trouble),
                )  # fmt: skip


def _inline(crowd: Crowd, ends: list[End]) -> Iterator[Shown]:
    """Messages that people sent themselves and the bot has filled: their keyboards tell no job."""
    jobs = {end.event: end.id for end in ends}
    for number, message in crowd.telegram.inline.items():
        if (job := jobs.get(f"i{number}")) is not None and telegram_words(message):
            yield Shown(
                job=job, message=number, over=True, picture=_photo(crowd, message),
                words=telegram_words(message), public=True, excused=False,
            )  # fmt: skip


def _photo(crowd: Crowd, message: Message) -> str:
    return _digest(crowd.telegram.data(message)) if "photo" in message else ""


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest() if data else ""


def _is_excused(message: Message, trouble: Trouble) -> bool:
    return "unheard" in message or trouble.crashed_within(SENT_SECONDS, message["at"])


def _shown(
    message: Message, buttons: Callable[[Message], Iterator[str]], read: Read, **how: Any
) -> Iterator[Shown]:
    presses = [
        press for button in buttons(message) if (press := read(button)) and press.action is not Action.ASK
    ]
    for job in {press.subject for press in presses}:
        number = str(message.get("id") or message.get("message_id"))
        yield Shown(
            job=job, message=number, over=all(each.action is not Action.CANCEL for each in presses), **how
        )


def _ends(session: Session) -> list[End]:
    rows = session.execute(
        select(JobRow.id, JobRow.key, JobRow.kind, JobRow.state, JobRow.private, JobRow.deleted_at,
               DeliveryRow.state).outerjoin(DeliveryRow, DeliveryRow.job_id == JobRow.id).order_by(JobRow.id)
    )  # fmt: skip
    return [
        End(
            id=a, event=b.split(":", 2)[2], kind=c, state=d, private=e, deleted=f is not None, sent=g or "missing"
        )
        for a, b, c, d, e, f, g in rows
    ]  # fmt: skip


def _money(session: Session) -> tuple[int, int]:
    charged = sum(session.scalars(select(EntryRow.amount).where(EntryRow.target == "revenue")))
    prices = sum(session.scalars(select(JobRow.paid).where(JobRow.state.in_(("completed", "cancelled")))))
    return charged, prices
