"""`atelier money`: what admins do with payments, from a terminal, also while the bot runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from bot import bootstrap
from bot.chat import Table
from bot.cli.console import ConfigPath, actor, draw, load, say
from bot.config import Config, ConfigError
from bot.office import Office
from bot.payments import products
from bot.payments.pricelist import Report
from storage.promos import Promo

T = TypeVar("T")
Who = Annotated[str, typer.Argument(help="an account such as 12, or an identity such as discord:123")]
Number = Annotated[int, typer.Argument(min=1)]
Reason = Annotated[str, typer.Option("--reason", help="kept in the audit log")]

app = typer.Typer(
    no_args_is_help=True, help="Payments: who paid what, refunds, codes, reconciliation, prices."
)


@app.command()
def flagged(config: ConfigPath = None) -> None:
    """Show what an admin has to look at: payments, news without effect, errands that fail."""
    _draw(config, lambda office: office.flagged())


@app.command()
def revenue(
    days: Annotated[int, typer.Option("--days", min=1, max=3650)] = 30, config: ConfigPath = None
) -> None:
    """Show revenue by day, provider and product."""
    _draw(config, lambda office: office.revenue(days))


@app.command()
def of(who: Who, config: ConfigPath = None) -> None:
    """Show an account's rights to plans and its payments."""
    _draw(config, lambda office: office.payments(who))


@app.command()
def refund(
    payment: Number,
    yes: Annotated[bool, typer.Option("--yes", help="do it; without, only say what it means")] = False,
    reason: Reason = "",
    config: ConfigPath = None,
) -> None:
    """Give a payment back, through its provider."""

    async def work(office: Office) -> str:
        found = await (office.refund(payment, actor=actor(reason)) if yes else office.refunding(payment))
        owed = f", {found.owed} of them spent, which becomes a debt" if found.owed else ""
        money = f"{products.shown(found.money)}, and {found.taken} credits with it{owed}"
        return f"Asked for: {money}." if yes else f"It would be {money}. To do it: --yes."

    say(_work(config, work))


@app.command()
def settle(
    payment: Number,
    who: Who,
    product: Annotated[str, typer.Argument(help="plan:NAME or pack:NAME")],
    reason: Reason = "",
    config: ConfigPath = None,
) -> None:
    """Say whose a flagged payment is and for what; it is given at once."""
    _work(config, lambda office: office.settle(payment, who, product, actor=actor(reason)))
    say(f"Payment #{payment} is settled.")


@app.command()
def gift(
    who: Who,
    plan: Annotated[str, typer.Argument(help="a plan of config.toml")],
    days: Annotated[int, typer.Argument(min=1, max=3650)],
    reason: Reason = "",
    config: ConfigPath = None,
) -> None:
    """Give days of a plan, beside what somebody has."""
    _work(config, lambda office: office.gift(who, plan, days=days, actor=actor(reason)))
    say(f"{who} has {plan} for {days} days.")


@app.command()
def limit(
    who: Who,
    limits: Annotated[list[str] | None, typer.Argument(help="NAME=NUMBER …; none: the plan's again")] = None,
    reason: Reason = "",
    config: ConfigPath = None,
) -> None:
    """Set limits for one account instead of its plan's."""
    pairs = [text.partition("=") for text in limits or ()]
    if wrong := [name for name, _, value in pairs if not (value.isascii() and value.isdigit())]:
        raise ConfigError(f"Limits are written NAME=NUMBER, unlike {wrong[0]!r}.")
    wanted = {name: int(value) for name, _, value in pairs}
    _work(config, lambda office: office.limit(who, wanted, actor=actor(reason)))
    say(f"{who} now has {'limits of their own' if wanted else 'the limits of the plan'}.")


@app.command()
def promo(
    code: Annotated[str, typer.Argument(help="what people type")],
    gives: Annotated[str, typer.Argument(help="credits, or a plan of config.toml; `end` ends the code")],
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="how long it lasts")] = 30,
    uses: Annotated[int, typer.Option("--uses", min=1, help="how often in all")] = 1,
    reason: Reason = "",
    config: ConfigPath = None,
) -> None:
    """Make a promo code, or end one."""
    if gives == "end":
        _work(config, lambda office: office.end_promo(code, actor=actor(reason)))
        say(f"Code {code.upper()} is over.")
        return
    credits = int(gives) if gives.isascii() and gives.isdigit() else 0
    made = Promo(
        code=code.upper()[:64], credits=credits, plan="" if credits else gives, days=days, uses_max=uses
    )
    _work(config, lambda office: office.promo(made, actor=actor(reason)))
    say(f"Code {made.code} works {uses} times.")


@app.command()
def promos(config: ConfigPath = None) -> None:
    """Show all promo codes."""
    _draw(config, lambda office: office.promos())


@app.command()
def reconcile(provider: str, config: ConfigPath = None) -> None:
    """Ask the running bot to compare with a provider now; what it finds is in the audit log."""
    _work(config, lambda office: office.reconcile(provider, actor=actor()))
    say("Asked. The audit log will have what it finds.")


@app.command()
def replay(letter: Number, config: ConfigPath = None) -> None:
    """Ask the running bot to apply news that had no effect so far (see `flagged`)."""
    _work(config, lambda office: office.replay(letter, actor=actor()))
    say("Asked.")


@app.command()
def prices(
    new: Annotated[Path, typer.Argument(help="a config.toml with other prices or plans")],
    days: Annotated[int, typer.Option("--days", min=1, max=365)] = 30,
    config: ConfigPath = None,
) -> None:
    """Try a price list on the last month's jobs: what would it have earned, and whom would it have stopped?"""
    other = load(new)
    report: Report = _work(config, lambda office: office.try_prices(other, days))
    rows = tuple((each.name, str(each.jobs), str(each.before), str(each.after)) for each in report.models)
    draw(Table(title="credits", columns=("model", "jobs", "before", "after"), rows=rows))
    say(f"{report.stopped} jobs of {report.people} people would have been stopped.")


def _draw(config: Path | None, work: Callable[[Office], Awaitable[Table]]) -> None:
    draw(_work(config, work))


def _work(config: Path | None, work: Callable[[Office], Awaitable[T]]) -> T:
    async def run() -> T:
        async with _office(load(config)) as office:
            return await work(office)

    return asyncio.run(run())


@asynccontextmanager
async def _office(config: Config) -> AsyncGenerator[Office]:
    async with bootstrap.storage_of(config) as (database, _):
        yield Office(database, config, clock=bootstrap.now)
