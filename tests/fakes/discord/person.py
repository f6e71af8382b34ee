"""Someone at a Discord client: types commands, presses buttons, fills in modals, writes and looks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from tests.fakes.discord.server import FakeDiscord
from tests.fakes.discord.state import (
    APPLICATION,
    BOT,
    EPHEMERAL,
    GUILD,
    LOADING,
    MEMBER,
    Channel,
    Interaction,
    buttons,
    user,
    walk,
    words,
)  # fmt: skip

TYPES = {str: 3, bool: 5, int: 4, float: 10, bytes: 11}


@dataclass
class Person:
    fake: FakeDiscord
    id: str
    locale: str = "en-US"
    may: int = MEMBER

    # --- does

    async def command(self, channel: Channel, name: str, *, wait: bool = True, **options: Any) -> Interaction:
        """Types a slash command; returns once it is acknowledged."""
        data: dict[str, Any] = {"id": "1", "name": name, "type": 1, "options": [], "resolved": {}}
        for key, value in options.items():
            if isinstance(value, bytes):
                made = self.fake.attach(self.fake.base, channel.id, f"{key}.png", value, "image/png")
                data["resolved"] = {"attachments": {made["id"]: made}}
                value = made["id"]
            kind = (
                11
                if data["resolved"] and value in data["resolved"].get("attachments", {})
                else TYPES[type(value)]
            )
            data["options"].append({"name": key, "type": kind, "value": value})
        return await self._send(channel, 2, data, wait=wait)

    async def complete(self, channel: Channel, name: str, option: str, typed: str) -> list[str]:
        """What is offered while typing."""
        focused = {"name": option, "type": 3, "value": typed, "focused": True}
        sent = await self._send(channel, 4, {"id": "1", "name": name, "type": 1, "options": [focused]})
        assert sent.answer
        return [choice["value"] for choice in sent.answer["data"]["choices"]]

    async def menu(self, channel: Channel, name: str, message: dict[str, Any]) -> Interaction:
        """A command of a message's menu."""
        resolved = {"messages": {message["id"]: message}}
        data = {"id": "2", "name": name, "type": 3, "target_id": message["id"], "resolved": resolved}
        return await self._send(channel, 2, data)

    async def press(self, message: dict[str, Any], label: str = "", *, button: str = "") -> Interaction:
        channel = self.fake.channels[message["channel_id"]]
        data = {"component_type": 2, "custom_id": button or buttons(message)[label], "id": 1}
        return await self._send(channel, 3, data, message=message)

    async def submit(self, asked: Interaction, text: str) -> Interaction:
        """Fills in the modal that an interaction was answered with."""
        assert asked.answer
        assert asked.answer["type"] == 9, asked.answer
        entry = {"type": 4, "id": 2, "custom_id": "prompt", "value": text}
        fields = [{"type": 18, "id": 1, "component": entry}]
        data = {"custom_id": asked.answer["data"]["custom_id"], "components": fields}
        pressed = self.fake.messages.get(asked.original)
        return await self._send(asked.channel, 5, data, message=pressed)

    async def write(
        self, channel: Channel, content: str, *, answers: dict[str, Any] | None = None, picture: bytes = b""
    ) -> dict[str, Any]:
        """A message of one's own. In a server the bot hears only what mentions it."""
        fake = self.fake
        files = [fake.attach(fake.base, channel.id, "cat.png", picture, "image/png")] if picture else []
        mentioned = f"<@{BOT}>" in content or (answers is not None and answers["author"]["id"] == BOT)
        message: dict[str, Any] = {
            "id": fake.new_id(), "channel_id": channel.id, "author": fake.users[self.id], "content": content,
            "flags": 0, "attachments": files, "components": [], "embeds": [],
            "mentions": [fake.users[BOT]] if mentioned else [],
            "type": 19 if answers else 0, "timestamp": "2026-11-24T12:00:00+00:00", "edits": 0, "pings": [],
            "referenced_message": answers,
        }  # fmt: skip
        if channel.guild:
            message["guild_id"] = channel.guild
        fake.messages[message["id"]] = message
        visible = message if mentioned or not channel.guild else message | {"content": "", "attachments": []}
        await fake.gateway.dispatch("MESSAGE_CREATE", visible)
        return message

    # --- sees

    def sees(self, channel: Channel) -> list[dict[str, Any]]:
        """Messages of the bot that this person can see, oldest first."""
        return [
            each
            for each in self.fake.in_channel(channel.id)
            if each["author"]["id"] == BOT and (not each["flags"] & EPHEMERAL or each.get("owner") == self.id)
        ]

    async def reads(self, channel: Channel, text: str, seconds: float = 5.0) -> dict[str, Any]:
        """Waits for a message with this text."""

        def find() -> dict[str, Any] | None:
            return next((each for each in reversed(self.sees(channel)) if text in words(each)), None)

        try:
            return await self.fake.until(find, seconds)
        except TimeoutError:
            seen = [(words(each), list(walk(each["components"]))[:0]) for each in self.sees(channel)]
            raise AssertionError(f"{text!r} is not to be seen in {seen}") from None

    def direct(self) -> Channel:
        return self.fake.direct_chat(self.id)

    # --- the wire

    async def _send(
        self, channel: Channel, kind: int, data: dict[str, Any], *, message: dict[str, Any] | None = None,
        wait: bool = True,
    ) -> Interaction:  # fmt: skip
        fake = self.fake
        made = Interaction(
            id=fake.new_id(), token=f"token-{fake.new_id()}", user=self.id, channel=channel, type=kind
        )
        made.original = message["id"] if message else ""
        made.made = {made.original} if message else set()
        fake.interactions[made.token] = made
        await fake.gateway.dispatch("INTERACTION_CREATE", self._event(made, data, message), shard=0)
        if wait:
            await asyncio.wait_for(fake.until(lambda: made.answer is not None, 6), 7)
        return made

    def _event(
        self, made: Interaction, data: dict[str, Any], message: dict[str, Any] | None
    ) -> dict[str, Any]:
        channel = made.channel
        who: dict[str, Any] = {"user": self.fake.users[self.id], "context": 1 if channel.type == 1 else 2}
        if channel.guild:
            member = {"user": self.fake.users[self.id], "roles": [], "permissions": str(self.may), "flags": 0}
            who = {"guild_id": GUILD, "member": member, "context": 0}
        owners = {"1": self.id} if channel.guest else {"0": channel.guild or "0"}
        event = {
            "id": made.id, "application_id": APPLICATION, "type": made.type, "token": made.token, "version": 1,
            "data": data, "channel_id": channel.id, "channel": channel.facts(), "locale": self.locale,
            "app_permissions": str(channel.bot_may),
            "entitlements": self.fake.shop.of(self.id, channel.guild), "authorizing_integration_owners": owners,
            "attachment_size_limit": self.fake.bytes_max, **who,
        }  # fmt: skip
        return event | ({"message": self.fake.seen(message)} if message else {})


def person(fake: FakeDiscord, name: str, **fields: Any) -> Person:
    number = fake.new_id()
    fake.users[number] = user(number, name)
    return Person(fake, number, **fields)


def is_loading(message: dict[str, Any]) -> bool:
    return bool(message["flags"] & LOADING)
