"""Backup, restore and moving to another database: an instance's rows, blobs and keys as a whole.

A backup may be taken while the bot runs; restoring and copying refuse that. Restoring judges the whole archive
and prepares the new database beside the old one before it changes anything; the database goes last, so what is
interrupted leaves the old instance and some blobs that the collector removes. A backup holds the keys that the
instance made for itself; of the secrets that it was given (environment, secrets.env) only the names.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import shutil
from collections.abc import AsyncGenerator, Generator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from bot import archive, settings
from bot.archive import ArchiveError, Manifest, Member
from bot.config import Config
from bot.settings import environment
from storage import ledger, schema, sqlite_file, transfer
from storage.blobs import Blobs, open_blobs
from storage.database import Database, connect

STOP_TRIES, STOP_SECONDS = 10, 0.1  # our own connection takes a moment to be gone


class UpkeepError(Exception):
    """It cannot be done; the text is a sentence that says what to do. Nothing was changed."""


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds, or a restore or copy brought over."""

    rows: int
    blobs: int = 0
    blobs_missing: int = 0  # rows answered for them, the store had none
    drift: int = 0  # places where the restored ledger does not add up
    aside: Path | None = None  # where the database that was replaced now is
    made_at: str = ""
    secrets: tuple[str, ...] = ()  # of the backup's instance, not in the file; restored: not here either


# --- backup -----------------------------------------------------------------------------------------------


def default_file(config: Config, now: datetime) -> Path:
    return settings.home(config) / "backups" / f"atelier-{now:%Y%m%d-%H%M%S}.tar.gz"


async def backup(config: Config, database: Database, blobs: Blobs, file: Path, *, now: datetime) -> Made:
    """Writes one consistent archive, also while the bot runs. Raises ArchiveError, StorageError and OSError."""
    with archive.writing(file) as writer, _workplace(file.parent) as folder:
        manifest = await _snapshot(config, database, folder, now)
        writer.add(archive.MANIFEST, msgspec.json.encode(manifest))
        writer.add_file(f"database.{manifest.database}", folder / manifest.database)
        for key in _keys(config):
            writer.add(f"keys/{key.name}", key.read_bytes())
        stored, missing = 0, 0
        with (folder / "blobs").open(encoding="utf-8") as keys:
            for key in map(str.rstrip, keys):
                data = await blobs.get(key)
                missing += data is None
                if data is not None:
                    writer.add(f"blobs/{key}", data)
                    stored += 1
    rows = sum(manifest.rows.values())
    return Made(rows=rows, blobs=stored, blobs_missing=missing, secrets=manifest.secrets)


async def _snapshot(config: Config, database: Database, folder: Path, now: datetime) -> Manifest:
    """One moment of the database: `sqlite` or `rows` in the folder, and `blobs`, the keys that it answers for."""
    path = schema.sqlite_path(settings.database_url(config))
    if path is None:
        revision = await transfer.on(database, transfer.revision)
        rows = await database.read(transfer.snapshot, folder)
        kind: archive.DatabaseKind = "rows"
    else:
        await asyncio.to_thread(schema.copy_sqlite, path, folder / "sqlite")
        async with _opened(f"sqlite:///{folder / 'sqlite'}") as copy:
            revision = await transfer.on(copy, transfer.revision)
            rows = await copy.read(transfer.count)
            await copy.read(transfer.list_blobs, folder / "blobs")
        kind = "sqlite"
    return Manifest(
        version=importlib.metadata.version("atelier"), revision=revision or "", database=kind, rows=rows,
        made_at=f"{now:%Y-%m-%d %H:%M} UTC", secrets=environment.held(config.secrets),
    )  # fmt: skip


def _keys(config: Config) -> list[Path]:
    folder = settings.home(config) / "keys"
    return sorted(path for path in folder.glob("*.key") if path.is_file() and archive.is_key(path.name))


# --- restore ----------------------------------------------------------------------------------------------


async def restore(config: Config, file: Path, *, force: bool, now: datetime) -> Made:
    """Puts an archive's database, blobs and keys in place and migrates them. `force` replaces what is there.

    Raises UpkeepError, ArchiveError, StorageError and OSError.
    """
    manifest = archive.manifest(file)
    if not transfer.knows(manifest.revision):
        raise UpkeepError(
            f"The backup was made by a newer Atelier ({manifest.version}): install that version first."
        )
    url = settings.database_url(config)
    async with _alone(url):
        if not force and (occupied := await _occupied(url)):
            raise UpkeepError(
                f"This instance already has {', '.join(occupied)}: use --force to replace it, or another ATELIER_HOME."
            )
        with _workplace(settings.home(config)) as folder:
            _unpack(file, folder, manifest)
            fresh = await _prepare(url, folder, manifest)
            blobs = await _put_blobs(file, open_blobs(settings.blobs_url(config)))
            aside = await _replace(config, fresh, manifest, now)
            _put_keys(config, folder, now)
    async with _opened(url) as database:
        drift = len(await database.read(ledger.check))
    rows = sum(manifest.rows.values())
    here = environment.held(config.secrets)
    missing = tuple(each for each in environment.VARIABLES if each in manifest.secrets and each not in here)
    return Made(rows=rows, blobs=blobs, drift=drift, aside=aside, made_at=manifest.made_at, secrets=missing)


def _unpack(file: Path, folder: Path, manifest: Manifest) -> None:
    """The database and the keys, once the whole archive has been judged. Raises ArchiveError."""
    (folder / "keys").mkdir()
    databases: list[str] = []
    for member in archive.members(file):
        if member.name.startswith("database."):
            databases.append(member.name)
            _refuse_without_space(member, folder)
            member.save(folder / member.name.removeprefix("database."))
        elif member.name.startswith("keys/"):
            member.save(folder / member.name)
    if databases != [f"database.{manifest.database}"]:
        raise ArchiveError(
            "The archive has not the one database that it speaks of: it is no backup of Atelier."
        )


def _refuse_without_space(member: Member, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if member.size > free:
        raise UpkeepError(
            f"The database of the backup needs {member.size} bytes and the disk has {free} free: make room first."
        )


async def _prepare(url: str, folder: Path, manifest: Manifest) -> Path:
    """What the target takes: a SQLite file at the newest revision, or rows. Raises StorageError."""
    wants_file = schema.sqlite_path(url) is not None
    if manifest.database == "sqlite":
        sqlite_file.judge(folder / "sqlite")
    fresh = folder / "sqlite"
    async with _opened(f"sqlite:///{fresh}") as database:
        if manifest.database == "sqlite":
            await _judge_and_migrate(database, f"sqlite:///{fresh}", folder, manifest)
            if not wants_file:
                await database.read(transfer.dump, folder / "rows")
        elif wants_file:
            await transfer.on(
                database, transfer.restore_into, folder / "rows", manifest.revision, manifest.rows
            )
    return fresh if wants_file else folder / "rows"


async def _judge_and_migrate(database: Database, url: str, folder: Path, manifest: Manifest) -> None:
    if await transfer.on(database, transfer.revision) != manifest.revision:
        raise ArchiveError("The database of the backup is not the one that its manifest speaks of.")
    await schema.upgrade(database, url, backups=folder)
    if await transfer.on(database, schema.differences):
        raise ArchiveError("The database of the backup is not one of Atelier.")
    counts = await database.read(transfer.count)
    if {name: counts.get(name, 0) for name in manifest.rows} != manifest.rows:
        raise ArchiveError("The database of the backup has lost rows: use another copy of it.")


async def _put_blobs(file: Path, blobs: Blobs) -> int:
    count = 0
    for member in archive.members(file):
        if member.name.startswith("blobs/"):
            await blobs.put(member.name.removeprefix("blobs/"), member.data())
            count += 1
    return count


async def _replace(config: Config, fresh: Path, manifest: Manifest, now: datetime) -> Path | None:
    """Puts the prepared database in place; returns where the SQLite database that was there is kept."""
    url = settings.database_url(config)
    path = schema.sqlite_path(url)
    if path is None:
        revision = transfer.head() if manifest.database == "sqlite" else manifest.revision
        async with _opened(url) as database:
            await transfer.on(database, transfer.restore_into, fresh, revision, manifest.rows)
        return None
    aside = settings.home(config) / "backups" / f"{_aside(now)}.db"
    replaced = aside if path.exists() else None
    sqlite_file.put_in_place(fresh, path, replaced)
    return replaced


def _put_keys(config: Config, folder: Path, now: datetime) -> None:
    """The backup's; another that was there is kept beside the database that it belongs to."""
    keys, backups = settings.home(config) / "keys", settings.home(config) / "backups"
    for each in (keys, backups):
        each.mkdir(parents=True, exist_ok=True)
    for path in (folder / "keys").iterdir():
        path.chmod(0o600)
        mine = keys / path.name
        if mine.exists() and mine.read_bytes() != path.read_bytes():
            mine.rename(backups / f"{_aside(now)}-{path.name}")
        path.rename(mine)


def _aside(now: datetime) -> str:
    return f"before-restore-{now:%Y%m%d-%H%M%S}"


# --- copy -------------------------------------------------------------------------------------------------


async def copy(source: str, target: str, *, folder: Path) -> Made:
    """All rows of one database into another, empty one, proved complete before they count.

    Raises UpkeepError and StorageError.
    """
    for url in (source, target):
        transfer.checked(url)
    path, other = schema.sqlite_path(source), schema.sqlite_path(target)
    if source == target or (path and other and path.absolute() == other.absolute()):
        raise UpkeepError("Both names mean the same database: name another one to copy into.")
    if path is not None and not path.exists():
        raise UpkeepError(f"There is no file {path} to copy from.")
    async with _alone(source), _alone(target):
        with _workplace(folder) as place:
            counts = await _dumped(source, place / "rows")
            async with _opened(target) as database:
                await transfer.on(database, transfer.copy_into, place / "rows", counts)
    return Made(rows=sum(counts.values()))


async def _dumped(url: str, path: Path) -> dict[str, int]:
    async with _opened(url) as database:
        if await transfer.on(database, transfer.revision) != transfer.head():
            raise UpkeepError(
                "The database to copy from is not up to date: run `atelier db upgrade` on it first."
            )
        return await database.read(transfer.dump, path)


# --- shared -----------------------------------------------------------------------------------------------


@asynccontextmanager
async def _opened(url: str) -> AsyncGenerator[Database]:
    database = connect(url, pool=2)
    try:
        yield database
    finally:
        await database.close()


@contextmanager
def _workplace(folder: Path) -> Generator[Path]:
    """A folder on the same disk, for the owner's eyes only, gone afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".atelier-", dir=folder) as name:
        yield Path(name)


@asynccontextmanager
async def _alone(url: str) -> AsyncGenerator[None]:
    """While in here no instance runs on a SQLite database; on PostgreSQL none did at the start.

    Raises UpkeepError.
    """
    path = schema.sqlite_path(url)
    if path is None:
        await _refuse_listeners(url)
        yield
        return
    with ExitStack() as stack:
        try:
            stack.enter_context(schema.only_process(path))
        except schema.InUse as error:
            raise UpkeepError(f"{error} by a running Atelier: stop it first.") from None
        yield


async def _refuse_listeners(url: str) -> None:
    async with _opened(url) as database:
        await database.signals.close()
        for _ in range(STOP_TRIES):
            if not await transfer.on(database, transfer.listeners):
                return
            await asyncio.sleep(STOP_SECONDS)
    raise UpkeepError("An Atelier that runs uses this database: stop it first.")


async def _occupied(url: str) -> list[str]:
    path = schema.sqlite_path(url)
    if path is not None and not path.exists():
        return []
    async with _opened(url) as database:
        return await transfer.on(database, transfer.occupied_tables)
