"""What must be true of both chats and of the database once the crowd has gone home.

A job's messages are known by their signed buttons: one with Cancel shows it on its way, one without shows its end.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from bot.chat import Action
from storage.database import Database, Session
from storage.tables import DeliveryRow, EntryRow, JobRow
from tests.end_to_end.crowd import Crowd, Message, OnDiscord, Read, Trouble, discord_buttons, telegram_buttons
from tests.fakes.discord.state import BOT, EPHEMERAL, LOADING, gallery

NEAR_A_KILL_MAX = 6  # for each crash: leftovers of what was on its way just then


@dataclass(frozen=True)
class End:
    """One job as the database has it."""

    id: int
    event: str
    state: str
    private: bool
    deleted: bool
    sent: str
    attempts: int  # of its delivery


@dataclass(frozen=True)
class Shown:
    """One message of the bot's about a job. `public`: others than the requester see it."""

    job: int
    message: str
    over: bool
    pictured: bool
    public: bool


@dataclass
class Findings:
    """`wrong` must stay empty; the rest is what crashes are allowed to leave behind, counted."""

    wrong: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


async def check(crowd: Crowd, trouble: Trouble, database: Database) -> Findings:
    found = Findings()
    ends = await database.read(_ends)
    shown = [*_on_discord(crowd), *_on_telegram(crowd)]
    _check_jobs(ends, shown, found)
    _check_privacy(ends, shown, found)
    events = {each.event for each in ends}
    _check_interactions(crowd, trouble, events, found)
    _check_written(crowd, trouble, events, found)
    _check_telegram(crowd, events, found)
    charged, prices = await database.read(_money)
    if not charged == prices > 0:
        found.wrong.append(f"charged {charged}, completed jobs cost {prices}")
    leftovers = sum(
        found.counts[each] for each in ("shown twice", "stale", "thinking for ever", "unanswered at a crash")
    )
    if leftovers > NEAR_A_KILL_MAX * len(trouble.kills):
        found.wrong.append(f"too much is left behind: {dict(found.counts)}")
    return found


def _check_jobs(ends: list[End], shown: list[Shown], found: Findings) -> None:
    """One end in sight for each; twice only where a delivery had to be tried twice."""
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
        elif end.state == "completed" and not any(each.pictured for each in over):
            found.wrong.append(f"job {end.id} is completed without a picture in {over}")
        elif len(over) > 1:
            found.counts["shown twice"] += len(over) - 1
            if end.attempts < 2:
                found.wrong.append(f"job {end.id} is shown {len(over)} times after one delivery")
    if by_job:
        found.wrong.append(f"messages of jobs that do not exist: {sorted(by_job)}")


def _check_privacy(ends: list[End], shown: list[Shown], found: Findings) -> None:
    private = {each.id for each in ends if each.private}
    found.counts["private jobs"] = len(private)
    found.wrong += [
        f"private job {each.job} in public" for each in shown if each.public and each.job in private
    ]


def _check_interactions(crowd: Crowd, trouble: Trouble, events: set[str], found: Findings) -> None:
    """Each was heard and answered, unless nobody was there."""
    for each in crowd.discord.interactions.values():
        original = crowd.discord.messages.get(each.original)
        if each.answer is not None and not (original and original["flags"] & LOADING):
            found.counts["interactions answered"] += 1
        elif each.id in events:
            found.counts["thinking for ever"] += 1  # its job ended in another message: see above
        elif trouble.is_deaf(each.asked_at):
            found.counts["unheard while away" if each.answer is None else "thinking for ever"] += 1
        else:
            found.wrong.append(f"interaction {each.id} of type {each.type} was not answered: {each.answer}")


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


def _check_telegram(crowd: Crowd, events: set[str], found: Findings) -> None:
    """What people said there waits for the bot: each message has a job or an answer."""
    server = crowd.telegram
    for chat in server.chats.values():
        mine = [each for each in chat.messages.values() if each["from"] == server.me]
        answered = {each["reply_to_message"]["message_id"] for each in mine if "reply_to_message" in each}
        for each in chat.messages.values():
            if each["from"] == server.me:
                continue
            if f"m{chat.id}.{each['message_id']}" in events or each["message_id"] in answered:
                found.counts["telegram requests answered"] += 1
            else:
                found.counts["unanswered at a crash"] += 1
                found.counts[f"unanswered: {each.get('text', '').split()[0]}"] += 1


def _on_discord(crowd: Crowd) -> Iterator[Shown]:
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
        channel = crowd.discord.channels[message["channel_id"]]
        public = bool(channel.guild) and not message["flags"] & EPHEMERAL
        pictured = bool(gallery(message))
        yield from _shown(message, discord_buttons, crowd.read, pictured=pictured, public=public)


def _on_telegram(crowd: Crowd) -> Iterator[Shown]:
    for chat in crowd.telegram.chats.values():
        for message in chat.messages.values():
            if message["from"] == crowd.telegram.me:
                yield from _shown(
                    message, telegram_buttons, crowd.read, pictured="photo" in message, public=chat.id < 0
                )


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
        select(JobRow.id, JobRow.key, JobRow.state, JobRow.private, JobRow.deleted_at, DeliveryRow.state,
               DeliveryRow.attempts).outerjoin(DeliveryRow, DeliveryRow.job_id == JobRow.id).order_by(JobRow.id)
    )  # fmt: skip
    return [
        End(
            id=a, event=b.split(":", 2)[2], state=c, private=d, deleted=e is not None, sent=f or "missing",
            attempts=g or 0,
        )
        for a, b, c, d, e, f, g in rows
    ]  # fmt: skip


def _money(session: Session) -> tuple[int, int]:
    charged = sum(session.scalars(select(EntryRow.amount).where(EntryRow.target == "revenue")))
    prices = sum(session.scalars(select(JobRow.paid).where(JobRow.state.in_(("completed", "cancelled")))))
    return charged, prices
