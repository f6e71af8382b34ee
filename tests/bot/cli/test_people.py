"""Operators' commands on accounts, over both databases, as they are typed."""

from __future__ import annotations

import asyncio
import getpass
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bot.cli.console import aligned, printable
from generators.device import DeviceStatus
from storage import accounts, devices, records
from storage.accounts import Identity
from storage.database import connect
from tests.bot.cli.conftest import Atelier
from tests.bot.jobs.world import now, world


@pytest.fixture
def ann(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Somebody with a job, in the database that the commands use."""
    monkeypatch.setenv("ATELIER_DATABASE_URL", database_url)

    async def work() -> None:
        async with world(database_url, tmp_path) as w:
            await w.submit(await w.person("ann"))

    asyncio.run(work())
    return "test:ann"


def test_grant_gives_takes_and_counts_an_event_once(atelier: Atelier, ann: str) -> None:
    assert "has 31 credits" in atelier("grant", ann, 12, "--event", "invoice 7").out
    assert "has 31 credits" in atelier("grant", ann, 12, "--event", "invoice 7").out
    assert "has 26 credits" in atelier("grant", ann, "-5", "--reason", "mistake").out
    assert "has 27 credits" in atelier("grant", "#1", 1, "--days", 3).out
    said = atelier("user", ann).out
    assert "12 of 12, until -" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("grant", "12", "5"), "no account “12”"),
        (("grant", "test:ann", "0"), "not a number of credits"),
        (("grant", "test:ann", "5", "--event", "x" * 200), "--event"),
        (("plan", "test:ann", "gold"), "no plan “gold”"),
        (("ban", "nobody"), "no account “nobody”"),
        (("money", "reconcile", "stirpe"), "No provider “stirpe” is set up here."),
        (("user", ""), "no account"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    atelier: Atelier, ann: str, arguments: tuple[str, ...], words: str
) -> None:
    assert words in atelier(*arguments).complaint


def test_a_plan_for_days_brings_their_share_of_the_months_credits(atelier: Atelier, ann: str) -> None:
    for days, credits in ((3, 500), (30, 5000)):
        atelier("plan", ann, "pro", "--days", days)
        assert f"lot monthly {credits} of {credits}" in " ".join(atelier("user", ann).out.split())


def test_plan_and_ban_are_audited_with_who_sat_there(atelier: Atelier, ann: str, database_url: str) -> None:
    assert (
        atelier("plan", ann, "pro", "--days", 30, "--reason", "friend").out
        == "test:ann is on pro for 30 days.\n"
    )
    assert "pro until" in atelier("user", ann).out
    assert atelier("ban", ann, "--reason", "spam").out == "test:ann is banned.\n"
    assert "banned spam" in " ".join(atelier("user", ann).out.split())
    assert atelier("unban", ann).code == 0

    async def audits() -> list[records.Audit]:
        database = connect(database_url)
        found = await database.read(records.audits)
        await database.close()
        return found

    found = asyncio.run(audits())
    assert [(each.action, each.reason) for each in found] == [
        ("unban", ""),
        ("ban", "spam"),
        ("plan", "friend"),
    ]
    assert {each.actor for each in found} == {f"cli:{getpass.getuser()}"}


def test_stats_and_jobs_are_plain_lines_in_a_pipe(atelier: Atelier, ann: str) -> None:
    assert "jobs available             1" in atelier("stats").out
    for arguments in (("jobs",), ("jobs", "--live")):
        head, row = atelier(*arguments).out.splitlines()
        assert head.split()[:2] == ["job", "account"]
        assert row.split()[:2] == ["#1", "#1"]
        assert "apple" not in row
    assert len(atelier("jobs", "--page", 2).out.splitlines()) == 1


def test_pool_lists_drains_and_cancels(atelier: Atelier, ann: str, database_url: str) -> None:
    status = DeviceStatus(
        device="host/cuda:0", name="Card 9", state="ready", resident={"sdxl": 5 << 30}, running=0, waiting=0,
        memory_bytes=24 << 30, restarts=0,
    )  # fmt: skip

    async def report() -> set[str]:
        database = connect(database_url)
        drained = await database.run(devices.report, "gpu-box", {status.device: msgspec.json.encode(status)})
        await database.close()
        return drained

    assert asyncio.run(report()) == set()
    head, device, tier = atelier("pool").out.splitlines()
    assert head.startswith("device or tier")
    assert device.split() == [
        "host/cuda:0",
        "ready",
        "0",
        "0",
        "sdxl",
        "5.0",
        "GB",
        "Card",
        "9,",
        "24.0",
        "GB",
    ]
    assert tier.split()[:4] == ["free", "queue", "0", "1"]
    assert "takes no more jobs" in atelier("pool", "drain", "host/cuda:0", "--reason", "new fan").out
    assert atelier("pool").out.splitlines()[1].split()[1] == "draining"
    assert asyncio.run(report()) == {"host/cuda:0"}
    assert "takes jobs again" in atelier("pool", "resume", "host/cuda:0").out
    assert asyncio.run(report()) == set()
    assert atelier("pool", "cancel", 1).out == "Job 1 is being cancelled.\n"
    assert "already" in atelier("pool", "cancel", 1).complaint
    assert "no device “b”" in atelier("pool", "drain", "b").complaint


def test_admin_prints_a_link_that_works_once(atelier: Atelier) -> None:
    link = atelier("admin").out
    assert link.startswith("http://127.0.0.1:8080/admin?token=")
    public = atelier("admin", ATELIER_WEB_PUBLIC_URL="https://art.example.org").out
    assert public.startswith("https://art.example.org/admin?token=")
    assert "web.port" in atelier("admin", ATELIER_WEB_PORT="0").complaint
    assert "web.enabled" in atelier("admin", ATELIER_WEB_ENABLED="false").complaint


def test_a_wrong_configuration_is_one_sentence(atelier: Atelier) -> None:
    assert "did you mean ATELIER_WEB_PORT?" in atelier("stats", ATELIER_WEB_PROT="1").complaint
    assert "nowhere.toml cannot be read" in atelier("stats", "--config", "nowhere.toml").complaint


def test_a_port_that_is_taken_is_said_instead_of_where_the_page_opens(atelier: Atelier) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = atelier("run", ATELIER_WEB_PORT=str(port))
    assert (said.code, said.out) == (2, "")
    assert f"Nothing can listen at 127.0.0.1:{port}: Address already in use." in said.err.splitlines()[-1]


def test_a_wrong_option_is_refused(atelier: Atelier) -> None:
    for arguments in (
        ("grant", "1", "many"),
        ("jobs", "--page", "0"),
        ("grant", "1", "1", "--day", "3"),
        ("nope",),
    ):
        assert atelier(*arguments).code == 2


def test_the_console_script_runs_beside_another_process(tmp_path: Path) -> None:
    """A second process on the same SQLite file, as while `atelier run` is at work."""

    async def work() -> bytes:
        database = connect(f"sqlite:///{tmp_path}/data/atelier.db")
        await asyncio.to_thread(
            subprocess.run, [*command, "stats"], cwd=tmp_path, check=True, capture_output=True
        )
        await database.run(accounts.resolve, Identity(platform="test", external_id="bob"), now())
        done = await asyncio.to_thread(
            subprocess.run,
            [*command, "grant", "test:bob", "5"],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )
        await database.close()
        return done.stdout

    command = [str(Path(sys.executable).with_name("atelier"))]
    assert asyncio.run(work()) == b"test:bob has 5 credits to spend now.\n"


def test_names_cannot_steer_the_terminal() -> None:
    assert printable("\x1b[2Jann\u202e\n") == "\ufffd[2Jann\ufffd\n"
    assert aligned([("a", "b"), ("漢字", "c")]) == ["a     b", "漢字  c"]
