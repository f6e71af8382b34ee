"""The main job, whole: the real process, its real models and a real browser."""

from __future__ import annotations

import asyncio
import io
import re
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from PIL import Image
from playwright.async_api import Browser, Locator, Page, expect

from generators import labels
from storage import accounts, jobs, ledger
from storage.accounts import Identity
from storage.database import Database
from tests.bot.platforms.web.conftest import DONE, ask, opened, serious
from tests.end_to_end.conftest import new_home
from tests.end_to_end.process import Instance, check_books

pytestmark = pytest.mark.asyncio(loop_scope="module")
ENDED_MS = 60_000
SLOW_PICTURE = "a red apple --size 256x256 --steps 30"  # some seconds: time to stop the process in its middle
STORY = "a short story about a mushroom --length 40"


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory, converted: Path) -> Iterator[Instance]:
    """One bot for all tests here; each visitor is a new account. It may never complain of a bug of ours."""
    made = Instance(new_home(tmp_path_factory.mktemp("page"), converted)).start()
    yield made
    made.end()
    assert made.complaints() == []


@pytest_asyncio.fixture(loop_scope="module")
async def open_page(browser: Browser, instance: Instance) -> AsyncIterator[Callable[..., Any]]:
    complaints: list[str] = []

    async def open_at(path: str = "/", **options: Any) -> Page:
        return await opened(browser, f"{instance.url}{path}", complaints, patience_ms=ENDED_MS, **options)

    yield open_at
    assert serious(complaints) == []


@pytest_asyncio.fixture(loop_scope="module")
async def page(open_page: Callable[..., Any]) -> Page:
    return await open_page()


async def write(page: Page, text: str) -> None:
    await page.get_by_role("radio", name="Text").check(force=True)
    await ask(page, text)


def turn(page: Page, number: int) -> Locator:
    return page.locator(".turn").nth(number)


async def press(where: Locator, name: str) -> None:
    await where.get_by_role("button", name=name, exact=True).click()


async def finished(where: Locator) -> None:
    await expect(where.locator(DONE)).to_have_js_property("complete", True, timeout=ENDED_MS)
    await expect(where.locator(DONE)).not_to_have_js_property("naturalWidth", 0, timeout=ENDED_MS)


async def original(page: Page, where: Locator) -> bytes:
    async with page.expect_download() as download:
        await press(where, "Original")
    return Path(await (await download.value).path()).read_bytes()


async def balance(page: Page) -> int:
    await page.get_by_role("button", name="Balance").click()
    said = page.locator("#panel-body strong").first
    await expect(said).to_contain_text("credit")
    credits = int(re.findall(r"\d+", await said.inner_text())[0])
    await page.keyboard.press("Escape")
    return credits


async def account_of(page: Page, database: Database) -> int:
    cookies = {each["name"]: each["value"] for each in await page.context.cookies()}
    identity = Identity(platform="web", external_id=cookies["atelier"].split(".")[0])
    found = await database.read(accounts.find, identity)
    assert found is not None
    return found


async def check_charges(page: Page, instance: Instance, *, states: list[str]) -> None:
    """The account's jobs ended so, and the ledger took their prices and nothing else."""
    async with instance.database() as database:
        account = await account_of(page, database)
        made = await database.read(jobs.of_account, account)
        assert sorted(job.state for job in made) == sorted(states)
        assert [job.paid for job in made] == [job.price for job in made]
        await check_books(database)
    assert await balance(page) == 20 - sum(job.price for job in made)


# --- pictures -----------------------------------------------------------------------------------------------


async def test_a_red_apple_is_a_red_apple_and_says_that_it_is_ai_made(page: Page) -> None:
    await ask(page, "a red apple")
    await finished(turn(page, 0))
    await expect(page.locator(".label")).to_have_text("Made with AI · Tiny Emoji")
    file = await original(page, turn(page, 0))
    picture = Image.open(io.BytesIO(file))
    assert (picture.format, picture.size) == ("PNG", (128, 128))
    assert_red_on_light(picture.convert("RGB"))
    label = labels.read_label(file)
    assert label is not None
    assert label.source_type == labels.GENERATED
    assert label.prompt == "a red apple"
    assert label.parameters["steps"] == "20"


def assert_red_on_light(picture: Image.Image) -> None:
    width, height = picture.size
    middle = picture.crop((width // 3, height // 3, 2 * width // 3, 2 * height // 3))
    centre = middle.resize((1, 1), Image.Resampling.BOX)
    red, green, blue = centre.getpixel((0, 0))  # type: ignore[misc]
    assert red > 120
    assert red > 1.8 * max(green, blue)
    corners = [picture.getpixel((x, y)) for x in (2, width - 3) for y in (2, height - 3)]
    assert min(min(corner) for corner in corners) > 180  # type: ignore[arg-type]


async def test_the_balance_goes_down_by_exactly_what_was_made(page: Page, instance: Instance) -> None:
    assert await balance(page) == 20
    await ask(page, "a rocket")
    await expect(page.locator("#left")).to_have_text("19")
    await finished(turn(page, 0))
    await ask(page, "a rainbow -n 2")
    await expect(turn(page, 1).locator(DONE)).to_have_count(2, timeout=ENDED_MS)
    assert await balance(page) == 17
    await check_charges(page, instance, states=["completed", "completed"])


async def test_again_vary_and_upscale_answer_the_first_picture(page: Page) -> None:
    await ask(page, "a red apple --seed 5")
    await finished(turn(page, 0))
    await press(turn(page, 0), "Again")
    await finished(turn(page, 1))
    await press(turn(page, 0), "Vary")
    await finished(turn(page, 2))
    await press(turn(page, 0), "Upscale")
    await finished(turn(page, 3))
    files = [await original(page, turn(page, number)) for number in range(4)]
    assert len(set(files)) == 4
    sizes = [Image.open(io.BytesIO(file)).size for file in files]
    assert sizes == [(128, 128), (128, 128), (128, 128), (256, 256)]
    read = [labels.read_label(file) for file in files]
    assert [each.source_type for each in read if each] == [
        labels.GENERATED, labels.GENERATED, labels.COMPOSITE, labels.COMPOSITE,
    ]  # fmt: skip
    assert_red_on_light(Image.open(io.BytesIO(files[3])).convert("RGB"))


async def test_details_tell_what_makes_the_picture_again(page: Page, instance: Instance) -> None:
    await ask(page, "a red apple --seed 5")
    await finished(turn(page, 0))
    await press(turn(page, 0), "Details")
    await expect(turn(page, 0).locator(".notice")).to_contain_text("128 × 128, 20 steps, guidance 4, seed 5")
    await expect(turn(page, 0).locator(".notice")).to_contain_text("1 of 1 credits charged")
    await ask(page, "a red apple --seed 5")
    await finished(turn(page, 1))
    first, second = [await original(page, turn(page, number)) for number in (0, 1)]
    assert Image.open(io.BytesIO(first)).tobytes() == Image.open(io.BytesIO(second)).tobytes()


async def test_edit_opens_the_prompt_and_starts_from_the_picture(page: Page) -> None:
    await ask(page, "a red apple")
    await finished(turn(page, 0))
    await press(turn(page, 0), "Edit")
    await expect(page.locator("#prompt")).to_have_value("a red apple")
    await expect(page.locator(".chip")).to_contain_text("Editing")
    await ask(page, "a green apple")
    await finished(turn(page, 1))
    label = labels.read_label(await original(page, turn(page, 1)))
    assert label is not None
    assert (label.source_type, label.prompt) == (labels.COMPOSITE, "a green apple")


async def test_delete_asks_once_more_and_takes_the_picture_away(page: Page) -> None:
    await ask(page, "a red apple")
    await finished(turn(page, 0))
    link = await page.locator(DONE).get_attribute("src")
    await press(turn(page, 0), "Delete")
    await expect(page.locator(".turn")).to_have_count(1)
    await press(turn(page, 0), "Really delete?")
    await expect(page.locator(".turn")).to_have_count(0)
    gone = await page.request.get(f"{page.url.rstrip('/')}{link}")
    assert gone.status == 404
    await page.reload()
    await expect(page.locator("#empty")).to_be_visible()


async def test_cancel_stops_what_runs_for_the_share_that_was_done(page: Page, instance: Instance) -> None:
    await ask(page, SLOW_PICTURE)
    await expect(page.locator("progress")).to_be_visible(timeout=ENDED_MS)
    await press(turn(page, 0), "Cancel")
    await expect(page.locator(".turn .line")).to_contain_text("Cancelled", timeout=ENDED_MS)
    async with instance.database() as database:
        [job] = await database.read(jobs.of_account, await account_of(page, database))
        assert job.paid < job.price
        left = await database.read(ledger.balance_of_books)
        assert sum(left.values()) == 0
        await check_books(database)
    assert await balance(page) == 20 - job.paid


async def test_suggestions_and_help_examples_run_by_a_tap(page: Page) -> None:
    await page.locator("#suggestions button").first.click()
    await finished(turn(page, 0))
    await page.get_by_role("button", name="Help").click()
    await expect(page.locator("#panel-body")).to_contain_text("Tiny Emoji")
    await page.locator("#panel-body [data-action=as]").first.click()
    await page.keyboard.press("Escape")
    await finished(turn(page, 1))


async def test_settings_are_the_defaults_of_the_next_picture(page: Page) -> None:
    await page.get_by_role("button", name="Settings").click()
    await page.get_by_label("Change a default").fill("--seed 77 --steps 8")
    await page.get_by_role("button", name="Apply").click()
    await expect(page.locator("#panel-body")).to_contain_text("--seed 77")
    await page.keyboard.press("Escape")
    await ask(page, "a red apple")
    await finished(turn(page, 0))
    await press(turn(page, 0), "Details")
    await expect(turn(page, 0).locator(".notice")).to_contain_text("8 steps, guidance 4, seed 77")


async def test_a_picture_that_was_sent_along_is_the_start(page: Page) -> None:
    file = io.BytesIO()
    Image.new("RGB", (300, 200), "green").save(file, "JPEG")
    await page.set_input_files(
        "#file", {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": file.getvalue()}
    )
    await ask(page, "a green apple --strength 0.5")
    await finished(turn(page, 0))
    picture = Image.open(io.BytesIO(await original(page, turn(page, 0))))
    assert picture.width > picture.height  # its shape is kept


# --- texts and languages ------------------------------------------------------------------------------------


async def test_a_text_streams_and_is_labelled(page: Page, instance: Instance) -> None:
    await write(page, STORY)
    growing = page.locator(".words.growing")
    await expect(growing).to_be_visible(timeout=ENDED_MS)
    first = len(await growing.inner_text())
    await expect(growing).to_contain_text(re.compile(rf"[\s\S]{{{first + 20},}}"), timeout=ENDED_MS)
    await expect(page.locator(".turn .line")).to_contain_text("Done", timeout=ENDED_MS)
    await expect(page.locator(".label")).to_have_text("Made with AI · SmolLM2 135M")
    shown = await page.locator(".words").inner_text()
    file = (await original(page, turn(page, 0))).decode()
    assert file.split()[:5] == shown.split()[:5]
    assert file.endswith("\n\nMade with AI · SmolLM2 135M\n")
    await check_charges(page, instance, states=["completed"])


async def test_the_page_speaks_chinese(open_page: Callable[..., Any]) -> None:
    page = await open_page(locale="zh-CN")
    await expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")
    await ask(page, "a red apple —ar 1：1")
    await finished(turn(page, 0))
    await expect(page.locator(".label")).to_contain_text("AI")
    words = await page.locator(".turn .meta, .turn .buttons, .notice").all_inner_texts()
    assert all(re.search("[一-龥]", each) for each in words), words
    assert not re.search("Again|Details|credit", " ".join(words))
    await ask(page, "苹果 --stepz 3")
    await expect(page.locator(".notice.refused")).to_contain_text("--steps")


# --- dying in the middle ------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_restart_in_the_middle_of_a_picture_is_invisible(
    page: Page, instance: Instance, number: signal.Signals
) -> None:
    await page.evaluate("window.neverReloaded = true")
    await ask(page, SLOW_PICTURE)
    await expect(page.locator("progress")).to_be_visible(timeout=ENDED_MS)
    await asyncio.to_thread(instance.restart, number)
    await finished(turn(page, 0))
    await expect(page.locator(".turn")).to_have_count(1)
    assert await page.evaluate("window.neverReloaded")
    await check_charges(page, instance, states=["completed"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_restart_in_the_middle_of_a_text_is_invisible(
    page: Page, instance: Instance, number: signal.Signals
) -> None:
    await page.evaluate("window.neverReloaded = true")
    await write(page, STORY)
    await expect(page.locator(".words.growing")).to_be_visible(timeout=ENDED_MS)
    await asyncio.to_thread(instance.restart, number)
    await expect(page.locator(".turn .line")).to_contain_text("Done", timeout=ENDED_MS)
    await expect(page.locator(".words:not(.growing)")).to_be_visible()
    await expect(page.locator(".turn")).to_have_count(1)
    assert await page.evaluate("window.neverReloaded")
    await check_charges(page, instance, states=["completed"])


async def test_a_worker_that_dies_costs_nothing_and_the_picture_comes(page: Page, instance: Instance) -> None:
    await ask(page, SLOW_PICTURE)
    await expect(page.locator("progress")).to_be_visible(timeout=ENDED_MS)
    assert instance.kill_worker()
    await finished(turn(page, 0))
    await check_charges(page, instance, states=["completed"])


async def test_an_open_page_follows_its_account_when_it_is_joined_with_another(
    open_page: Callable[..., Any],
) -> None:
    older, younger = await open_page(), await open_page()
    await ask(younger, "a red apple")
    await finished(turn(younger, 0))
    await ask(older, "/link")
    code = (await older.locator("#panel-body code").inner_text()).removeprefix("link ")
    await older.keyboard.press("Escape")
    await ask(younger, f"/link {code}")
    await expect(younger.locator("#panel-body")).to_contain_text("one account for both")
    await younger.keyboard.press("Escape")
    await ask(older, "a blue whale")
    await expect(younger.locator(".turn")).to_have_count(2)
    await finished(turn(younger, 1))


# --- operators ----------------------------------------------------------------------------------------------


async def test_an_operator_gets_in_once_by_a_link(instance: Instance, open_page: Callable[..., Any]) -> None:
    async with instance.operations() as operations:
        path = operations.admin_link(instance.url).removeprefix(instance.url)
    assert f"Atelier opens at {instance.url}/\n" in instance.log()
    page = await open_page(path)
    for section in ("queue", "jobs", "accounts", "revenue", "decision", "ledger", "audit"):
        await page.get_by_role("link", name=re.compile(section, re.IGNORECASE)).first.click()
        await expect(page.locator("table, .empty, main")).not_to_have_count(0)
    await page.get_by_role("link", name=re.compile("ledger", re.IGNORECASE)).first.click()
    await expect(page.locator("table")).to_contain_text("daily:")
    stranger = await open_page(path)
    await expect(stranger.locator("table")).to_have_count(0)
