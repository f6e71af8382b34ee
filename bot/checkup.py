"""`doctor`: is everything there that a start needs, and does what is there hold together? Changes nothing.

Each check is one function that answers with one finding; a failed one names its fix in one sentence. A check
that cannot be made because an earlier one failed is skipped. All checks are listed in `CHECKS`.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import shutil
import socket
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, cast
from uuid import uuid4

import msgspec

from bot import onboarding, settings
from bot.config import Config
from bot.payments import products, telegram_stars
from generators import discovery, shelf
from storage import diagnosis, ledger, schema, transfer
from storage.blobs import open_blobs
from storage.database import Database, StorageError

State = Literal["ok", "failed", "skipped"]

FREE_BYTES_MIN = 1024**3
CLOCK_SECONDS_MAX = 5
FUTURE_SECONDS_MAX = 60
BLOBS_SECONDS = 20
HTTP_SECONDS = 3
SPARE_CONNECTIONS = 2  # one listens for signals, one is for the command line


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """`said` is what was found; `fix`, of a failed check, what to do."""

    name: str
    state: State
    said: str
    fix: str = ""


class Ward(msgspec.Struct, frozen=True, kw_only=True):
    """What is examined. `database` is None where there is none yet, or none that can be reached."""

    config: Config
    database: Database | None
    now: datetime
    trouble: str = ""  # why the database cannot be reached


class Sick(Exception):
    """A check failed: what was found, and the fix."""

    def __init__(self, said: str, fix: str) -> None:
        super().__init__(said)
        self.said, self.fix = said, fix


class Skipped(Exception):
    """There is nothing to check; the text says why."""


Check = Callable[[Ward], Awaitable[str]]


async def examine(ward: Ward) -> list[Finding]:
    """All findings, in the order of the checks."""
    return [await _finding(name, check, ward) for name, check in CHECKS.items()]


async def _finding(name: str, check: Check, ward: Ward) -> Finding:
    try:
        return Finding(name=name, state="ok", said=await check(ward))
    except Skipped as skipped:
        return Finding(name=name, state="skipped", said=str(skipped))
    except Sick as sick:
        return Finding(name=name, state="failed", said=sick.said, fix=sick.fix)
    except Exception as error:  # a check must never keep the others from being made
        said = (str(error) or type(error).__name__).splitlines()[0][:200]
        return Finding(name=name, state="failed", said=said, fix="Look into this part by hand.")


# --- the home folder ----------------------------------------------------------------------------------------


async def _home(ward: Ward) -> str:
    home = settings.home(ward.config)
    probe = home / f".doctor-{uuid4().hex}"
    try:
        home.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"probe")
        probe.unlink()
    except OSError as error:
        raise Sick(
            f"{home} cannot be written: {error.strerror}.",
            "Let the bot's user own that folder, or point ATELIER_HOME at another.",
        ) from error
    free = shutil.disk_usage(home).free
    if free < FREE_BYTES_MIN:
        raise Sick(
            f"The disk of {home} has {_gib(free)} GiB free.",
            "Make at least 1 GiB of room, or shorten [retention].",
        )
    return f"{home}, {_gib(free)} GiB free"


async def _signing_key(ward: Ward) -> str:
    if ward.config.secrets.signing_key:
        return "from ATELIER_SIGNING_KEY"
    path = settings.home(ward.config) / "keys" / "signing.key"
    if not path.exists():
        if ward.database is not None and await ward.database.read(diagnosis.newest):
            raise Sick(
                f"{path} is gone: cookies, links and buttons made with it are void.",
                "Take it from a backup, or start the bot to make a new one.",
            )
        raise Skipped("made at the first start")
    if path.stat().st_mode & 0o077:
        raise Sick(f"Others may read {path}.", f"Run: chmod 600 {path}")
    if not _is_key(path.read_text(errors="replace").strip()):
        raise Sick(f"{path} is damaged.", "Take it from a backup, or delete it to have a new one made.")
    return f"{path}, mode 600"


def _is_key(text: str) -> bool:
    return (
        len(text) >= 64 and len(text) % 2 == 0 and all(letter in "0123456789abcdefABCDEF" for letter in text)
    )


async def _tokens(ward: Ward) -> str:
    secrets = ward.config.secrets
    found: list[str] = []
    try:
        if secrets.discord_token:
            found += await onboarding.discord(ward.config, secrets.discord_token)
        if secrets.telegram_token:
            found += await onboarding.telegram(ward.config, secrets.telegram_token)
    except onboarding.TokenTrouble as trouble:
        raise Sick("a chat cannot be reached", str(trouble)) from None
    return " ".join(found) or "none is set: the web page alone"


async def _stars(ward: Ward) -> str:
    """What Telegram asks of a bot that sells, before it refuses a bill."""
    if not ward.config.secrets.telegram_token:
        raise Skipped("Telegram's token is not set")
    offered = [each for each in products.catalogue(ward.config).values() if products.STARS in each.price]
    for product in offered:
        if reason := telegram_stars.unsellable(product):
            raise Sick(f"{product.title} {reason}.", f"Correct the days of {product.id}.")
    if offered and not ward.config.payments.support:
        raise Sick(
            "Stars are asked for, but /paysupport can name nobody.",
            "Set payments.support: an address or a @username. Telegram asks this of bots that sell.",
        )
    return f"{len(offered)} products for Stars" if offered else "nothing is sold for Stars"


async def _discord_shop(ward: Ward) -> str:
    token = ward.config.secrets.discord_token
    if not token or not any(each.discord_sku for each in products.catalogue(ward.config).values()):
        raise Skipped("nothing is sold on Discord")
    try:
        return await onboarding.discord_shop(ward.config, token)
    except onboarding.TokenTrouble as trouble:
        raise Sick("Discord's shop and config.toml differ", str(trouble)) from None


async def _stripe(ward: Ward) -> str:
    if not ward.config.secrets.stripe_key:
        raise Skipped("ATELIER_STRIPE_KEY is not set")
    from bot.payments.stripe import checkup  # slow to import, and seldom needed

    try:
        return await checkup.examine(ward.config, settings.page_url(ward.config))
    except checkup.Trouble as trouble:
        raise Sick(trouble.said, trouble.fix) from None


# --- the database -------------------------------------------------------------------------------------------


async def _schema(ward: Ward) -> str:
    database = _there(ward)
    revision = await transfer.on(database, transfer.revision)
    if revision != transfer.head():
        if revision is not None and not transfer.knows(revision):
            raise Sick(
                f"The database is at revision {revision}, of a newer Atelier.", "Install that version."
            )
        raise Sick(
            f"The database is at revision {revision or 'none'} of {transfer.head()}.",
            "Run `atelier db upgrade`.",
        )
    if found := await transfer.on(database, schema.differences):
        raise Sick(
            f"The tables differ from revision {revision} in {len(found)} places.",
            "Somebody changed them by hand: restore a backup, or undo that change.",
        )
    return f"revision {revision}"


async def _ledger(ward: Ward) -> str:
    drift = await _there(ward).read(ledger.check)
    if drift:
        first = drift[0]
        raise Sick(
            f"The books do not add up in {len(drift)} places, first {first.what} {first.subject}:"
            f" {first.found}, not {first.expected}.",
            "Compare with the last good backup, and report this: it must never happen.",
        )
    return "the books add up"


async def _clock(ward: Ward) -> str:
    """Leases are judged by the database's clock, days and expiries by ours."""
    database = _there(ward)
    apart = (await database.read(diagnosis.clock) - ward.now).total_seconds()
    if abs(apart) > CLOCK_SECONDS_MAX:
        raise Sick(
            f"The database's clock is {abs(apart):.0f} s {'ahead of' if apart > 0 else 'behind'} this machine's.",
            "Set both by NTP.",
        )
    newest = await database.read(diagnosis.newest)
    if newest is not None and newest - ward.now > timedelta(seconds=FUTURE_SECONDS_MAX):
        raise Sick(
            f"Something was booked at {newest:%Y-%m-%d %H:%M} UTC, which is to come.", "Set the clock by NTP."
        )
    return f"{abs(apart):.1f} s apart from the database's"


async def _connections(ward: Ward) -> str:
    room = await _there(ward).read(diagnosis.room)
    if room is None:
        raise Skipped("SQLite has none")
    wanted = ward.config.database.pool + SPARE_CONNECTIONS
    if wanted > room.allowed:
        raise Sick(
            f"This process may open {wanted} connections, the server allows {room.allowed} in all.",
            "Lower database.pool, or raise max_connections of PostgreSQL.",
        )
    return f"{wanted} wanted by each process, {room.used} of {room.allowed} in use"


def _there(ward: Ward) -> Database:
    if ward.trouble:
        raise Skipped("the database cannot be reached")
    if ward.database is None:
        raise Skipped("made at the first start")
    return ward.database


async def _database(ward: Ward) -> str:
    if ward.trouble:
        raise Sick(ward.trouble, "Start it, or correct database.url (ATELIER_DATABASE_URL).")
    _there(ward)
    path = schema.sqlite_path(settings.database_url(ward.config))
    return f"SQLite, {path}" if path else "PostgreSQL"


# --- the store ----------------------------------------------------------------------------------------------


async def _blobs(ward: Ward) -> str:
    url = settings.blobs_url(ward.config)
    key, data = f"doctor/{uuid4().hex}", b"probe"
    fix = "Correct storage.blobs (ATELIER_STORAGE_BLOBS), its permissions, or the credentials in the environment."
    try:
        async with asyncio.timeout(BLOBS_SECONDS):
            blobs = open_blobs(url)
            await blobs.put(key, data)
            found = await blobs.get(key)
            await blobs.delete([key])
    except (StorageError, OSError) as error:  # a timeout is an OSError
        raise Sick(f"The store does not work: {error or 'no answer'}.", fix) from error
    if found != data:
        raise Sick("The store does not give back what was put into it.", fix)
    return url.partition("?")[0]


# --- the page -----------------------------------------------------------------------------------------------


async def _web(ward: Ward) -> str:
    web = ward.config.web
    if not web.enabled:
        raise Skipped("web.enabled is false")
    try:
        _bind(web.host, web.port)
    except OSError as error:
        health = await asyncio.to_thread(_health, web.host, web.port)
        if health is None:
            raise Sick(
                f"Port {web.port} on {web.host} cannot be had: {error.strerror}.",
                "Stop what uses it, or set another web.port (ATELIER_WEB_PORT).",
            ) from error
        ill = [f"{part}: {said}" for part, said in health.items() if said != "ok"]
        if ill:
            raise Sick(f"The bot that runs says {'; '.join(ill)}.", "See its log.") from error
        return f"port {web.port} is served by the bot that runs"
    return f"port {web.port} is free"


def _bind(host: str, port: int) -> None:
    """Raises OSError."""
    family, kind, _, _, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        probe.listen(1)


def _health(host: str, port: int) -> dict[str, Any] | None:
    """What an Atelier there says of itself; None if it is something else."""
    near = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104
    connection = http.client.HTTPConnection(near, port, timeout=HTTP_SECONDS)
    try:
        connection.request("GET", "/healthz")
        found: Any = json.loads(connection.getresponse().read(100_000))
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    is_ours = isinstance(found, dict) and "database" in found and "ledger" in found
    return cast("dict[str, Any]", found) if is_ours else None


# --- devices and models -------------------------------------------------------------------------------------


async def _devices(ward: Ward) -> str:
    if ward.config.pool.engine == "ray":
        raise Skipped(
            f"those of the Ray cluster {ward.config.pool.ray_address or 'of its own'}: `atelier pool`"
        )
    found, wanted = await discovery.devices(), ward.config.pool.devices
    missing = [name for name in wanted if name != "cpu" and name not in found]
    if missing:
        raise Sick(
            f"{', '.join(missing)} of pool.devices does not exist; there is {', '.join(found)}.",
            "Correct pool.devices, or install the device's driver.",
        )
    return ", ".join(wanted or found)


async def _models(ward: Ward) -> str:
    """Files whole and safe, embedded ones installed."""
    away = 0
    for name, model in ward.config.models.items():
        if said := shelf.fault(model):
            raise Sick(f"models.{name}: {said}", "Get its files again, or take the model out of config.toml.")
        away += shelf.place(model) is None
    here = len(ward.config.models) - away
    return f"{here} here" + (f", {away} to be downloaded at first use" if away else "")


async def _memory(ward: Ward) -> str:
    if ward.config.pool.engine == "ray":
        raise Skipped("the memory of the cluster's devices is not known before their workers start")
    device = (ward.config.pool.devices or await discovery.devices())[0]
    room = round(ward.config.pool.memory_gb * 2**30) or shelf.device_bytes(device)
    if room is None:
        raise Skipped(f"the memory of {device} is not known before its worker starts")
    sizes = {name: shelf.memory_bytes(model, device) or 0 for name, model in ward.config.models.items()}
    largest = max(sizes, key=lambda name: sizes[name])
    if sizes[largest] > room:
        raise Sick(
            f"models.{largest} needs {_gib(sizes[largest])} GiB and {device} has {_gib(room)} GiB for models.",
            "Use a smaller dtype or model, a larger device, or raise pool.memory_gb.",
        )
    return f"{_gib(sum(sizes.values()))} GiB of models that are here, {_gib(room)} GiB on {device}"


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f}"


CHECKS: dict[str, Check] = {
    "home": _home, "signing key": _signing_key, "database": _database, "schema": _schema, "ledger": _ledger,
    "clock": _clock, "connections": _connections, "blobs": _blobs, "web": _web, "devices": _devices,
    "models": _models, "memory": _memory, "tokens": _tokens, "stars": _stars,
    "discord shop": _discord_shop, "stripe": _stripe,
}  # fmt: skip


def expects_database(config: Config) -> bool:
    """Whether there should be one: a SQLite file is made at the first start."""
    path: Path | None = schema.sqlite_path(settings.database_url(config))
    return path is None or path.exists()
