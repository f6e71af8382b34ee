"""Which message shows which job: kept in memory, and in the job's address for after a restart.

A job's sheet has one lock: whoever writes its message holds it, so that a late step never covers a result.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field

import msgspec

from bot.chat import Address
from storage import jobs
from storage.database import Database, Session

SHEETS_MAX = 20_000
STATUS, STATUS_CHAT, MORE = "status", "status_chat", "more"


@dataclass
class Sheet:
    """`status`: the message that shows the job; `sent`: parts of its result that have arrived."""

    job: int
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    loaded: bool = False
    status: int = 0
    status_chat: int = 0
    shown: str = ""
    shown_at: float = 0.0
    preview: bytes = b""
    previewed_at: float = 0.0
    pictured: bool = False  # the status is a photo's caption
    drafted: bool = False
    closed: bool = False
    sent: list[int] = field(default_factory=list[int])


class Sheets:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._sheets: OrderedDict[int, Sheet] = OrderedDict()

    def of(self, job: int) -> Sheet:
        sheet = self._sheets.setdefault(job, Sheet(job))
        self._sheets.move_to_end(job)
        while len(self._sheets) > SHEETS_MAX and not next(iter(self._sheets.values())).lock.locked():
            self._sheets.popitem(last=False)
        return sheet

    async def load(self, sheet: Sheet, address: Address | None = None) -> None:
        """What a process before this one, or another, has kept in the address."""
        if sheet.loaded:
            return
        if address is None or STATUS not in address.route:
            address = await self._database.read(_address, sheet.job) or address
        sheet.loaded = True
        if address is not None and (status := address.route.get(STATUS, "")):
            sheet.status, sheet.status_chat = int(status), int(address.route.get(STATUS_CHAT, "0"))

    async def keep(self, sheet: Sheet, chat: int, message: int) -> bool:
        """Remembers the status message; False for a job that is over, whose result looks for none."""
        route = {STATUS: str(message), STATUS_CHAT: str(chat)}
        if not await self._database.run(_keep, sheet.job, route, live=True):
            return False
        sheet.loaded, sheet.status, sheet.status_chat = True, message, chat
        return True

    async def keep_parts(self, sheet: Sheet, messages: list[int]) -> None:
        """All messages of a result, so that all of them can be deleted."""
        await self._database.run(
            _keep, sheet.job, {MORE: ",".join(str(each) for each in messages)}, live=False
        )

    async def parts(self, job: int) -> list[int]:
        address = await self._database.read(_address, job)
        return [int(each) for each in (address.route.get(MORE, "") if address else "").split(",") if each]


def _address(session: Session, job_id: int) -> Address | None:
    job = jobs.get(session, job_id)
    return msgspec.json.decode(job.address, type=Address) if job else None


def _keep(session: Session, job_id: int, more: dict[str, str], *, live: bool) -> bool:
    """Under the job's lock: its result is sent either after this, or without it."""
    job = jobs.lock(session, job_id)
    if job is None or (live and job.state in jobs.TERMINAL):
        return False
    address = msgspec.json.decode(job.address, type=Address)
    address = msgspec.structs.replace(address, route=address.route | more)
    jobs.set_address(session, job_id, msgspec.json.encode(address))
    return True
