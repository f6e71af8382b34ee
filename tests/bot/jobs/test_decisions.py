"""Pricing and allowances: plain functions of values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bot import settings
from bot.config import Abuse, ModelEntry, Plan
from bot.jobs import allowances, limits, pricing
from generators.requests import ImageToImage, Message, TextToImage, WriteText
from storage.accounts import Account
from tests.bot.jobs.world import apple

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
TINY = settings.load(None, {}).models["tiny"]


def test_a_picture_at_the_models_own_settings_costs_the_entrys_credits() -> None:
    model = ModelEntry(name="m", kind="image", source="s", width=512, height=512, steps=20, credits=3)
    assert pricing.price(apple(width=512, height=512), model) == 3
    assert pricing.price(apple(width=512, height=512, count=2), model) == 6
    assert pricing.price(apple(width=1024, height=512), model) == 6
    assert (
        pricing.price(apple(width=512, height=512, steps=10), model) == 2
    )  # a part of a credit counts as one


def test_starting_from_a_picture_costs_the_share_of_the_steps_that_runs() -> None:
    whole = apple(width=256, height=256)
    fields = {name: getattr(whole, name) for name in whole.__struct_fields__}
    half = ImageToImage(**fields, source="s", strength=0.5)
    assert pricing.price(half, TINY) * 2 == pricing.price(whole, TINY) == 4


def test_a_text_is_priced_by_hundreds_of_tokens() -> None:
    model = ModelEntry(name="t", kind="text", source="s", credits=2)
    text = WriteText(model="t", messages=(Message(role="user", content="hi"),), max_tokens=250)
    assert pricing.price(text, model) == 5


@given(st.integers(1, 8), st.integers(1, 100), st.integers(0, 10**9))
def test_more_work_never_costs_less(count: int, steps: int, unit: int) -> None:
    less, more = apple(count=count, steps=steps), apple(count=count + 1, steps=steps)
    assert 1 <= pricing.price(less, TINY) <= pricing.price(more, TINY)
    assert 1 <= pricing.cost_us(less, TINY, unit) <= pricing.cost_us(more, TINY, unit)


@given(
    st.tuples(st.integers(1, 64), st.integers(1, 64)), st.integers(1, 150), st.integers(1, 10),
    st.integers(64 * 64, 2**21), st.integers(1, 50), st.integers(1, 4),
)  # fmt: skip
def test_a_request_taken_over_never_goes_beyond_the_payers_plan_and_keeps_what_is_within(
    cells: tuple[int, int], steps: int, count: int, pixels: int, steps_max: int, count_max: int
) -> None:
    model = ModelEntry(
        name="m", kind="image", source="s", multiple=64, pixels_max=2**22, steps_max=150, count_max=10
    )
    plan = Plan(pixels_max=pixels, steps_max=steps_max, count_max=count_max)
    wanted = apple(width=cells[0] * 64, height=cells[1] * 64, steps=steps, count=count)
    got = limits.fitted(wanted, model, plan)
    assert isinstance(got, TextToImage)
    assert (got.width % 64, got.height % 64) == (0, 0)
    assert got.width * got.height <= pixels
    assert (got.steps, got.count) == (min(steps, steps_max), min(count, count_max))
    assert limits.fitted(got, model, plan) == got
    if wanted.width * wanted.height <= pixels:
        assert (got.width, got.height) == (wanted.width, wanted.height)


def test_a_text_taken_over_is_as_long_as_the_payers_plan_allows() -> None:
    model = ModelEntry(name="t", kind="text", source="s", max_tokens_max=800)
    text = WriteText(model="t", messages=(Message(role="user", content="hi"),), max_tokens=1000)
    for tokens, allowed in ((2000, 800), (300, 300)):
        got = limits.fitted(text, model, Plan(tokens_max=tokens))
        assert isinstance(got, WriteText)
        assert got.max_tokens == allowed


@given(st.integers(0, 10_000), st.floats(-1, 2))
def test_a_cancelled_share_is_between_nothing_and_the_price(price: int, done: float) -> None:
    assert 0 <= pricing.share(price, done) <= price


def test_daily_credits_come_at_midnight_utc_and_new_accounts_get_a_part() -> None:
    plan, abuse = Plan(credits_day=40), Abuse(new_account_days=7, new_account_factor=0.5)
    [old] = allowances.due(somebody(1, created_at=NOW - timedelta(days=30)), plan, abuse, now=NOW)
    [new] = allowances.due(somebody(2, created_at=NOW), plan, abuse, now=NOW)
    assert (old.amount, new.amount) == (40, 20)
    assert old.expires_at == datetime(2026, 11, 25, tzinfo=UTC)
    assert old.key == "daily:1:2026-11-24"


def test_monthly_credits_last_until_the_first_of_the_next_month() -> None:
    december = datetime(2026, 12, 31, 23, tzinfo=UTC)
    [grant] = allowances.due(somebody(1), Plan(credits_month=1500), Abuse(), now=december)
    assert (grant.key, grant.amount) == ("monthly:1:2026-12", 1500)
    assert grant.expires_at == datetime(2027, 1, 1, tzinfo=UTC)


def test_a_right_gives_its_later_months_from_the_start_of_its_period() -> None:
    def due(since: datetime, until: datetime | None, now: datetime) -> list[str]:
        holder = somebody(1, plan_since=since, plan_until=until, entitlement=7)
        return [grant.key for grant in allowances.due(holder, Plan(credits_month=1500), Abuse(), now=now)]

    day = timedelta(days=1)
    assert due(NOW, NOW + 31 * day, NOW + 30 * day) == []  # a month of 31 days is one month
    assert due(NOW, NOW + 365 * day, NOW + 29 * day) == []  # the first came with the payment
    assert due(NOW, NOW + 365 * day, NOW + 30 * day) == ["monthly:7:2026-11-24:1"]
    assert due(NOW, NOW + 365 * day, NOW + 364 * day) == []  # a year is twelve of them
    assert due(NOW, None, NOW + 900 * day) == ["monthly:7:2026-11-24:30"]


def test_a_gift_of_a_part_of_a_month_gives_that_part_rounded_up() -> None:
    plan = Plan(credits_month=5000)
    given = [allowances.credits_of(plan, timedelta(days=days)) for days in (0, 1, 3, 29, 30, 45)]
    assert given == [0, 167, 500, 4834, 5000, 5000]


@given(
    credits=st.integers(0, 10**12),
    period=st.integers(1, 400),
    lengths=st.lists(st.integers(0, 400), min_size=1, max_size=40),
)
def test_splitting_a_gift_never_gives_more_than_rounding_up_each_piece(
    credits: int, period: int, lengths: list[int]
) -> None:
    plan = Plan(credits_month=credits, days=period)
    whole = min(period, 30)
    pieces = [allowances.credits_of(plan, timedelta(days=days)) for days in lengths]
    exact = [Fraction(credits * min(days, whole), whole) for days in lengths]
    assert all(0 <= piece - due < 1 for piece, due in zip(pieces, exact, strict=True))
    assert sum(pieces) < Fraction(credits * sum(lengths), whole) + len(lengths)
    assert allowances.credits_of(plan, timedelta(days=whole)) == credits


def somebody(number: int, *, created_at: datetime = NOW, **plan: Any) -> Account:
    usual: dict[str, Any] = {"plan_since": None, "plan_until": None, "entitlement": None}
    return Account(
        id=number, plan="free", derive_at=None, settings={}, limits={}, banned_reason=None, debt=0,
        created_at=created_at, **(usual | plan),
    )  # fmt: skip
