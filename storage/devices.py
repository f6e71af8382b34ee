"""The devices of all processes that generate: what each said last, and which ones operators want drained.

A process writes its rows every few seconds and obeys what it finds there, so that wishes survive lost signals.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec
from sqlalchemy import delete, select, tuple_, update
from sqlalchemy.orm import Session

from storage.signals import notify
from storage.tables import DeviceRow
from storage.types import from_now, insert_for

SILENT_SECONDS = 30  # a process that has said nothing for so long is gone


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """`status` is opaque here."""

    process: str
    name: str
    status: bytes
    drained: bool


def report(session: Session, process: str, statuses: Mapping[str, bytes]) -> set[str]:
    """Replaces what the process said before; returns the names of its devices that are to be drained."""
    session.execute(
        delete(DeviceRow).where(DeviceRow.process == process, DeviceRow.name.not_in(statuses.keys()))
    )
    for name, status in sorted(statuses.items()):
        said = {"status": status, "seen_at": from_now(0)}
        statement = insert_for(session)(DeviceRow).values(process=process, name=name, drained=False, **said)
        session.execute(statement.on_conflict_do_update(index_elements=["process", "name"], set_=said))
    drained = select(DeviceRow.name).where(DeviceRow.process == process, DeviceRow.drained)
    return set(session.scalars(drained))


def known(session: Session) -> list[Device]:
    """Those of processes that live."""
    rows = session.execute(
        select(DeviceRow.process, DeviceRow.name, DeviceRow.status, DeviceRow.drained)
        .where(DeviceRow.seen_at > from_now(-SILENT_SECONDS))
        .order_by(DeviceRow.name, DeviceRow.process)
    )
    return [Device(process=a, name=b, status=c, drained=d) for a, b, c, d in rows]


def want(session: Session, devices: Collection[Device], *, drained: bool) -> None:
    """Tells the processes that have them."""
    keys = [(device.process, device.name) for device in devices]
    session.execute(
        update(DeviceRow).where(tuple_(DeviceRow.process, DeviceRow.name).in_(keys)).values(drained=drained)
    )
    notify(session, "pool")


def forget(session: Session, process: str) -> None:
    """The process ends; those that ended without a word are forgotten with it."""
    session.execute(
        delete(DeviceRow).where(
            (DeviceRow.process == process) | (DeviceRow.seen_at <= from_now(-SILENT_SECONDS))
        )
    )
