"""`Chat` for all platforms: any event in, a reply out, whatever happens.

Refusals become sentences, storage that is away becomes one too, and a bug of ours is logged without the prompt
and answered with words that say what it cost: nothing.
"""

from __future__ import annotations

from difflib import get_close_matches

import structlog

from bot.chat import Button, Card, Chat, Invocation, Media, Person, Reply
from bot.commands import REGISTRY, Asking, Context, selling
from bot.commands.help import examples
from bot.commands.refused import PromptError, render
from bot.jobs.refusals import Refusal
from storage import accounts, artifacts, jobs
from storage.accounts import Identity
from storage.blobs import BlobsUnavailable
from storage.database import DatabaseUnavailable

log = structlog.get_logger(__name__)
CACHED_MAX = 50_000
SELLING = frozenset({"refused-credits", "refused-model-plan"})
"""Refusals that a plan or a pack would have spared."""
OFFERS_MAX = 3


class Service(Chat):
    def __init__(self, context: Context) -> None:
        self._context = context
        self._accounts: dict[tuple[str, str], int] = {}
        context.database.signals.on("accounts", self._forget)

    async def run(self, invocation: Invocation) -> Reply:
        locale = invocation.address.locale
        try:
            return await self._run(invocation)
        except PromptError as error:
            return Reply(text=render(error, locale), refused=True)
        except Refusal as refusal:
            buttons = self._way_out(refusal, invocation)
            return Reply(text=refusal.sentence(locale), refused=True, buttons=buttons)
        except (DatabaseUnavailable, BlobsUnavailable) as error:
            log.error("command.storage_away", command=invocation.command, error=str(error))
            return Reply(text=Refusal("refused-storage").sentence(locale), refused=True)
        except Exception as error:
            # The message of an exception may quote a prompt: its type and place are enough to mend it.
            log.error(
                "command.broken", command=invocation.command, error=type(error).__name__, where=_where(error)
            )
            return Reply(text=Refusal("refused-internal").sentence(locale), refused=True)

    async def cards(self, person: Person, *, before: int | None = None, limit: int = 20) -> list[Card]:
        account = await self.account(person)
        found = await self._context.database.read(jobs.of_account, account, before=before, limit=limit)
        return await self._context.board.draw_all(found, person.locale)

    async def card(self, job: int) -> Card | None:
        found = await self._context.database.read(jobs.get, job)
        if found is None or found.deleted_at is not None:
            return None
        return await self._context.board.card(found)

    async def media(self, artifact: int) -> Media | None:
        """A text carries its label as a last line, since the words outlive the page."""
        found = await self._context.database.read(artifacts.get, artifact)
        data = await self._context.blobs.get(found.blob) if found else None
        if found is None or data is None:
            return None
        job = await self._context.database.read(jobs.get, found.job)
        if found.media_type.startswith("text/") and job is not None:
            data += f"\n\n{self._context.board.label(job)}\n".encode()
        extension = found.blob.rpartition(".")[2]
        return Media(
            data=data,
            media_type=found.media_type,
            name=f"atelier-{found.job}-{found.ordinal + 1}.{extension}",
        )

    async def account(self, person: Person) -> int:
        key = (person.platform, person.id)
        if (known := self._accounts.get(key)) is not None:
            return known
        name = person.name.replace("\0", "")  # PostgreSQL cannot store it
        identity = Identity(platform=person.platform, external_id=person.id, name=name)
        found = await self._context.database.run(accounts.resolve, identity, self._context.clock())
        if len(self._accounts) >= CACHED_MAX:
            self._accounts.clear()
        self._accounts[key] = found
        return found

    def _forget(self, merged: str) -> None:
        """This account (empty: any) was merged into another: whoever reaches it is looked up again."""
        self._accounts = {key: each for key, each in self._accounts.items() if merged and str(each) != merged}

    def _way_out(self, refusal: Refusal, invocation: Invocation) -> tuple[Button, ...]:
        """What a person may do about it at once."""
        if refusal.message == "refused-empty":
            return examples(self._context)
        if refusal.message in SELLING:
            return selling.buttons(self._context, selling.ways(self._context, invocation)[:OFFERS_MAX])
        return ()

    async def _run(self, invocation: Invocation) -> Reply:
        command = REGISTRY.get(invocation.command)
        if command is None:
            nearest = (get_close_matches(invocation.command, REGISTRY, 1) or ["help"])[0]
            raise Refusal("refused-unknown-command", command=invocation.command[:40], nearest=nearest)
        account = await self.account(invocation.person)
        return await command(self._context, Asking(account=account, invocation=invocation))


def _where(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""
