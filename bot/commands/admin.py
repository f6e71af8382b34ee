"""`admin`: what operators may do from a chat.

Who is one stands in config.toml, or claimed it with a code from the console; the chat's own roles never count.

admin grant WHO AMOUNT [REASON]      admin user WHO        admin ban WHO yes REASON
admin plan WHO PLAN [DAYS] [REASON]  admin stats           admin unban WHO [REASON]
admin pool [drain|resume DEVICE, cancel JOB]: see `admin_pool`

Those for money are in `bot.commands.admin_money`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from bot.chat import Person, Reply, Table
from bot.commands import admin_money, admin_pool
from bot.commands.admin_words import actor, at_least, is_sure
from bot.commands.context import Asking, Context
from bot.config import Config
from bot.jobs.refusals import Refusal
from storage import accounts
from storage.accounts import Identity

NAME = "admin"
ROLES: dict[str, frozenset[str]] = {
    "grant": frozenset({"owner", "billing", "support"}),
    "plan": frozenset({"owner", "billing"}),
    "user": frozenset({"owner", "billing", "support", "moderator"}),
    "stats": frozenset({"owner", "billing", "support", "moderator"}),
    "ban": frozenset({"owner", "moderator"}),
    "unban": frozenset({"owner", "moderator"}),
    "pool": frozenset({"owner", "moderator"}),
    **admin_money.ROLES,
}
"""Which roles may run which command."""


async def run(context: Context, asking: Asking) -> Reply:
    """Answers only the requester. Raises Refusal."""
    person = asking.invocation.person
    identity = Identity(platform=person.platform, external_id=person.id)
    claimed = await context.database.read(accounts.role, identity)
    roles = roles_of(context.config, person) | frozenset([claimed] if claimed else [])
    if not roles:
        raise Refusal("admin-not-admin")
    name, *words = asking.invocation.text.split() or ["help"]
    command = COMMANDS.get(name.lower())
    if command is None:
        return Reply(text=asking.say("admin-usage"), only_for_requester=True)
    if not roles & ROLES[name.lower()]:
        raise Refusal("admin-not-allowed", command=name, roles=", ".join(sorted(ROLES[name.lower()])))
    return Reply(text=await command(context, asking, words), only_for_requester=True)


def roles_of(config: Config, person: Person) -> frozenset[str]:
    who, admins = f"{person.platform}:{person.id}", config.admins
    lists = {
        "owner": admins.owner,
        "billing": admins.billing,
        "support": admins.support,
        "moderator": admins.moderator,
    }
    return frozenset(role for role, people in lists.items() if who in people)


async def _grant(context: Context, asking: Asking, words: list[str]) -> str:
    who, amount, *reason = at_least(words, 2)
    given = _number(amount)
    if given < 0 and not is_sure(reason):
        return asking.say(
            "admin-take-sure", who=who, amount=-given, command=f"admin grant {who} {amount} yes"
        )
    reason = reason[1:] if given < 0 else reason
    have = await context.operations.grant(who, given, days=None, actor=actor(asking, reason))
    return asking.say("admin-granted", who=who, amount=given, have=have)


async def _plan(context: Context, asking: Asking, words: list[str]) -> str:
    who, plan, *rest = at_least(words, 2)
    days = int(rest.pop(0)) if rest and rest[0].isascii() and rest[0].isdigit() and len(rest[0]) < 5 else None
    await context.operations.plan(who, plan, days=days, actor=actor(asking, rest))
    return asking.say("admin-planned", who=who, plan=plan, days=days or 0)


async def _user(context: Context, asking: Asking, words: list[str]) -> str:
    return _drawn(await context.operations.user(at_least(words, 1)[0], locale=asking.locale))


async def _stats(context: Context, asking: Asking, words: list[str]) -> str:
    return _drawn(await context.operations.stats())


async def _ban(context: Context, asking: Asking, words: list[str]) -> str:
    who, *reason = at_least(words, 2)
    if not is_sure(reason):
        return asking.say("admin-ban-sure", who=who, command=f"admin ban {who} yes {' '.join(reason)}")
    await context.operations.ban(who, banned=True, actor=actor(asking, reason[1:]))
    return asking.say("admin-banned", who=who)


async def _unban(context: Context, asking: Asking, words: list[str]) -> str:
    who, *reason = at_least(words, 1)
    await context.operations.ban(who, banned=False, actor=actor(asking, reason))
    return asking.say("admin-unbanned", who=who)


async def _pool(context: Context, asking: Asking, words: list[str]) -> str:
    answer = await admin_pool.run(context, asking, words, actor(asking, []))
    return answer if isinstance(answer, str) else _drawn(answer)


COMMANDS: dict[str, Callable[[Context, Asking, list[str]], Awaitable[str]]] = {
    "grant": _grant, "plan": _plan, "user": _user, "stats": _stats, "ban": _ban, "unban": _unban, "pool": _pool,
    **admin_money.COMMANDS,
}  # fmt: skip


def _number(text: str) -> int:
    digits = text.removeprefix("+").removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 9 or int(digits) == 0:
        raise Refusal("admin-no-amount", text=text[:40])
    return int(text)


def _drawn(table: Table) -> str:
    return "\n".join(f"- **{row[0]}**: {' · '.join(row[1:])}" for row in table.rows) or "—"
