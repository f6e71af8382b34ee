from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.fakes.stripe.server import FakeStripe


@pytest.fixture
async def fake() -> AsyncIterator[FakeStripe]:
    made = FakeStripe()
    await made.start()
    yield made
    assert made.complaints == []
    await made.stop()
