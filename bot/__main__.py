"""`atelier`: the command line. Each command is one use case; what is wrong is one sentence and exit code 2."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Annotated

import structlog
import typer

from bot import bootstrap
from bot.archive import ArchiveError
from bot.bootstrap import ROLES, Role
from bot.catalogue import CatalogueError
from bot.cli import connect, doctor, ledger, models, money, people, pool, upkeep
from bot.cli.console import ConfigPath, load
from bot.config import ConfigError
from bot.jobs.refusals import Refusal
from bot.logs import best_effort
from bot.upkeep import UpkeepError
from storage.database import StorageError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def root() -> None:
    """Atelier: a self-hosted generative-AI bot."""


@app.command()
def run(
    role: Annotated[list[str] | None, typer.Option(help="chat or generate; both by default")] = None,
    config: ConfigPath = None,
) -> None:
    """Start the bot: the web page, the chats whose tokens are set, and the devices."""
    chosen: list[Role] = []
    for name in role or ROLES:
        if name not in ROLES:
            raise ConfigError(f"There is no role {name!r}: it is chat or generate.")
        chosen.append(name)
    loaded = load(config)
    asyncio.run(bootstrap.run(loaded, tuple(each for each in ROLES if each in chosen)))


app.command(context_settings={"ignore_unknown_options": True})(people.grant)  # a minus is no option
app.add_typer(upkeep.db, name="db")
app.add_typer(models.app, name="models")
app.add_typer(ledger.app, name="ledger")
app.add_typer(pool.app, name="pool")
app.add_typer(money.app, name="money")
for command in (people.plan, people.ban, people.unban, people.user, people.stats, people.jobs, people.admin,
                upkeep.backup, upkeep.restore, doctor.doctor, connect.setup, connect.claim):  # fmt: skip
    app.command()(command)


def main() -> None:
    """The console script."""
    configure_logs()
    try:
        app()
    except (ConfigError, StorageError, UpkeepError, ArchiveError, CatalogueError) as error:
        sys.exit(_complain(str(error)))
    except Refusal as refusal:
        sys.exit(_complain(refusal.sentence("en")))
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        sys.exit(_complain(f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")))


def configure_logs() -> None:
    """Structured lines on standard error."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(colors=False)
            if sys.stderr.isatty()
            else structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=structlog.PrintLoggerFactory(best_effort(sys.stderr)),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )


def _complain(sentence: str) -> int:
    print(f"atelier: {sentence}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
