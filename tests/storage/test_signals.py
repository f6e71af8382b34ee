"""Waiting for a signal, and being told to stop while waiting."""

from __future__ import annotations

import asyncio

import pytest

from storage.signals import Signals, Wake


async def test_a_stop_that_comes_together_with_a_signal_still_stops() -> None:
    """Python 3.11's wait_for loses it, and whoever waits in a loop then runs for ever."""
    signals = Signals()
    wake = Wake(signals, "jobs")
    waiting = asyncio.create_task(wake.wait(30))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    signals.publish("jobs", "")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
