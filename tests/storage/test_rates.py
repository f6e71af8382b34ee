"""A pace: a burst at once, then one at a time, and never more than the limit in any period."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from storage import rates
from storage.database import Database, sqlite_engine
from storage.tables import RateRow
from tests.conftest import NOON


def ask(session: Session, seconds: float, *, key: str = "ann", per: int = 4) -> float:
    now = NOON + timedelta(seconds=seconds)
    return rates.allow(session, key, now, rates.Pace(per=per, period_seconds=60, burst=per))


async def test_a_burst_passes_and_who_is_refused_hears_when_it_is_their_turn(database: Database) -> None:
    def work(session: Session) -> None:
        assert [ask(session, 0) for _ in range(4)] == [0, 0, 0, 0]
        assert [ask(session, 0), ask(session, 5)] == [15, 10]  # being refused costs nothing
        assert [ask(session, 14.999), ask(session, 15), ask(session, 15)] == [0.001, 0, 15]
        assert ask(session, 0, key="bob") == 0
        assert [ask(session, 75) for _ in range(5)] == [0, 0, 0, 0, 15]  # idle long enough for another burst

    await database.run(work)


async def test_a_clock_that_went_back_blocks_nobody(database: Database) -> None:
    def work(session: Session) -> None:
        assert ask(session, 24 * 3600) == 0
        assert [ask(session, 0) for _ in range(5)] == [0, 0, 0, 0, 15]

    await database.run(work)


async def test_rows_that_say_nothing_any_more_are_forgotten(database: Database) -> None:
    def work(session: Session) -> int:
        for key, seconds in (("old", 0), ("new", 60)):
            ask(session, seconds, key=key)
        rates.forget(session, NOON + timedelta(seconds=60))
        return session.query(RateRow).count()

    assert await database.run(work) == 1


@given(st.integers(1, 9), st.lists(st.integers(0, 30_000), max_size=40))
def test_no_period_ever_has_more_than_twice_its_limit_and_whoever_waits_is_let_in(
    per: int, gaps_ms: list[int]
) -> None:
    engine = sqlite_engine("sqlite://")
    RateRow.__table__.create(engine)  # type: ignore[attr-defined]
    with Session(engine) as session:
        moment, allowed = 0, list[int]()
        for gap in gaps_ms:
            moment += gap
            wait = ask(session, moment / 1e3, per=per)
            if wait:
                moment += round(wait * 1e3) + 1
                assert ask(session, moment / 1e3, per=per) == 0
            allowed.append(moment)
        for start in allowed:
            assert sum(start <= each < start + 60_000 for each in allowed) <= 2 * per
    engine.dispose()
