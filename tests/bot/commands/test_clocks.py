"""What is signed under one clock is read under another that is minutes off: codes, links, buttons."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from urllib.parse import parse_qs, urlsplit

import pytest

from bot.chat import Action
from bot.operations import Operations, claim_code
from storage import records
from tests.bot.commands.stage import Stage, button
from tests.bot.jobs.world import now


@pytest.mark.parametrize("minutes", [-9, 9])
async def test_a_claim_code_a_link_and_a_button_are_good_under_a_clock_that_is_off(
    play: Stage, minutes: int
) -> None:
    off = timedelta(minutes=minutes)
    elsewhere = play.but(clock=lambda: now() + off)
    assert not (await elsewhere.say("claim", claim_code(play.signer, now()))).refused
    there = Operations(play.world.real, play.config, play.signer, clock=lambda: now() + off)
    link = play.context.operations.admin_link("http://x")
    assert await there.redeem(parse_qs(urlsplit(link).query)["token"][0])
    card = await play.made("imagine", "an apple")
    assert not (await elsewhere.press(button(card, Action.AGAIN))).refused


async def test_an_admin_link_of_a_clock_that_is_ahead_is_still_good_only_once(play: Stage) -> None:
    def under(minutes: int) -> Operations:
        clock = partial(_later, minutes)
        return Operations(play.world.real, play.config, play.signer, clock=clock)

    token = parse_qs(urlsplit(under(9).admin_link("http://x")).query)["token"][0]
    assert await under(0).redeem(token)
    await play.world.real.run(records.forget_nonces, _later(15))
    assert not await under(15).redeem(token)


async def test_a_link_of_accounts_under_a_clock_that_is_ahead_is_still_good_only_once(play: Stage) -> None:
    ahead = play.but(clock=partial(_later, 9))
    code = (await ahead.say("link")).text.split("link ")[1].split("`")[0]
    assert not (await play.say("link", code, by="bob")).refused
    await play.world.real.run(records.forget_nonces, _later(15))
    assert (await play.but(clock=partial(_later, 15)).say("link", code, by="eve")).refused


def _later(minutes: int) -> datetime:
    return now() + timedelta(minutes=minutes)


async def test_a_code_of_a_console_whose_clock_is_ahead_is_still_good_only_once(play: Stage) -> None:
    code = claim_code(play.signer, now() + timedelta(minutes=9))
    assert not (await play.say("claim", code)).refused
    later = play.but(clock=lambda: now() + timedelta(minutes=65))
    await play.world.real.run(records.forget_nonces, now() + timedelta(minutes=65))
    assert (await later.say("claim", code, by="bob")).refused
