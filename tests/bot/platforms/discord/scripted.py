"""A `Chat` whose jobs do what a test says: started by commands, moved on by `progress` and `finish`."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import msgspec
from PIL import Image

from bot.buttons import Buttons
from bot.chat import (
    Action,
    Address,
    AttachmentGone,
    Button,
    Card,
    Invocation,
    Media,
    Person,
    Picture,
    Platform,
    Reply,
)  # fmt: skip
from tests.bot.jobs.world import now

LABEL = "Made with AI · Tiny Emoji"
DONE = (
    Action.AGAIN, Action.EDIT, Action.VARY, Action.UPSCALE, Action.DETAILS, Action.ORIGINAL, Action.DELETE,
)  # fmt: skip


def png(side: int = 32, *, noise: bool = False) -> bytes:
    image = Image.effect_noise((side, side), 90) if noise else Image.new("RGB", (side, side), "red")
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


@dataclass
class ScriptedChat:
    """`words` beginning with "refuse" are refused; `explode` raises."""

    buttons: Buttons
    platform: Platform | None = None
    invocations: list[Invocation] = field(default_factory=list)
    jobs: dict[int, tuple[Address, Card]] = field(default_factory=dict)
    read: list[bytes] = field(default_factory=list)
    artifacts: dict[int, bytes] = field(default_factory=dict)
    private_by_default: bool = False
    next_reply: Reply | None = None

    async def account(self, person: Person) -> int:
        return 1

    async def cards(self, person: Person, *, before: int | None = None, limit: int = 20) -> list[Card]:
        return [card for _, card in self.jobs.values()]

    async def media(self, artifact: int) -> Media | None:
        data = self.artifacts.get(artifact)
        return Media(data=data, media_type="image/png", name=f"苹果 {artifact}.png") if data else None

    async def run(self, invocation: Invocation) -> Reply:
        self.invocations.append(invocation)
        for attachment in invocation.attachments:
            try:
                self.read.append(await attachment.read())
            except AttachmentGone:
                return Reply(text="The picture was taken away.", refused=True)
        if self.next_reply is not None:
            reply, self.next_reply = self.next_reply, None
            return reply
        match invocation.command:
            case "imagine" | "write" if invocation.text.startswith("refuse"):
                return Reply(text="`--stepz` is not an option.", refused=True)
            case "imagine" | "write":
                return Reply(cards=(self.start(invocation),), left=14)
            case "press":
                return self.press(invocation)
            case "explode":
                raise RuntimeError("secret prompt")
            case command:
                return Reply(text=f"**{command}** {invocation.text}", only_for_requester=command == "balance")

    def start(self, invocation: Invocation) -> Card:
        job = 100 + len(self.jobs)
        private = invocation.address.audience == "private" or self.private_by_default
        card = Card(
            job=job,
            kind="text" if invocation.command == "write" else "image",
            state="waiting",
            prompt=invocation.text[:200],
            status="#2 in line, about 9 s",
            buttons=(self.button(Action.CANCEL, job),),
            private=private,
            created_at=now().isoformat(),
        )
        self.jobs[job] = (invocation.address, card)
        return card

    def press(self, invocation: Invocation) -> Reply:
        press = self.buttons.read(invocation.button, now=int(now().timestamp()))
        if press is None:
            return Reply(text="This button was not made by me.", refused=True)
        address, card = self.jobs.get(press.subject, (invocation.address, None))
        if card is None:
            return Reply(text="That was deleted.", refused=True)
        match press.action:
            case Action.EDIT:
                return Reply(draft=card.prompt, draft_command="imagine", draft_origin=card.job)
            case Action.DETAILS:
                return Reply(text="**Prompt** seed `42`", only_for_requester=True)
            case Action.ORIGINAL:
                return Reply(files=tuple(each.artifact for each in card.pictures))
            case Action.DELETE if invocation.person.id != address.person and not invocation.may_moderate:
                return Reply(text="That belongs to somebody else.", refused=True)
            case Action.DELETE:
                return Reply(gone=card.job, text="Deleted.")
            case Action.CANCEL:
                return Reply(
                    cards=(self.change(card.job, state="cancelled", status="Cancelled", buttons=()),)
                )
            case _:
                return Reply(cards=(self.start(invocation),))

    def button(self, action: Action, job: int) -> Button:
        return self.buttons._button(action, job, int(now().timestamp()) + 3600, action.name.title())

    def change(self, job: int, **fields: Any) -> Card:
        address, card = self.jobs[job]
        card = msgspec.structs.replace(card, **fields)
        self.jobs[job] = (address, card)
        return card

    @property
    def newest(self) -> int:
        return max(self.jobs)

    async def progress(self, job: int, fraction: float, **fields: Any) -> bool:
        assert self.platform
        card = self.change(job, state="running", status=f"Step {fraction:.0%}", fraction=fraction, **fields)
        return await self.platform.show(1, self.jobs[job][0], card)

    async def finish(
        self, job: int, *, count: int = 1, data: bytes = b"", text: str = "", **fields: Any
    ) -> str:
        """Ends the job well and delivers it."""
        assert self.platform
        made = tuple(job * 10 + number for number in range(0 if text else count))
        self.artifacts |= dict.fromkeys(made, data or png())
        pictures = tuple(
            Picture(artifact=each, width=32, height=32, alt=f"A picture {each}") for each in made
        )
        card = self.change(
            job, **{
                "state": "done", "status": "Done · 1 credit", "label": LABEL, "pictures": pictures, "text": text,
                "preview": b"", "fraction": 0.0, "buttons": tuple(self.button(action, job) for action in DONE),
                **fields,
            },
        )  # fmt: skip
        return await self.platform.deliver(1, self.jobs[job][0], card)
