"""A `Chat` in memory that plays out job lives: what the page is tested against, without SQL or models.

A prompt says how its job goes: "refuse ..." is refused, "fail ..." fails, of "... unread ..." the end is not read,
everything else is made. Jobs stop before each step while `gate` is cleared, so that a test can look at every moment.
"""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass, field

import msgspec
from PIL import Image, ImageDraw, ImageFilter

from bot.chat import (
    Action,
    Address,
    Button,
    Card,
    Invocation,
    Media,
    Person,
    Picture,
    Platform,
    Reply,
    Table,
)
from bot.platforms.web.boot import Boot, CommandHint, Hint, ModelHint, Suggestion

LABEL = {"en": "Made with AI: tiny-emoji-sd", "zh": "由 AI 生成:tiny-emoji-sd"}
DONE = {
    Action.AGAIN: "Again",
    Action.EDIT: "Edit",
    Action.VARY: "Vary",
    Action.UPSCALE: "Upscale",
    Action.DETAILS: "Details",
    Action.ORIGINAL: "Original",
    Action.DELETE: "Delete",
}
STORY = (
    "**The lamp**\n\nOnce a keeper lit a lamp for a ship that never came. Every evening she trimmed the wick, "
    "and every evening the sea answered with nothing but its own slow breathing.\n\n- She kept a log.\n- She kept "
    "the stairs swept.\n\nThen, on the ninth night, a small light answered. 🌊 <b>not bold</b>"
)


def painting(seed: int, size: int = 128) -> Image.Image:
    """Something to look at."""
    hue = (seed * 67) % 360
    image = Image.new("RGB", (size, size), f"hsl({(hue + 190) % 360}, 45%, 88%)")
    draw = ImageDraw.Draw(image)
    draw.ellipse((22, 26, 106, 112), fill=f"hsl({hue}, 75%, 50%)")
    draw.ellipse((40, 40, 62, 60), fill=f"hsl({hue}, 80%, 72%)")
    draw.line((64, 30, 72, 10), fill="#5b4030", width=5)
    return image.filter(ImageFilter.GaussianBlur(0.6))


def encoded(image: Image.Image, kind: str) -> bytes:
    data = io.BytesIO()
    image.save(data, kind)
    return data.getvalue()


def button(action: Action, job: int, label: str) -> Button:
    return Button(id=f"{action.value}:{job}", action=action, label=label)


def boot(locale: str) -> Boot:
    return Boot(
        locale="zh" if locale == "zh" else "en",
        commands=tuple(
            CommandHint(name=name, hint=name)
            for name in ("imagine", "write", "jobs", "balance", "plans", "settings", "help")
        ),
        options=(
            Hint(name="--ar", hint="the shape", values=("1:1", "16:9", "9:16"), commands=("imagine",)),
            Hint(name="--seed", hint="the same number makes the same picture"),
            Hint(name="--steps", hint="how long it is worked on", commands=("imagine",)),
            Hint(name="--style", hint="a look", commands=("imagine",)),
            Hint(name="--model", hint="which model makes it"),
            Hint(name="--tone", hint="how it sounds", values=("warm", "dry"), commands=("write",)),
        ),
        styles=("watercolor", "pixel", "ink"),
        models=(
            ModelHint(name="tiny", title="Tiny Emoji", kind="image"),
            ModelHint(name="poster", title="Posters", kind="image", from_picture=False),
            ModelHint(name="smol", title="SmolLM2 135M", kind="text"),
        ),
        suggestions=(
            Suggestion(text="a red apple"),
            Suggestion(text="a sleeping fox"),
            Suggestion(text="a yellow umbrella"),
            Suggestion(text="a short story about a lighthouse", command="write"),
        ),
        sells=True,
        banner="This is a **starter model**: 25 MB, 128 × 128 pixels. It knows fruit, animals, faces and other "
        "single things, and little else. Larger models are one line in `config.toml`.",
    )


@dataclass
class ScriptedChat:
    """`platform` is told of each step; replace it to play a restart."""

    platform: Platform | None = None
    step_seconds: float = 0.02
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    accounts: dict[str, int] = field(default_factory=dict)
    people: dict[int, Person] = field(default_factory=dict)
    jobs: dict[int, tuple[int, Card]] = field(default_factory=dict)
    replies: dict[str, Reply] = field(default_factory=dict)
    invocations: list[Invocation] = field(default_factory=list)
    uploads: list[bytes] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    first_job: int = 1

    def __post_init__(self) -> None:
        self.gate.set()

    async def account(self, person: Person) -> int:
        number = self.accounts.setdefault(person.id, len(self.accounts) + 1)
        self.people[number] = person
        return number

    async def cards(self, person: Person, *, before: int | None = None, limit: int = 20) -> list[Card]:
        account = await self.account(person)
        mine = [card for owner, card in self.jobs.values() if owner == account and card.state != "deleted"]
        return sorted(
            (card for card in mine if before is None or card.job < before), key=lambda card: -card.job
        )[:limit]

    async def media(self, artifact: int) -> Media | None:
        if not any(
            artifact == picture.artifact for _, card in self.jobs.values() for picture in card.pictures
        ):
            return None
        return Media(
            data=encoded(painting(artifact), "PNG"), media_type="image/png", name=f"苹果 {artifact}.png"
        )

    async def run(self, invocation: Invocation) -> Reply:
        self.invocations.append(invocation)
        if invocation.event not in self.replies:
            self.replies[invocation.event] = await self.answer(invocation)
        return self.replies[invocation.event]

    async def answer(self, invocation: Invocation) -> Reply:
        for attachment in invocation.attachments:
            self.uploads.append(await attachment.read())
        match invocation.command:
            case "press":
                return await self.press(invocation)
            case "imagine" | "write":
                return await self.submit(invocation)
            case "explode":
                raise RuntimeError("secret prompt")
            case "balance":
                return Reply(text="**14 left today**\n\n- free, back at 00:00 UTC\n- `3` used")
            case "plans":
                offer = Button(id="by:0", action=Action.BUY, label="500 credits · 1.99 USD")
                return Reply(text="Your plan: **Free**.", buttons=(offer,))
            case command:
                chinese = invocation.person.locale == "zh"
                text = "**帮助**" if chinese else f"**{command}**\n\nSay what you want. {invocation.text}"
                ask = Button(id="as:0", action=Action.ASK, label="a red apple")
                return Reply(text=text, buttons=(ask,) if command == "help" else ())

    async def submit(self, invocation: Invocation) -> Reply:
        if invocation.text.startswith("refuse"):
            ask = Button(id="as:0", action=Action.ASK, label="a red apple")
            return Reply(
                text="`--stepz` is not an option. Did you mean `--steps`?", buttons=(ask,), refused=True
            )
        account = await self.account(invocation.person)
        return Reply(cards=(self.start(account, invocation.address, invocation.text, invocation.command),))

    def start(self, account: int, address: Address, prompt: str, command: str = "imagine") -> Card:
        job = self.first_job + len(self.jobs)
        card = Card(
            job=job,
            kind="text" if command == "write" else "image",
            state="waiting",
            prompt=prompt[:200],
            status="#2 in line, about 9 s · free, 14 left today",
            buttons=(button(Action.CANCEL, job, "Cancel"),),
            private=address.audience == "private",
            created_at="2026-11-20T10:00:00Z",
        )
        self.jobs[job] = (account, card)
        task = asyncio.create_task(self.play(account, address, card))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return card

    async def step(self, account: int, address: Address, card: Card) -> bool:
        """Shows a card, unless the job ended otherwise."""
        await asyncio.sleep(self.step_seconds)
        await self.gate.wait()
        if self.jobs[card.job][1].state in {"cancelled", "deleted"}:
            return False
        self.jobs[card.job] = (account, card)
        if self.platform:
            if card.state == "done":
                await self.platform.deliver(account, address, card)
            else:
                await self.platform.show(account, address, card)
        return True

    async def play(self, account: int, address: Address, card: Card) -> None:
        running = msgspec.structs.replace(card, state="running")
        for number in range(1, 9):
            fraction = number / 9
            step = msgspec.structs.replace(running, fraction=fraction, status=f"{9 - number} s left")
            if card.kind == "text":
                step = msgspec.structs.replace(step, text=STORY[: int(len(STORY) * fraction)])
            elif number % 2 == 0:
                preview = painting(card.job).filter(ImageFilter.GaussianBlur(9 - number)).resize((64, 64))
                step = msgspec.structs.replace(step, preview=encoded(preview, "JPEG"))
            if not await self.step(account, address, step):
                return
        await self.step(account, address, self.finished(card))

    def finished(self, card: Card) -> Card:
        if card.prompt.startswith("fail"):
            status = "The model stopped. You were charged nothing; try again in a moment."
            return msgspec.structs.replace(
                card, state="failed", status=status, buttons=(button(Action.AGAIN, card.job, "Again"),)
            )
        count = 4 if "-n 4" in card.prompt else 1
        pictures = tuple(
            Picture(
                artifact=card.job * 10 + index, width=128, height=128, alt=f"Picture: {card.prompt}", scale=3
            )
            for index in range(count)
        )
        buttons = tuple(button(action, card.job, label) for action, label in DONE.items())
        unread = card.prompt.partition("unread ")[2]
        is_text = card.kind == "text"
        return msgspec.structs.replace(
            card,
            state="done",
            status="9 credits · 8.4 s",
            note=f"Not read: {unread}" if unread else "",
            label=LABEL["en"],
            buttons=buttons,
            text=STORY if is_text else "",
            pictures=() if is_text else pictures,
        )

    async def press(self, invocation: Invocation) -> Reply:
        action, _, number = invocation.button.partition(":")
        account = await self.account(invocation.person)
        if action == Action.BUY:
            pay = Button(id="by:1", action=Action.BUY, label="Pay 1.99 USD", url="https://pay.example/1")
            return Reply(text="**500 credits** for 1.99 USD.", buttons=(pay,))
        if action == Action.ASK:
            return Reply(cards=(self.start(account, invocation.address, "a red apple"),))
        owner, card = self.jobs.get(int(number or 0), (0, None))
        if card is None or owner != account:
            return Reply(text="This button is not yours.", refused=True)
        return await self.act(Action(action), account, invocation.address, card)

    async def act(self, action: Action, account: int, address: Address, card: Card) -> Reply:
        match action:
            case Action.CANCEL:
                stopped = msgspec.structs.replace(card, state="cancelled", status="Stopped.", buttons=())
                self.jobs[card.job] = (account, stopped)
                return Reply(cards=(stopped,))
            case Action.DELETE:
                self.jobs[card.job] = (account, msgspec.structs.replace(card, state="deleted"))
                return Reply(gone=card.job)
            case Action.EDIT:
                return Reply(draft=card.prompt, draft_command="imagine", draft_origin=card.job)
            case Action.DETAILS:
                return Reply(text=f"**Prompt** {card.prompt}\n\n- seed `42`\n- 20 steps")
            case Action.ORIGINAL:
                return Reply(files=(card.pictures[0].artifact,))
            case _:
                return Reply(cards=(self.start(account, address, card.prompt),))


class ScriptedDesk:
    """Two sections and a link that works once."""

    sections = ("queue", "accounts")

    def __init__(self) -> None:
        self.tokens = {"good-token"}

    async def table(self, section: str, *, page: int = 0) -> Table:
        rows = {
            "queue": tuple(
                (str(number), "<script>alert(1)</script>", "waiting", "12.5") for number in range(50)
            ),
            "accounts": (),
        }
        return Table(title=section.title(), columns=("Job", "Prompt", "State", "Seconds"), rows=rows[section])

    async def redeem(self, token: str) -> bool:
        if token not in self.tokens:
            return False
        self.tokens.remove(token)
        return True
