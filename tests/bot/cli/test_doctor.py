"""The check-up finds each planted fault, says how to mend it, and changes nothing."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text, update

from bot import checkup
from generators import shelf
from storage import accounts, diagnosis, ledger, transfer
from storage.accounts import Identity
from storage.database import Session, connect
from storage.ledger import Grant
from storage.tables import EntryRow, LotRow
from tests.bot.cli.conftest import Atelier
from tests.bot.jobs.world import now
from tests.postgres import free_port

on_sqlite = pytest.mark.parametrize(
    "database_url", ["sqlite"], indirect=True
)  # where the database is not the point
Doctor = Callable[..., dict[str, dict[str, str]]]


@pytest.fixture
def doctor(atelier: Atelier, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """The findings by name; the exit code must agree with them."""
    monkeypatch.setenv("ATELIER_DATABASE_URL", database_url)
    monkeypatch.setenv("ATELIER_WEB_PORT", str(free_port()))
    assert atelier("admin").code == 0  # a first command makes keys and folders

    def run(**environ: str) -> dict[str, dict[str, str]]:
        said = atelier("doctor", "--json", **environ)
        found = {each["name"]: each for each in json.loads(said.out)}
        assert said.code == any(each["state"] == "failed" for each in found.values())
        return found

    return run


def failed(found: dict[str, dict[str, str]]) -> list[str]:
    for each in found.values():
        assert bool(each["fix"]) == (each["state"] == "failed")
        assert "\n" not in each["said"] + each["fix"]
    return [name for name, each in found.items() if each["state"] == "failed"]


def spoil(url: str, work: Callable[[Session], Any]) -> None:
    async def run() -> None:
        database = connect(url)
        await database.run(lambda session: work(session) and None)
        await database.close()

    asyncio.run(run())


def test_a_healthy_instance_passes_and_is_not_changed(
    doctor: Doctor, tmp_path: Path, database_url: str
) -> None:
    before = sorted(path for path in tmp_path.rglob("*") if not path.name.endswith(("-wal", "-shm")))
    found = doctor()
    assert failed(found) == []
    assert found["tokens"]["said"] == "none is set: the web page alone"
    assert found["connections"]["state"] == ("skipped" if database_url.startswith("sqlite") else "ok")
    assert "2 here" in found["models"]["said"]
    after = sorted(path for path in tmp_path.rglob("*") if not path.name.endswith(("-wal", "-shm")))
    assert [path for path in after if path.name not in ("blobs", "doctor")] == [
        path for path in before if path.name != "blobs"
    ]


def test_before_the_first_start_all_is_well_and_no_database_is_made(atelier: Atelier, tmp_path: Path) -> None:
    said = atelier("doctor", ATELIER_WEB_PORT=str(free_port()))
    assert said.code == 0, said.out
    assert "made at the first start" in said.out
    assert not list(tmp_path.rglob("*.db"))


@on_sqlite
def test_a_person_reads_what_to_do(doctor: Doctor, atelier: Atelier) -> None:
    said = atelier("doctor", ATELIER_POOL_DEVICES="cuda:7")
    assert said.code == 1
    assert "FAILED devices" in said.out
    assert "Correct pool.devices" in said.out


@on_sqlite
def test_a_wrong_configuration_is_a_finding(doctor: Doctor) -> None:
    found = doctor(ATELIER_WEB_PROT="1")
    assert failed(found) == list(found) == ["configuration"]


@on_sqlite
def test_a_home_that_cannot_be_written(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "home" in failed(doctor(ATELIER_HOME=str(tmp_path / "file")))


@on_sqlite
def test_a_full_disk(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    assert failed(doctor()) == ["home"]


def test_a_database_that_is_none_or_away(doctor: Doctor, tmp_path: Path, database_url: str) -> None:
    (tmp_path / "junk.db").write_bytes(b"junk" * 5000)
    found = doctor(ATELIER_DATABASE_URL=f"sqlite:///{tmp_path}/junk.db")
    assert failed(found) == ["database"]
    assert found["ledger"]["state"] == "skipped"
    if database_url.startswith("postgresql"):
        found = doctor(ATELIER_DATABASE_URL=database_url + "_none")
        assert failed(found) == ["database"]
        assert "does not exist" in found["database"]["said"]
        assert failed(doctor(ATELIER_DATABASE_URL=f"postgresql://me:hunter2@127.0.0.1:{free_port()}/x")) == [
            "database"
        ]


def test_an_old_a_newer_and_a_changed_schema(doctor: Doctor, database_url: str) -> None:
    spoil(database_url, lambda session: session.execute(text("ALTER TABLE budgets ADD COLUMN extra INTEGER")))
    found = doctor()
    assert failed(found) == ["schema"]
    assert "differ" in found["schema"]["said"]
    for revision, fix in (("0000", "that version"), ("0001", "db upgrade")):
        if revision != transfer.head():
            spoil(
                database_url,
                lambda session, to=revision: session.execute(
                    text(f"UPDATE alembic_version SET version_num='{to}'")
                ),
            )
            assert fix in doctor()["schema"]["fix"]


def _grant(session: Session) -> bool:
    accounts.resolve(session, Identity(platform="test", external_id="ann"), now())
    ledger.grant(session, 1, [Grant(key="gift", kind="gift", amount=7)], now())
    return True


def test_a_ledger_that_does_not_add_up(doctor: Doctor, database_url: str) -> None:
    spoil(
        database_url, lambda session: _grant(session) and session.execute(update(LotRow).values(remaining=6))
    )
    assert failed(doctor()) == ["ledger"]


def test_a_clock_that_is_wrong(doctor: Doctor, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tomorrow = now() + timedelta(days=1)
    spoil(
        database_url,
        lambda session: _grant(session) and session.execute(update(EntryRow).values(at=tomorrow)),
    )
    found = doctor()
    assert failed(found) == ["clock"]
    assert "to come" in found["clock"]["said"]
    monkeypatch.setattr(diagnosis, "clock", lambda _: now() - timedelta(seconds=9))
    assert "behind this machine's" in doctor()["clock"]["said"]


def test_a_pool_larger_than_the_server_allows(doctor: Doctor, database_url: str) -> None:
    expected = ["connections"] if database_url.startswith("postgresql") else []
    assert failed(doctor(ATELIER_DATABASE_POOL="999")) == expected


@on_sqlite
@pytest.mark.parametrize("url", ["file/blobs", "s3://bucket/x?endpoint=http://127.0.0.1:9"])
def test_a_store_that_does_not_work(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr("bot.checkup.BLOBS_SECONDS", 1)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    assert failed(doctor(ATELIER_STORAGE_BLOBS=url)) == ["blobs"]


@pytest.fixture
def served() -> Iterator[Callable[[bytes], int]]:
    """A web server that says one thing, whatever is asked; returns its port."""
    servers: list[HTTPServer] = []

    def serve(body: bytes) -> int:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        servers.append(server := HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server.server_port

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@on_sqlite
def test_a_port_that_is_taken_unless_by_us(
    doctor: Doctor, served: Callable[[bytes], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.checkup.HTTP_SECONDS", 0.5)
    assert failed(doctor(ATELIER_WEB_PORT=str(served(b"hello")))) == ["web"]
    ours = doctor(ATELIER_WEB_PORT=str(served(b'{"database": "ok", "ledger": "ok"}')))
    assert ours["web"]["said"].endswith("served by the bot that runs")
    ill = doctor(ATELIER_WEB_PORT=str(served(b'{"database": "ok", "ledger": "ok", "devices": "none"}')))
    assert "devices: none" in ill["web"]["said"]
    with socket.create_server(("127.0.0.1", 0)) as mute:
        assert failed(doctor(ATELIER_WEB_PORT=str(mute.getsockname()[1]))) == ["web"]


def test_a_signing_key_that_is_open_damaged_or_gone(
    doctor: Doctor, tmp_path: Path, database_url: str
) -> None:
    key = tmp_path / "data/keys/signing.key"
    key.chmod(0o644)
    assert f"chmod 600 {key}" in doctor()["signing key"]["fix"]
    key.chmod(0o600)
    key.write_text("zz" * 32)
    assert failed(doctor()) == ["signing key"]
    key.unlink()
    assert failed(doctor()) == []
    spoil(database_url, _grant)
    assert failed(doctor()) == ["signing key"]
    assert doctor(ATELIER_SIGNING_KEY="ab" * 32)["signing key"]["said"] == "from ATELIER_SIGNING_KEY"


@on_sqlite
def test_devices_and_memory_that_are_not_there(doctor: Doctor) -> None:
    assert failed(doctor(ATELIER_POOL_DEVICES="cuda:7,cpu")) == ["devices"]
    found = doctor(ATELIER_POOL_MEMORY_GB="0.001", ATELIER_POOL_DEVICES="cpu")
    assert failed(found) == ["memory"]
    assert "models.tiny" in found["memory"]["said"]


@on_sqlite
def test_models_that_are_missing_pickled_or_half_there(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no folder" in doctor(ATELIER_MODELS_SMOL_SOURCE="nowhere")["models"]["said"]
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled/pytorch_model.bin").touch()
    assert "pickle" in doctor(ATELIER_MODELS_SMOL_SOURCE="pickled")["models"]["said"]
    assert doctor(ATELIER_MODELS_SMOL_SOURCE="owner/not-here")["models"]["said"] == (
        "1 here, 1 to be downloaded at first use"
    )
    monkeypatch.setattr(shelf, "_wheel", lambda: None)
    assert "pip install" in doctor()["models"]["said"]


@on_sqlite
def test_a_check_that_breaks_does_not_keep_the_others(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(diagnosis, "clock", broken)
    found = doctor()
    assert failed(found) == ["clock"]
    assert list(found) == ["configuration", *checkup.CHECKS]
    assert os.environ["ATELIER_DATABASE_URL"]


def test_a_token_that_cannot_be_tried_is_found_and_never_printed(doctor: Doctor) -> None:
    nowhere = {"ATELIER_DISCORD_API_BASE": "http://127.0.0.1:1", "ATELIER_DISCORD_TOKEN": "hush-hush"}
    found = doctor(**nowhere)
    assert failed(found) == ["tokens"]
    assert "check the network" in found["tokens"]["fix"]
    assert "hush" not in str(found)


@on_sqlite
def test_sales_for_stars_that_telegram_would_refuse(doctor: Doctor) -> None:
    environ = {
        "ATELIER_TELEGRAM_TOKEN": "1:a",
        "ATELIER_TELEGRAM_API_BASE": f"http://127.0.0.1:{free_port()}",
    }
    found = doctor(**environ)
    assert "stars" in failed(found)
    assert "payments.support" in found["stars"]["fix"]
    environ["ATELIER_PAYMENTS_SUPPORT"] = "@help"
    assert "stars" not in failed(doctor(**environ))
    found = doctor(**environ, ATELIER_PLANS_BASIC_DAYS="365")
    assert "Basic lasts 365 days" in found["stars"]["said"]
