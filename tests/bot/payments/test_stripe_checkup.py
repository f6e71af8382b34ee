"""What `atelier doctor` says of a shop at Stripe."""

from __future__ import annotations

import pytest

from bot import settings
from bot.config import Config
from bot.payments.stripe import checkup
from bot.payments.stripe.provider import KINDS
from tests.fakes.stripe.server import KEY, SECRET, FakeStripe

PAGE = "https://art.example"


def config(fake: FakeStripe, key: str = KEY) -> Config:
    return settings.load(None, {
        "ATELIER_STRIPE_KEY": key, "ATELIER_STRIPE_WEBHOOK_SECRET": SECRET, "ATELIER_STRIPE_API_BASE": fake.url,
    })  # fmt: skip


async def trouble(fake: FakeStripe, key: str = KEY) -> str:
    with pytest.raises(checkup.Trouble) as raised:
        await checkup.examine(config(fake, key), PAGE)
    return f"{raised.value.said} {raised.value.fix}"


def endpoint(fake: FakeStripe, *, events: list[str], status: str = "enabled") -> None:
    url = f"{PAGE}/hooks/stripe"
    fake.books.add("webhook_endpoint", "we", url=url, enabled_events=events, status=status)


async def test_a_good_shop_is_good(fake: FakeStripe) -> None:
    endpoint(fake, events=sorted(KINDS))
    assert await checkup.examine(config(fake), PAGE) == f"webhooks come to {PAGE}/hooks/stripe"


async def test_a_missing_permission_is_named(fake: FakeStripe) -> None:
    fake.forbidden = {"/v1/disputes"}
    assert "permission for Disputes" in await trouble(fake)


async def test_a_wrong_key_is_said_without_quoting_it(fake: FakeStripe) -> None:
    said = await trouble(fake, "sk_test_wrong")
    assert "does not take our key" in said
    assert "wrong" not in said


async def test_webhooks_that_do_not_come_are_said(fake: FakeStripe) -> None:
    assert "No webhook endpoint" in await trouble(fake)
    endpoint(fake, events=sorted(KINDS - {"invoice.paid"}))
    assert "invoice.paid" in await trouble(fake)


async def test_an_endpoint_that_is_off_is_said(fake: FakeStripe) -> None:
    endpoint(fake, events=["*"], status="disabled")
    assert "is disabled" in await trouble(fake)
