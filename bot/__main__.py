"""`atelier`: the command line. Each command is one use case; what is wrong is one sentence and exit code 2."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import structlog
import typer

from bot import bootstrap, settings
from bot.bootstrap import ROLES, Role
from bot.config import Config, ConfigError
from bot.jobs.refusals import Refusal
from storage.database import StorageError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
ConfigPath = Annotated[Path | None, typer.Option("--config", help="config.toml to read")]


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
    _greet(loaded)
    asyncio.run(bootstrap.run(loaded, tuple(each for each in ROLES if each in chosen)))


def load(path: Path | None = None) -> Config:
    return settings.load(path, os.environ)


def _greet(config: Config) -> None:
    if config.web.enabled:
        host = "127.0.0.1" if config.web.host in ("0.0.0.0", "::") else config.web.host  # noqa: S104
        print(
            f"{config.atelier.name} opens at {config.web.public_url or f'http://{host}:{config.web.port}/'}",
            flush=True,
        )


def main() -> None:
    """The console script."""
    configure_logs()
    try:
        app()
    except (ConfigError, StorageError) as error:
        sys.exit(_complain(str(error)))
    except Refusal as refusal:
        sys.exit(_complain(refusal.sentence("en")))
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
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )


def _complain(sentence: str) -> int:
    print(f"atelier: {sentence}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
