"""The crowd's checks see what they are there to see: chats as they would be after a bug of ours."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from bot.buttons import Buttons
from bot.chat import Action
from bot.signing import Signer
from tests.bot.jobs.world import KEY
from tests.end_to_end import crowd_checks
from tests.end_to_end.crowd import Crowd, Trouble
from tests.end_to_end.crowd_checks import End, Findings
from tests.end_to_end.process import Instance
from tests.fakes.discord.person import person
from tests.fakes.discord.server import FakeDiscord
from tests.fakes.discord.state import BOT, EPHEMERAL, Interaction
from tests.fakes.telegram import FakeTelegram, Person

BUTTONS = Buttons(Signer(KEY), lifetime_seconds=3600)
GROUP = -1001


class Scene:
    """A private picture on Discord, a public one in a Telegram group, and a refusal there: all as it should be."""

    def __init__(self) -> None:
        self.discord, self.telegram = FakeDiscord(), FakeTelegram()
        self.crowd = Crowd(
            self.discord, self.telegram, random.Random(1), lambda button: BUTTONS.read(button, now=0)
        )
        self.trouble = Trouble(Instance.__new__(Instance), self.discord, self.telegram, random.Random(1))
        self.ends = [self._secret(), self._group()]
        self.refused = self._refusal()

    def _secret(self) -> End:
        channel, ann = self.discord.channel(), person(self.discord, "ann")
        self.crowd.secret.add("q1")
        asked = Interaction(id="41", token="t", user=ann.id, channel=channel, type=2, answer={})
        file = self.discord.attach("http://x", channel.id, "a.png", b"one", "image/png")
        self.secret = self.discord.messages["51"] = {
            "id": "51", "channel_id": channel.id, "author": self.discord.users[BOT], "flags": EPHEMERAL,
            "attachments": [file], "at": time.monotonic(), "components": [
                {"type": 10, "content": "> a fox q1\n-# Made with AI · Tiny"},
                {"type": 12, "items": [{"media": {"url": "attachment://a.png"}}]},
                {"type": 2, "custom_id": _button(1)},
            ],
        }  # fmt: skip
        asked.original = "51"
        self.discord.interactions["t"] = asked
        return _end(1, "41", private=True)

    def _group(self) -> End:
        asked = self.telegram.new(GROUP, Person(self.telegram, 7).json(), text="/imagine a whale q2")
        keyboard = {"inline_keyboard": [[{"text": "Again", "callback_data": _button(2)}]]}
        words = "a whale q2\nMade with AI · Tiny"
        self.shown = self._says(asked, photo=[self._photo(b"two")], caption=words, reply_markup=keyboard)
        return _end(2, f"m{GROUP}.{asked['message_id']}")

    def _refusal(self) -> dict[str, Any]:
        asked = self.telegram.new(GROUP, Person(self.telegram, 7).json(), text="/imagine a fox --stepz 4")
        return self._says(asked, text="Did you mean --steps?")

    def _says(self, asked: dict[str, Any], **content: Any) -> dict[str, Any]:
        self.telegram.answered.add((GROUP, asked["message_id"]))
        return self.telegram.new(GROUP, self.telegram.me, reply_to_message=asked, **content)

    def _photo(self, data: bytes) -> dict[str, Any]:
        return self.telegram.store(data, "photo")

    # --- what a bug would do

    def copies_a_photo(self) -> None:
        copy = {**self.shown, "message_id": 999}
        self.telegram.chat(GROUP).messages[999] = copy

    def shows_anothers_photo(self) -> None:
        self.shown["photo"] = [self._photo(b"one")]

    def shows_no_photo(self) -> None:
        del self.shown["photo"]

    def clears_an_answer(self) -> None:
        self.refused["text"] = ""

    def loses_an_answer(self) -> None:
        self.telegram.chat(GROUP).messages.pop(self.refused["message_id"])

    def never_answers(self) -> None:
        self.loses_an_answer()
        self.telegram.answered.clear()

    def makes_a_private_result_public(self) -> None:
        self.secret["flags"] = 0

    def forgets_that_it_is_private(self) -> None:
        self.secret["flags"], self.ends[0] = 0, _end(1, "41")

    def thinks_for_ever(self) -> None:
        self.secret.update(components=[{"type": 2, "custom_id": _button(1)}], attachments=[])

    async def check(self) -> Findings:
        return await crowd_checks.check(self.crowd, self.trouble, _Read(self.ends))  # type: ignore[arg-type]


class _Read:
    """A database in which the scene's jobs ended, and the books are right."""

    def __init__(self, ends: list[End]) -> None:
        self._ends = ends

    async def read(self, function: Callable[..., Any]) -> Any:
        return self._ends if function is crowd_checks._ends else (2, 2)


def _end(number: int, event: str, *, private: bool = False) -> End:
    return End(
        id=number, event=event, kind="image", state="completed", private=private, deleted=False, sent="sent"
    )


def _button(job: int) -> str:
    return BUTTONS._button(Action.AGAIN, job, 2**31, "Again").id


async def test_nothing_is_wrong_with_a_good_bot() -> None:
    assert (await Scene().check()).wrong == []


@pytest.mark.parametrize(
    ("bug", "said"),
    [
        (Scene.copies_a_photo, "is shown 2 times for no reason"),
        (Scene.shows_anothers_photo, "show the same picture"),
        (Scene.shows_no_photo, "completed without its image"),
        (Scene.clears_an_answer, "is gone"),
        (Scene.loses_an_answer, "is gone"),
        (Scene.never_answers, "was not answered"),
        (Scene.makes_a_private_result_public, "private job 1 in public"),
        (Scene.forgets_that_it_is_private, "q1 was asked in private"),
        (Scene.thinks_for_ever, "was not answered"),
    ],
)
async def test_a_bug_is_found(bug: Callable[[Scene], None], said: str) -> None:
    scene = Scene()
    bug(scene)
    assert any(said in each for each in (await scene.check()).wrong)


async def test_a_copy_is_excused_only_by_a_crash_or_a_lost_answer() -> None:
    for excuse in ("unheard", "crash", ""):
        scene = Scene()
        scene.trouble.crashes.append((0.0, 1.0))  # long ago: it excuses nothing
        scene.copies_a_photo()
        if excuse == "unheard":
            scene.shown["unheard"] = True
        if excuse == "crash":
            scene.trouble.crashes.append((time.monotonic(), time.monotonic() + 9))
        assert bool((await scene.check()).wrong) is (excuse == ""), excuse
