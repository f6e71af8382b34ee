"""`admin` for money: gifts, limits, refunds, flagged payments, promo codes, revenue, reconciliation.

admin gift WHO PLAN DAYS [REASON]          admin payments WHO       admin flagged
admin refund PAYMENT [yes] [REASON]        admin revenue [DAYS]     admin promos
admin settle PAYMENT WHO PRODUCT [REASON]  admin replay NEWS        admin reconcile PROVIDER
admin promo CODE CREDITS|PLAN DAYS USES    admin promo CODE end     admin limit WHO NAME=NUMBER … | none
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from bot.chat import Table
from bot.commands.admin_words import actor, at_least, is_sure
from bot.commands.context import Asking, Context
from bot.jobs.refusals import Refusal
from bot.payments import products
from storage.promos import Promo

DAYS_MAX, USES_MAX, CREDITS_MAX = 3650, 1_000_000, 10_000_000
_MONEY, _EYES = frozenset({"owner", "billing"}), frozenset({"owner", "billing", "support"})
ROLES: dict[str, frozenset[str]] = {
    "gift": _MONEY, "refund": _MONEY, "settle": _MONEY, "promo": _MONEY, "promos": _MONEY, "revenue": _MONEY,
    "reconcile": _MONEY, "replay": _MONEY, "flagged": _EYES, "payments": _EYES,
    "limit": frozenset({"owner", "support", "moderator"}),
}  # fmt: skip


async def _gift(context: Context, asking: Asking, words: list[str]) -> str:
    who, plan, days, *reason = at_least(words, 3)
    number = _number(days, DAYS_MAX)
    await context.office.gift(who, plan, days=number, actor=actor(asking, reason))
    return asking.say("admin-gifted", who=who, plan=plan, days=number)


async def _limit(context: Context, asking: Asking, words: list[str]) -> str:
    who, *rest = at_least(words, 2)
    pairs = [word.split("=", 1) for word in rest if "=" in word]
    limits = {name: _number(value, 10**9) for name, value in pairs}
    await context.office.limit(who, limits, actor=actor(asking, [word for word in rest if "=" not in word]))
    return asking.say(
        "admin-limited", who=who, limits=", ".join(f"{name} {value}" for name, value in limits.items()) or "–"
    )


async def _refund(context: Context, asking: Asking, words: list[str]) -> str:
    """Says what it means first; only with `yes` it is done."""
    payment, *rest = at_least(words, 1)
    number = _number(payment.removeprefix("#"), 10**15)
    if not is_sure(rest):
        found = await context.office.refunding(number)
        message = "admin-refund-sure"
    else:
        found = await context.office.refund(number, actor=actor(asking, rest[1:]))
        message = "admin-refund-asked"
    money = products.shown(found.money)
    return asking.say(message, payment=number, money=money, taken=found.taken, owed=found.owed)


async def _settle(context: Context, asking: Asking, words: list[str]) -> str:
    payment, who, product, *reason = at_least(words, 3)
    number = _number(payment.removeprefix("#"), 10**15)
    await context.office.settle(number, who, product, actor=actor(asking, reason))
    return asking.say("admin-settled", payment=number, who=who, product=product)


async def _promo(context: Context, asking: Asking, words: list[str]) -> str:
    code, what, *rest = at_least(words, 2)
    if what.lower() == "end":
        await context.office.end_promo(code, actor=actor(asking, rest))
        return asking.say("admin-promo-ended", code=code.upper())
    days, uses = (
        _number(word, most) for word, most in zip(at_least(rest, 2), (DAYS_MAX, USES_MAX), strict=False)
    )
    given = _number(what, CREDITS_MAX) if what.isdigit() else 0
    plan = "" if given else what
    promo = Promo(code=code.upper()[:64], credits=given, plan=plan, days=days, uses_max=uses)
    await context.office.promo(promo, actor=actor(asking, rest[2:]))
    return asking.say("admin-promo-made", code=promo.code, uses=uses)


async def _revenue(context: Context, asking: Asking, words: list[str]) -> str:
    return _drawn(await context.office.revenue(_number(words[0], DAYS_MAX) if words else 30))


async def _payments(context: Context, asking: Asking, words: list[str]) -> str:
    return _drawn(await context.office.payments(at_least(words, 1)[0]))


async def _flagged(context: Context, asking: Asking, words: list[str]) -> str:
    return _drawn(await context.office.flagged())


async def _promos(context: Context, asking: Asking, words: list[str]) -> str:
    return _drawn(await context.office.promos())


async def _reconcile(context: Context, asking: Asking, words: list[str]) -> str:
    provider, *reason = at_least(words, 1)
    await context.office.reconcile(provider, actor=actor(asking, reason))
    return asking.say("admin-asked", what=f"reconcile {provider}")


async def _replay(context: Context, asking: Asking, words: list[str]) -> str:
    letter, *reason = at_least(words, 1)
    await context.office.replay(_number(letter.removeprefix("#"), 10**15), actor=actor(asking, reason))
    return asking.say("admin-asked", what=f"replay {letter}")


COMMANDS: dict[str, Callable[[Context, Asking, list[str]], Awaitable[str]]] = {
    "gift": _gift, "limit": _limit, "refund": _refund, "settle": _settle, "promo": _promo, "promos": _promos,
    "revenue": _revenue, "payments": _payments, "flagged": _flagged, "reconcile": _reconcile, "replay": _replay,
}  # fmt: skip


def _number(text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 18 or not int(text) <= most:
        raise Refusal("admin-no-amount", text=text[:40])
    return int(text)


def _drawn(table: Table) -> str:
    return (
        "\n".join(f"- **{row[0]}**: {' · '.join(cell for cell in row[1:] if cell)}" for row in table.rows)
        or "—"
    )
