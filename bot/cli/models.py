"""`atelier models`: what there is, and adding one by trying it."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import Annotated

import typer

from bot import bootstrap, catalogue, settings
from bot.catalogue import CatalogueError, Measured, Wanted
from bot.cli.console import ConfigPath, draw, load, say
from bot.config import Config
from bot.settings import environment
from generators.requests import Kind
from storage import records

app = typer.Typer(help="The models: list them, or try one and add it.", invoke_without_command=True)


@app.callback()
def models(context: typer.Context, config: ConfigPath = None) -> None:
    """The models: list them, or try one and add it."""
    if context.invoked_subcommand is None:
        _list(load(config))


@app.command("list")
def list_models(config: ConfigPath = None) -> None:
    """List the models with their size, licence, limits, price and what they take here."""
    _list(load(config))


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="what people will call it")],
    source: Annotated[str, typer.Argument(help="a folder, a .gguf file or a hub id (owner/name)")],
    kind: Annotated[str | None, typer.Option("--kind", help="image or text")] = None,
    title: Annotated[str, typer.Option("--title")] = "",
    licence: Annotated[str, typer.Option("--licence", help="by default what its card says")] = "",
    commercial: Annotated[bool, typer.Option("--commercial", help="its licence lets you sell it")] = False,
    size: Annotated[str, typer.Option("--size", help="its own size, like 1024x1024")] = "",
    steps: Annotated[int, typer.Option("--steps", min=0, max=500)] = 0,
    guidance: Annotated[float | None, typer.Option("--guidance", min=0, max=100)] = None,
    write: Annotated[bool, typer.Option("--write", help="append its entry to config.toml")] = False,
    config: ConfigPath = None,
) -> None:
    """Load a model, run it once and print its entry for config.toml."""
    loaded = load(config)
    width, height = _size(size)
    wanted = Wanted(
        name=name, source=source, kind=_kind(kind), title=title, licence=licence, commercial=commercial,
        steps=steps, guidance=guidance, width=width, height=height,
    )  # fmt: skip
    measured = asyncio.run(catalogue.measure(loaded, wanted, bootstrap.pool_settings(loaded)))
    _show(measured)
    typer.echo("\n" + catalogue.block(measured.entry), nl=False)
    if write:
        path = config or Path(os.environ.get(environment.CONFIG) or settings.DEFAULT_PATH)
        catalogue.write(path, measured.entry, os.environ)
        say(f"\nAppended to {path}: restart the bot to use it.")


def _list(config: Config) -> None:
    async def work() -> dict[str, int]:
        async with bootstrap.storage_of(config) as (database, _):
            return await database.read(records.timings)

    draw(catalogue.table(config, asyncio.run(work())))


def _show(measured: Measured) -> None:
    entry, disk = measured.entry, measured.disk_bytes
    unit = (
        "100 tokens"
        if entry.kind == "text"
        else f"a picture of {entry.width}x{entry.height} in {entry.steps} steps"
    )
    say(f"size      {catalogue.megabytes(disk) if disk else 'unknown'} on disk")
    say(f"memory    {catalogue.megabytes(measured.memory_bytes)} on {measured.device} ({measured.hardware})")
    say(f"licence   {entry.licence or 'none found: read its page, then say --licence'}")
    say(f"loading   {measured.load_seconds:.1f} s")
    say(f"seconds   {entry.seconds} for {unit}")
    say(f"credits   {entry.credits} suggested: {_basis(measured.device)}")
    if not entry.commercial:
        say("plans     free only: with --commercial it may be sold, if its licence allows that")


def _basis(device: str) -> str:
    if device == "cpu":
        return (
            "one for each second measured on this CPU; elsewhere one credit is a second on a 4090-class card"
        )
    return "one credit is one second on a 4090-class card, and this is what it took here"


def _kind(text: str | None) -> Kind | None:
    match text:
        case None | "image" | "text":
            return text
        case _:
            raise CatalogueError(f"--kind is image or text, not {text!r}.")


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{2,4})x([0-9]{2,4})", text or "00x00")
    if not found:
        raise CatalogueError(f"--size is written like 1024x1024, not {text!r}.")
    return int(found[1]), int(found[2])
