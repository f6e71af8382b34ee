"""Places and the ways into them: settings of servers and groups, short-lived answer tokens, leases."""

from __future__ import annotations

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from storage.tables import LeaseRow, PlaceRow, TokenRow
from storage.types import from_now, insert_for


def settings(session: Session, platform: str, place: str) -> bytes | None:
    return session.scalar(
        select(PlaceRow.settings).where(PlaceRow.platform == platform, PlaceRow.external_id == place)
    )


def set_settings(session: Session, platform: str, place: str, data: bytes) -> None:
    statement = insert_for(session)(PlaceRow).values(platform=platform, external_id=place, settings=data)
    session.execute(
        statement.on_conflict_do_update(index_elements=["platform", "external_id"], set_={"settings": data})
    )


def move(session: Session, platform: str, old: str, new: str) -> None:
    """The place has another id now (a Telegram group became a supergroup)."""
    kept = settings(session, platform, old)
    if kept is not None:
        set_settings(session, platform, new, kept)
        session.execute(delete(PlaceRow).where(PlaceRow.platform == platform, PlaceRow.external_id == old))


def keep_token(
    session: Session, platform: str, place: str, person: str, token: str, *, seconds: float
) -> None:
    """The newest token replaces the one before. Its time is the database's: processes' clocks may differ."""
    until = from_now(seconds)
    statement = insert_for(session)(TokenRow).values(
        platform=platform, place=place, person=person, token=token, expires_at=until
    )
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["platform", "place", "person"], set_={"token": token, "expires_at": until}
        )
    )


def token(session: Session, platform: str, place: str, person: str) -> str | None:
    """One that still works, or None."""
    return session.scalar(
        select(TokenRow.token).where(
            TokenRow.platform == platform,
            TokenRow.place == place,
            TokenRow.person == person,
            TokenRow.expires_at > from_now(0),
        )
    )


def forget_tokens(session: Session) -> None:
    """Tokens are erased when they expire."""
    session.execute(delete(TokenRow).where(TokenRow.expires_at <= from_now(0)))


def lead(session: Session, name: str, owner: str, *, seconds: int) -> bool:
    """Takes or prolongs the lease of this name; False while another owner holds it."""
    statement = insert_for(session)(LeaseRow).values(name=name, owner=owner, until=from_now(seconds))
    if session.scalar(statement.on_conflict_do_nothing().returning(LeaseRow.owner)) is not None:
        return True
    taken = session.execute(
        update(LeaseRow)
        .where(LeaseRow.name == name, or_(LeaseRow.owner == owner, LeaseRow.until <= from_now(0)))
        .values(owner=owner, until=from_now(seconds))
    )
    return bool(taken.rowcount)  # type: ignore[attr-defined]


def step_down(session: Session, name: str, owner: str) -> None:
    session.execute(delete(LeaseRow).where(LeaseRow.name == name, LeaseRow.owner == owner))


def nobody_leads(session: Session) -> None:
    """Whoever led is gone: at the start of a process that alone owns the database."""
    session.execute(delete(LeaseRow))
