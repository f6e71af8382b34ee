"""Backup and restore as a whole: what comes back is what was there, and nothing hostile gets in."""

from __future__ import annotations

import asyncio
import io
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bot import archive, settings, upkeep
from bot.archive import ArchiveError, Manifest
from bot.bootstrap import signer_of
from bot.config import Config
from bot.signing import Signer
from bot.upkeep import Made, UpkeepError
from storage import accounts, transfer
from storage.accounts import Identity
from storage.blobs import open_blobs
from storage.database import StorageError, connect
from storage.transfer import Batch
from tests.bot.cli.conftest import Atelier, atelier
from tests.conftest import NOON
from tests.storage.test_transfer import content, furnish, new_postgres, source_url

__all__ = ["atelier", "new_postgres", "source_url"]


def instance(home: Path, url: str = "", **environ: str) -> Config:
    if url:
        environ["ATELIER_DATABASE_URL"] = url
    return settings.load(None, {"ATELIER_HOME": str(home), **environ})


async def save(config: Config, file: Path) -> Made:
    database = connect(settings.database_url(config))
    try:
        return await upkeep.backup(config, database, open_blobs(settings.blobs_url(config)), file, now=NOON)
    finally:
        await database.close()


async def put_back(config: Config, file: Path, *, force: bool = False) -> Made:
    return await upkeep.restore(config, file, force=force, now=NOON)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def there(source_url: str, tmp_path: Path) -> Config:
    """An instance with people, pictures and keys; its blobs lie in `blobs` beside the database."""
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "signing.key").write_text("ab" * 32)
    (keys / "signing.key.77").write_text("half written")
    return instance(tmp_path, source_url, ATELIER_DISCORD_TOKEN="hush-hush")


@pytest.mark.parametrize("name", ["b.tar", "b.tar.gz"])
async def test_what_comes_back_is_what_was_there(
    there: Config, new_postgres: str, tmp_path: Path, name: str
) -> None:
    file, before = tmp_path / name, await content(settings.database_url(there), tmp_path)
    made = await save(there, file)
    assert (made.blobs, made.blobs_missing) == (2, 1)
    assert file.stat().st_mode & 0o777 == 0o600
    for number, url in enumerate(("", new_postgres)):
        fresh = instance(tmp_path / f"fresh-{number}", url)
        restored = await put_back(fresh, file)
        assert (restored.rows, restored.blobs, restored.drift) == (made.rows, 2, 0)
        assert await content(settings.database_url(fresh), tmp_path) == before
        blobs = files(tmp_path / "blobs")
        del blobs["uploads/unknown"]  # no row answers for it
        assert files(tmp_path / f"fresh-{number}/blobs") == blobs
        key = tmp_path / f"fresh-{number}/keys/signing.key"
        assert (key.read_text(), key.stat().st_mode & 0o777) == ("ab" * 32, 0o600)
        assert [path.name for path in key.parent.iterdir()] == ["signing.key"]
        assert not list((tmp_path / f"fresh-{number}").glob(".atelier-*"))


async def test_a_backup_never_holds_the_environments_secrets(there: Config, tmp_path: Path) -> None:
    await save(there, tmp_path / "b.tar")
    raw = (tmp_path / "b.tar").read_bytes()
    assert b"hush-hush" not in raw
    assert b"half written" not in raw


async def test_a_backup_names_the_secrets_that_it_does_not_hold(there: Config, tmp_path: Path) -> None:
    made = await save(there, tmp_path / "b.tar")
    assert made.secrets == ("ATELIER_DISCORD_TOKEN",)
    bare = instance(tmp_path / "bare", "")
    assert (await put_back(bare, tmp_path / "b.tar")).secrets == ("ATELIER_DISCORD_TOKEN",)
    knows = instance(tmp_path / "knows", "", ATELIER_DISCORD_TOKEN="mine")
    assert (await put_back(knows, tmp_path / "b.tar")).secrets == ()
    assert not (tmp_path / "bare/secrets.env").exists()


async def test_a_link_made_before_works_after_and_the_key_that_was_there_is_kept_aside(
    there: Config, tmp_path: Path
) -> None:
    link = signer_of(there).sign("link", "picture")
    await save(there, tmp_path / "b.tar")
    fresh = instance(tmp_path / "fresh", "")
    other = signer_of(fresh).sign("link", "picture")
    assert signer_of(fresh).verify("link", link, now=0) is None
    await put_back(fresh, tmp_path / "b.tar")
    assert signer_of(fresh).verify("link", link, now=0) == "picture"
    [aside] = (tmp_path / "fresh/backups").glob("*signing.key")
    assert aside.stat().st_mode & 0o777 == 0o600
    assert Signer(bytes.fromhex(aside.read_text())).verify("link", other, now=0) == "picture"
    await put_back(fresh, tmp_path / "b.tar", force=True)
    assert len(list((tmp_path / "fresh/backups").glob("*signing.key"))) == 1  # the same key is kept once


async def test_an_instance_is_replaced_only_by_force_and_then_kept_aside(
    there: Config, tmp_path: Path
) -> None:
    file, url = tmp_path / "b.tar.gz", settings.database_url(there)
    await save(there, file)
    database = connect(url)
    await database.run(accounts.resolve, Identity(platform="test", external_id="bob"), NOON)
    await database.close()
    changed = await content(url, tmp_path)
    with pytest.raises(UpkeepError, match=r"already has accounts.*--force"):
        await put_back(there, file)
    assert await content(url, tmp_path) == changed
    made = await put_back(there, file, force=True)
    assert await content(url, tmp_path) != changed
    assert (made.aside is not None) == url.startswith("sqlite")
    if made.aside:
        assert await content(f"sqlite:///{made.aside}", tmp_path) == changed


async def test_a_log_of_the_old_database_never_meets_the_new_one(there: Config, tmp_path: Path) -> None:
    """As after a crash: a WAL full of committed pages lies beside the database that is replaced."""
    await save(there, tmp_path / "b.tar")
    before = await content(settings.database_url(there), tmp_path)
    target = instance(tmp_path / "target")
    await put_back(target, tmp_path / "b.tar")
    path = tmp_path / "target/atelier.db"
    busy = sqlite3.connect(path)
    busy.execute("UPDATE accounts SET plan = 'gone'")
    busy.commit()
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{tmp_path}/crashed{suffix}")
    busy.close()
    for suffix in ("", "-wal"):
        shutil.copy(f"{tmp_path}/crashed{suffix}", f"{path}{suffix}")
    made = await put_back(target, tmp_path / "b.tar", force=True)
    assert await content(f"sqlite:///{path}", tmp_path) == before
    assert made.aside
    with closing(sqlite3.connect(made.aside)) as aside:
        assert aside.execute("SELECT DISTINCT plan FROM accounts").fetchall() == [("gone",)]


async def test_a_file_that_is_no_database_is_replaced_only_by_force(there: Config, tmp_path: Path) -> None:
    await save(there, tmp_path / "b.tar")
    target = instance(tmp_path / "target")
    (tmp_path / "target").mkdir()
    (tmp_path / "target/atelier.db").write_bytes(b"not a database at all, but somebody's" * 100)
    with pytest.raises(StorageError, match="not a database"):
        await put_back(target, tmp_path / "b.tar")
    made = await put_back(target, tmp_path / "b.tar", force=True)
    assert made.aside
    assert b"somebody's" in made.aside.read_bytes()


async def test_a_running_instance_is_not_restored_over(there: Config, tmp_path: Path) -> None:
    await save(there, tmp_path / "b.tar")
    url = settings.database_url(there)
    if url.startswith("sqlite"):
        with FileLock(f"{tmp_path}/a.db.lock"), pytest.raises(UpkeepError, match="stop it first"):
            await put_back(there, tmp_path / "b.tar", force=True)
        return
    running = connect(url)
    await running.run(lambda session: None)
    await asyncio.sleep(0.3)
    with pytest.raises(UpkeepError, match="stop it first"):
        await put_back(there, tmp_path / "b.tar", force=True)
    await running.close()


async def test_a_backup_is_there_whole_or_not_at_all(
    there: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "backups"
    monkeypatch.setattr(archive.Writer, "end", _full_disk)
    with pytest.raises(OSError, match="No space"):
        await save(there, folder / "b.tar.gz")
    assert list(folder.iterdir()) == []
    monkeypatch.undo()
    await save(there, folder / "b.tar.gz")
    with pytest.raises(ArchiveError, match="exists already"):
        await save(there, folder / "b.tar.gz")


def _full_disk(writer: object) -> None:
    raise OSError(28, "No space left on device")


# --- hostile archives ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Path:
    """A backup of a small SQLite instance."""
    folder = tmp_path_factory.mktemp("good")
    shutil.copy(sqlite_template, folder / "a.db")
    asyncio.run(furnish(f"sqlite:///{folder}/a.db", folder, people=1))
    config = instance(folder, f"sqlite:///{folder}/a.db")
    asyncio.run(save(config, folder / "good.tar"))
    return folder / "good.tar"


def members(path: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(path) as tar:
        return [(info, file.read() if (file := tar.extractfile(info)) else b"") for info in tar]


def rewritten(path: Path, target: Path, change: Callable[[list[tuple[str, bytes]]], None]) -> Path:
    """The backup with other members, sealed anew as an enemy who knows the format would."""
    listed = [(info.name, data) for info, data in members(path)][:-1]
    change(listed)
    target.unlink(missing_ok=True)
    with archive.writing(target) as writer:
        for name, data in listed:
            writer.add(name, data)
    return target


def refused(file: Path, tmp_path: Path) -> str:
    """What restoring it says; nothing may be left of the attempt."""
    home = tmp_path / "victim"
    with pytest.raises((ArchiveError, UpkeepError, StorageError)) as raised:
        asyncio.run(put_back(instance(home), file))
    said = str(raised.value)
    assert "\n" not in said
    assert {path.name for path in home.rglob("*")} <= {"atelier.db.lock", "keys", "blobs"}
    assert not (tmp_path / "evil").exists()
    return said


@pytest.mark.parametrize(
    "name",
    ["../evil", "/tmp/evil", "blobs/../../evil", "blobs/..", "blobs/a/./b", "blobs//a", "blobs/a\\b", "blobs/\x1b[2J",
     "keys/../evil.key", "keys/.key", "keys/a.key/b", "evil", "manifest.json/x", "database.exe", "blobs/", "", "blobs"],
)  # fmt: skip
def test_a_name_that_no_backup_has_is_refused(good: Path, tmp_path: Path, name: str) -> None:
    file = rewritten(good, tmp_path / "b.tar", lambda listed: listed.append((name, b"evil")))
    assert "no backup of Atelier" in refused(file, tmp_path)


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE,
     tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK, tarfile.CONTTYPE, b"Z"],
)  # fmt: skip
def test_anything_but_plain_files_is_refused(good: Path, tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "b.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        for number, (info, data) in enumerate(members(good)):
            if number == 2:
                odd = tarfile.TarInfo("blobs/a")
                odd.type, odd.linkname = kind, "../../evil"
                tar.addfile(odd)
            tar.addfile(info, io.BytesIO(data))
    assert "no backup of Atelier" in refused(tmp_path / "b.tar", tmp_path)


def test_a_member_that_claims_to_be_huge_is_refused_unread(good: Path, tmp_path: Path) -> None:
    for name in ("manifest.json", "keys/a.key", "blobs/a", "database.sqlite"):
        info = tarfile.TarInfo(name)
        info.size = 2**45
        listed = members(good)[: 0 if name == "manifest.json" else 1]
        with (tmp_path / "b.tar").open("wb") as file:
            with tarfile.open(fileobj=file, mode="w|", format=tarfile.GNU_FORMAT) as tar:
                for each, data in listed:
                    tar.addfile(each, io.BytesIO(data))
                file_end = tar.offset
            file.truncate(0)
            file.seek(0)
            with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as tar:
                for each, data in listed:
                    tar.addfile(each, io.BytesIO(data))
                assert tar.offset == file_end
            file.seek(file_end)
            file.truncate()
            file.write(info.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict"))
        assert "bytes" in refused(tmp_path / "b.tar", tmp_path)


def test_a_long_name_cannot_fill_the_memory(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2**40
    (tmp_path / "b.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict"))
    assert "no backup" in refused(tmp_path / "b.tar", tmp_path)


def _edit_manifest(**changes: object) -> Callable[[list[tuple[str, bytes]]], None]:
    def change(listed: list[tuple[str, bytes]]) -> None:
        found = msgspec.json.decode(listed[0][1])
        listed[0] = ("manifest.json", msgspec.json.encode(found | changes))

    return change


def _set_database(kind: str, data: bytes) -> Callable[[list[tuple[str, bytes]]], None]:
    def change(listed: list[tuple[str, bytes]]) -> None:
        _edit_manifest(database=kind)(listed)
        listed[1] = (f"database.{kind}", data)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_edit_manifest(format="zip"), "no backup of Atelier"),
        (_edit_manifest(revision="9999", version="7.0"), "newer Atelier (7.0)"),
        (_edit_manifest(rows={"accounts": 5}), "lost rows"),
        (_edit_manifest(database="rows"), "not the one database"),
        (lambda listed: listed.pop(0), "not in the order"),
        (lambda listed: listed.pop(1), "not the one database"),
        (lambda listed: listed.append(listed[0]), "not in the order"),
        (lambda listed: listed.append(listed[1]), "not in the order"),
        (lambda listed: listed.append(("database.rows", b"")), "not the one database"),
        (lambda listed: listed.clear(), "empty"),
        (_set_database("sqlite", b"junk" * 1000), "no SQLite database"),
        (_set_database("sqlite", b"SQLite format 3\0" + b"junk" * 1000), "damaged"),
        (_set_database("rows", b"junk" * 1000), "damaged"),
        (_set_database("rows", b""), "not all there"),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    good: Path, tmp_path: Path, change: Callable[[list[tuple[str, bytes]]], None], words: str
) -> None:
    assert words in refused(rewritten(good, tmp_path / "b.tar", change), tmp_path)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("CREATE TRIGGER t AFTER INSERT ON jobs BEGIN DELETE FROM entries; END", "not Atelier's"),
        ("CREATE TRIGGER flows_too AFTER DELETE ON flows BEGIN DELETE FROM turns; END", "not Atelier's"),
        ("CREATE VIEW v AS SELECT 1", "not Atelier's"),
        ("DROP TABLE lots", "not one of Atelier"),
        ("UPDATE alembic_version SET version_num = '0000'", "manifest"),
        ("DELETE FROM deliveries", "lost rows"),
    ],
)
def test_a_database_that_is_not_what_it_says_is_refused(
    good: Path, tmp_path: Path, statement: str, words: str
) -> None:
    path = tmp_path / "evil.db"
    path.write_bytes(members(good)[1][1])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    file = rewritten(good, tmp_path / "b.tar", _set_database("sqlite", path.read_bytes()))
    assert words in refused(file, tmp_path)


def test_a_backup_cut_off_anywhere_is_refused(good: Path, tmp_path: Path) -> None:
    raw = good.read_bytes()
    ends = {0, 1, 511, 512, 1024, 5000, len(raw) // 2, len(raw) - 10240}
    ends |= {
        offset
        for info, _ in members(good)
        for offset in (info.offset, info.offset_data, info.offset_data + 512)
    }
    for end in sorted(end for end in ends if end < len(raw) - 10240 + 512):
        (tmp_path / "b.tar").write_bytes(raw[:end])
        with pytest.raises(ArchiveError):
            list(archive.members(tmp_path / "b.tar"))


@example(b"", 0)
@example(b"\x1f\x8b\x08\x00", 0)
@given(st.binary(max_size=600), st.integers(0, 20000))
@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_change_to_any_byte_is_noticed(good: Path, tmp_path: Path, noise: bytes, at: int) -> None:
    """Flipped anywhere that counts (not in the padding or what a header says of owners), or noise alone."""
    (tmp_path / "noise").write_bytes(noise)
    with pytest.raises(ArchiveError):
        list(archive.members(tmp_path / "noise"))
    listed = members(good)
    info, data = listed[at % len(listed)]
    if data:
        raw = bytearray(good.read_bytes())
        raw[info.offset_data + at % len(data)] ^= 0x55
        (tmp_path / "flipped").write_bytes(raw)
        with pytest.raises(ArchiveError):
            list(archive.members(tmp_path / "flipped"))


def test_other_files_are_refused(tmp_path: Path) -> None:
    for name, raw in (("a.zip", b"PK\x03\x04" * 300), ("a.gz", b"\x1f\x8b" * 900), ("empty", b"")):
        (tmp_path / name).write_bytes(raw)
        assert "backup of Atelier" in refused(tmp_path / name, tmp_path) or name == "empty"
    assert "no file" in refused(tmp_path / "none.tar", tmp_path)
    with pytest.raises(OSError, match="directory"):
        archive.manifest(tmp_path)


def test_rows_of_an_older_layout_are_migrated(tmp_path: Path) -> None:
    """The rows are loaded into the tables as their revision had them."""
    manifest = Manifest(version="0", revision="0001", database="rows", rows={"budgets": 1}, made_at="")
    with (tmp_path / "rows").open("wb") as file:
        transfer._write(file, Batch(table="budgets", columns=("scope", "used_us"), rows=[["x", 5]]))
    with archive.writing(tmp_path / "b.tar") as writer:
        writer.add("manifest.json", msgspec.json.encode(manifest))
        writer.add_file("database.rows", tmp_path / "rows")
    assert asyncio.run(put_back(instance(tmp_path / "home"), tmp_path / "b.tar")).rows == 1


# --- copy ---------------------------------------------------------------------------------------------------


async def test_copy_moves_an_instance_to_the_other_database_and_back(
    source_url: str, new_postgres: str, tmp_path: Path
) -> None:
    before = await content(source_url, tmp_path)
    back = f"sqlite:///{tmp_path}/back/b.db"
    made = await upkeep.copy(source_url, new_postgres, folder=tmp_path)
    assert made.rows == sum(len(batch.rows) for batch in before)
    await upkeep.copy(new_postgres, back, folder=tmp_path)
    assert await content(back, tmp_path) == before


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        ("mysql://me:hunter2@x/y", "sqlite:///b.db", "named by"),
        ("sqlite:///a.db", "postgresql://me:hunter2@:x:/", "named by"),
        ("sqlite:///none.db", "sqlite:///b.db", "no file none.db"),
        ("sqlite:///a.db", "sqlite:///./a.db", "same database"),
        ("sqlite:///old.db", "sqlite:///b.db", "db upgrade"),
        ("sqlite:///a.db", "sqlite:///full.db", "already has rows"),
        ("sqlite:///text", "sqlite:///b.db", "not a database"),
    ],
)
async def test_a_copy_that_cannot_be_is_refused(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, target: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.db", "full.db"):
        Path(name).write_bytes(members(good)[1][1])
    sqlite3.connect("old.db").close()
    Path("old.db").touch()
    Path("text").write_text("text " * 1000)
    with pytest.raises((UpkeepError, StorageError)) as raised:
        await upkeep.copy(source, target, folder=tmp_path / "place")
    assert words in str(raised.value)
    assert "hunter2" not in str(raised.value)


# --- as typed -----------------------------------------------------------------------------------------------


def test_the_commands(good: Path, tmp_path: Path, atelier: Atelier) -> None:
    assert "Restored" in atelier("restore", good).out
    assert "already has accounts" in atelier("restore", good).complaint
    assert "is kept as" in atelier("restore", good, "--force").out
    assert " rows and 2 files" in atelier("backup").out
    [made] = (tmp_path / "data/backups").glob("atelier-*.tar.gz")
    assert "exists already" in atelier("backup", made).complaint
    said = atelier("backup", "mine.tar", ATELIER_STRIPE_KEY="sk", ATELIER_STRIPE_WEBHOOK_SECRET="wh").out
    assert "values of ATELIER_STRIPE_KEY, ATELIER_STRIPE_WEBHOOK_SECRET are not in it" in said
    assert "Set ATELIER_STRIPE_KEY, ATELIER_STRIPE" in atelier("restore", "mine.tar", ATELIER_HOME="c").out
    assert "Restored" in atelier("restore", made, ATELIER_HOME="b").out
    assert "up to date already" in atelier("db", "upgrade").out
    here = f"sqlite:///{tmp_path}/data/atelier.db"
    assert "proved complete" in atelier("db", "copy", here, f"sqlite:///{tmp_path}/c.db").out
    assert "same database" in atelier("db", "copy", here, here).complaint
    assert "no backup of Atelier" in atelier("restore", tmp_path / "data/atelier.db").complaint


def test_the_console_script_restores(good: Path, tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("atelier"), "restore", good]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Restored")
