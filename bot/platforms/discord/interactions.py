"""Commands, buttons, modals and autocomplete: acknowledged at once, then answered by the chat.

The acknowledgement says already who will see the answer, so what decides that is looked at first, and nothing
that may take long.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime

import msgspec
import structlog

from bot.buttons import Buttons, Press
from bot.chat import Action, Attachment, Chat, Invocation, Locale, Reply
from bot.config import Config
from bot.places import PlaceSettings
from bot.platforms.discord import declarations, drawing, translate, wire
from bot.platforms.discord.answers import Answers, Turn
from bot.platforms.discord.declarations import COMMANDS
from bot.platforms.discord.outlets import Hook
from bot.platforms.discord.rest import Rest
from bot.platforms.discord.resting import Naps
from bot.platforms.discord.translate import Draft, Drafts
from bot.platforms.discord.ways import Tokens, on_way
from bot.platforms.discord.wire import Interaction, User
from bot.replies import say

SETTINGS_SECONDS_MAX = 0.5  # the place's settings come from a database; 3 s are all we have
DRAFT_SECONDS_MAX = 2.0  # a modal must be the first answer
TWICE_SECONDS = 3.0
PRESSES_MAX = 10_000
MAKING = frozenset({"imagine", "write"})
MAKING_ACTIONS = frozenset({Action.AGAIN, Action.VARY, Action.UPSCALE, Action.ASK})
IN_PLACE = frozenset({Action.CANCEL, Action.DELETE})

log = structlog.stdlib.get_logger(__name__)


class Interactions:
    def __init__(
        self, chat: Chat, config: Config, buttons: Buttons, rest: Rest, tokens: Tokens, answers: Answers,
        naps: Naps, *, clock: Callable[[], datetime],
    ) -> None:  # fmt: skip
        self._chat, self._config, self._buttons = chat, config, buttons
        self._rest, self._tokens, self._answers = rest, tokens, answers
        self._naps, self._clock = naps, clock
        self._drafts = Drafts()
        self._presses: OrderedDict[tuple[str, str], float] = OrderedDict()
        self.languages: OrderedDict[str, Locale] = OrderedDict()  # what people's clients speak

    async def handle(self, interaction: Interaction, *, again: bool = False) -> None:
        """`again`: another process heard it and died; nobody knows how far it came."""
        person = interaction.person
        if person is None:
            return
        settings = await self._settings(interaction)
        event = Event(interaction, person, settings, self._rest, again=again)
        self._learn(person.id, translate.locale_for(interaction.locale, PlaceSettings()))
        match interaction.type:
            case wire.COMMAND if interaction.data.type == wire.ON_MESSAGE:
                await self._menu(event)
            case wire.COMMAND:
                await self._command(event)
            case wire.COMPONENT:
                await self._pressed(event)
            case wire.AUTOCOMPLETE:
                await self._complete(event)
            case wire.MODAL:
                await self._submitted(event)
            case unknown:
                log.info("discord.unknown_interaction", type=unknown)

    def read(self, button: str) -> Press | None:
        """What a button's id says; None for one that is not ours, or too old."""
        try:
            return self._buttons.read(button, now=int(self._clock().timestamp()))
        except ValueError:
            return None

    # --- commands

    async def _command(self, event: Event) -> None:
        data = event.interaction.data
        command = COMMANDS.get(data.name)
        if command is None:  # of an older version of ours
            await event.outlet.defer(private=True)
            await self._run(event, data.name[:40], "")
            return
        words = command.text(data.options)
        if data.name not in MAKING:
            await event.outlet.defer(private=True)
            await self._run(event, data.name, words)
            return
        if not translate.is_open(event.settings, event.outlet.way):
            await self._elsewhere(event)
            return
        files = tuple(data.resolved.attachments.values())
        if not command.has_words(data.options):
            key = event.interaction.id if files else ""
            self._drafts.keep(key, files)
            await self._ask(event, Draft(command=data.name, pictures=key), words and f" {words}")
            return
        await event.outlet.defer(private=translate.wants_privacy(words))
        await self._run(event, data.name, words, attachments=translate.attachments_of(files))

    async def _ask(self, event: Event, draft: Draft, words: str, *, edit: bool = False) -> None:
        title = say(event.locale, "discord-modal-edit" if edit else f"discord-modal-{draft.command}")
        await event.outlet.ask(
            drawing.modal(draft.custom_id(), title=title, draft=words, locale=event.locale)
        )

    async def _submitted(self, event: Event) -> None:
        draft = translate.draft_of(event.interaction.data.custom_id)
        if draft is None or draft.command not in MAKING:
            await event.tell("refused-button")
            return
        if not translate.is_open(event.settings, event.outlet.way):
            await self._elsewhere(event)
            return
        words = translate.typed_in(event.interaction.data.components)
        await event.outlet.defer(private=translate.wants_privacy(words) or event.on_private_message)
        attachments = self._drafts.attachments(draft.pictures)
        await self._run(event, draft.command, words, attachments=attachments, origin=draft.origin)

    async def _complete(self, event: Event) -> None:
        data = event.interaction.data
        focused = next((option for option in data.options if option.focused), None)
        name, typed = (focused.name, str(focused.value or "")) if focused else ("", "")
        if (data.name, name) == ("jobs", "job"):
            await event.outlet.offer(declarations.offered(await self._jobs_of(event), typed))
            return
        await event.outlet.offer(declarations.completions(self._config, data.name, name, typed, event.locale))

    async def _jobs_of(self, event: Event) -> dict[str, str]:
        """The person's newest jobs: number -> number and words."""
        person = event.invocation("jobs", "").person
        cards = await self._chat.cards(person, limit=declarations.CHOICES_MAX)
        return {str(card.job): f"#{card.job} {card.prompt}" for card in cards}

    # --- the menu of a message

    async def _menu(self, event: Event) -> None:
        data = event.interaction.data
        message = data.resolved.messages.get(data.target_id or "")
        if message is None:
            await event.tell("discord-not-mine")
            return
        if data.name == declarations.DETAILS:
            await self._details(event, translate.button_of(message, Action.DETAILS, self.read))
            return
        if not translate.is_open(event.settings, event.outlet.way):
            await self._elsewhere(event)
            return
        job = translate.job_of(message, self.read)
        files = translate.pictures_in(message.attachments)
        if job is not None:
            await self._ask(event, Draft(command="imagine", origin=job), "", edit=True)
            return
        if not files:
            await event.tell("discord-not-mine")
            return
        self._drafts.keep(event.interaction.id, files)
        await self._ask(event, Draft(command="imagine", pictures=event.interaction.id), "", edit=True)

    async def _details(self, event: Event, button: str) -> None:
        if not button:
            await event.tell("discord-no-details")
            return
        await event.outlet.defer(private=True)
        await self._run(event, "press", "", button=button)

    # --- buttons

    async def _pressed(self, event: Event) -> None:
        button = event.interaction.data.custom_id
        press = self.read(button)
        action = press.action if press else None
        if action is Action.EDIT:
            await self._edit(event, button)
            return
        if action in IN_PLACE:
            await event.outlet.defer_update(private=event.on_private_message)
            event.outlet.way = event.way_to_message()
            await self._run(event, "press", "", button=button)
            return
        if action not in MAKING_ACTIONS:
            await event.outlet.defer(private=True)
            await self._run(event, "press", "", button=button)
            return
        if not translate.is_open(event.settings, event.outlet.way):
            await self._elsewhere(event)
            return
        if self._just_pressed(event.person.id, button):
            await event.tell("refused-once-more")
            return
        await event.outlet.defer(private=event.on_private_message)
        if action is not Action.ASK:  # examples are for everyone, any time
            event.outlet.way = event.way_of_pressed()
        reply = await self._run(event, "press", "", button=button)
        if event.outlet.way.pressed and reply.cards:
            await self._naps.begin(event.outlet.way.pressed, reply.cards[0].job, button)

    async def _edit(self, event: Event, button: str) -> None:
        """A modal cannot follow an acknowledgement, so this one answer must be quick."""
        task = asyncio.create_task(self._chat.run(event.invocation("press", "", button=button)))
        done, _ = await asyncio.wait({task}, timeout=DRAFT_SECONDS_MAX)
        if not done:
            await event.outlet.defer(private=True)
        reply = await task
        if reply.draft is None:
            if done:
                await event.outlet.defer(private=True)
            await self._answer(event, reply)
            return
        if not done:
            await self._answer(event, Reply(text=say(event.locale, "discord-slow"), refused=True))
            return
        draft = Draft(command=reply.draft_command or "imagine", origin=reply.draft_origin)
        await self._ask(event, draft, reply.draft, edit=True)

    def _just_pressed(self, person: str, button: str) -> bool:
        """Whether this is the second press within 3 s; a third one is meant."""
        now = time.monotonic()
        before = self._presses.pop((person, button), None)
        if before is not None and now - before < TWICE_SECONDS:
            return True
        self._presses[person, button] = now
        while len(self._presses) > PRESSES_MAX:
            self._presses.popitem(last=False)
        return False

    # --- what all share

    async def _run(
        self, event: Event, command: str, words: str, *, button: str = "",
        attachments: tuple[Attachment, ...] = (), origin: int | None = None,
    ) -> Reply:  # fmt: skip
        outlet = event.outlet
        if outlet.began is not None:
            self._tokens.remember(
                event.person.id, event.interaction.token, outlet.message, outlet.way.channel
            )
        invocation = event.invocation(command, words, button=button, attachments=attachments, origin=origin)
        if outlet.again and not self._makes(command, button):  # it may have been done, and not twice the same
            reply = Reply(text=say(event.locale, "discord-lost"), refused=True)
        else:
            reply = await self._chat.run(invocation)
        await self._answer(event, reply)
        return reply

    def _makes(self, command: str, button: str) -> bool:
        """Whether it leads to a job, of which one event makes only one."""
        press = self.read(button) if button else None
        return command in MAKING or (press is not None and press.action in MAKING_ACTIONS)

    async def _answer(self, event: Event, reply: Reply) -> None:
        await self._answers.give(event.turn(), reply)

    async def _elsewhere(self, event: Event) -> None:
        channels = ", ".join(f"<#{each}>" for each in event.settings.channels)
        await event.tell("discord-other-channel", channels=channels)

    async def _settings(self, interaction: Interaction) -> PlaceSettings:
        place = translate.place_of(
            interaction.guild_id, interaction.in_channel, direct=interaction.in_direct_chat
        )
        try:
            async with asyncio.timeout(SETTINGS_SECONDS_MAX):
                return await self._answers.settings(place)
        except TimeoutError:
            return PlaceSettings()

    def _learn(self, person: str, locale: Locale) -> None:
        self.languages[person] = locale
        while len(self.languages) > PRESSES_MAX:
            self.languages.popitem(last=False)


class Event:
    """One interaction with what was found out about it."""

    def __init__(
        self, interaction: Interaction, person: User, settings: PlaceSettings, rest: Rest, *, again: bool
    ) -> None:
        self.interaction, self.person, self.settings = interaction, person, settings
        self.locale: Locale = translate.locale_for(interaction.locale, settings)
        self.outlet = Hook(
            rest=rest,
            interaction=interaction,
            way=translate.way_from(interaction),
            locale=self.locale,
            alone=interaction.in_direct_chat,
            again=again,
        )

    async def tell(self, message: str, **values: str) -> None:
        """The whole answer in one sentence."""
        await self.outlet.say(drawing.words(say(self.locale, message, **values))[0])

    @property
    def on_private_message(self) -> bool:
        """Whether the pressed message is seen by this person only: so is what comes of it."""
        message = self.interaction.message
        return message is not None and bool(message.flags & wire.EPHEMERAL)

    def way_to_message(self) -> translate.Way:
        message = self.interaction.message
        return translate.with_message(self.outlet.way, message.id if message else "")

    def way_of_pressed(self) -> translate.Way:
        """With the message whose button rests, if the bot itself may draw that."""
        message, way = self.interaction.message, self.outlet.way
        if message is None or self.on_private_message or not way.bot:
            return way
        return msgspec.structs.replace(way, pressed=f"{way.channel}/{message.id}")

    def turn(self) -> Turn:
        channel = self.interaction.channel
        outlet = self.outlet
        way = translate.with_message(outlet.way, outlet.message or outlet.way.message)
        threads = (
            self.interaction.guild_id is not None and channel is not None and channel.type in wire.THREADED
        )
        return Turn(
            outlet=outlet, address=on_way(self._address(), way), way=way, settings=self.settings,
            threads=threads and outlet.way.bot and outlet.began == "message",
        )  # fmt: skip

    def invocation(
        self, command: str, words: str, *, button: str = "", attachments: tuple[Attachment, ...] = (),
        origin: int | None = None,
    ) -> Invocation:  # fmt: skip
        address = self.turn().address
        return Invocation(
            event=self.interaction.id,
            command=command,
            text=words,
            person=translate.person_of(self.person, self.locale),
            address=address,
            attachments=attachments,
            origin=origin,
            may_moderate=translate.may_moderate(self.interaction, command),
            button=button[:256],
        )

    def _address(self) -> translate.Address:
        interaction = self.interaction
        place = translate.place_of(
            interaction.guild_id, interaction.in_channel, direct=interaction.in_direct_chat
        )
        person = translate.person_of(self.person, self.locale)
        return translate.address_of(person, self.outlet.way, place=place, private=self.outlet.private)
