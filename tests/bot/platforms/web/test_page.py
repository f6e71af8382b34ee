"""The page in a real browser, as people use it: by mouse, by keyboard, on a phone, over a bad line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect

from bot.platforms.web.settings import WebSettings
from tests.bot.platforms.web.conftest import DONE, Site, ask, opened, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOSTILE = '<img src=x onerror="document.title=1"> </script><script>document.title=1</script> **b** “٣” שלום'
PHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
WIDER = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
CAT: Any = {"name": "cat.png", "mimeType": "image/png", "buffer": b"\x89PNG tiny"}


@pytest_asyncio.fixture(loop_scope="module")
async def site(settings: WebSettings) -> AsyncIterator[Site]:
    """In the loop of the browser."""
    async with serving(settings) as made:
        yield made


async def visit(browser: Browser, site: Site, **options: Any) -> Page:
    """Somebody at the page; what the console complains of fails the test (see `site`)."""
    page = await opened(browser, site.url, site.complaints, patience_ms=6000, **options)
    await expect(page.locator("#empty")).to_be_visible()
    return page


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, site: Site) -> Page:
    return await visit(browser, site)


async def test_a_suggestion_becomes_a_picture_with_place_progress_and_label(site: Site, page: Page) -> None:
    site.chat.gate.clear()
    await page.get_by_role("button", name="a red apple").click()
    await expect(page.locator(".turn .line")).to_contain_text("#2 in line, about 9 s")
    await expect(page.locator("#status")).to_contain_text("#2 in line")
    site.chat.gate.set()
    await expect(page.locator(DONE)).to_have_attribute("alt", "Picture: a red apple")
    await expect(page.locator(".label")).to_have_text("Made with AI: tiny-emoji-sd")
    await expect(page.locator("#status")).to_contain_text("The picture is ready.")
    frame = await page.locator(".frame").bounding_box()
    assert frame
    assert round(frame["width"]) == 384
    labels = await page.locator(".turn .button").all_inner_texts()
    assert labels == ["Again", "Edit", "Vary", "Upscale", "Details", "Original", "Delete"]


async def test_a_preview_is_shown_before_the_picture(site: Site, page: Page) -> None:
    site.chat.step_seconds = 0.1
    await ask(page, "a red apple")
    await expect(page.locator(".frame img.preview")).to_be_visible()
    await expect(page.locator("progress")).to_be_visible()
    await expect(page.locator(DONE)).to_be_visible()
    await expect(page.locator("progress")).to_have_count(0)


async def test_text_streams_and_ends_whole(site: Site, page: Page) -> None:
    site.chat.step_seconds = 0.05
    await page.get_by_role("radio", name="Text").check(force=True)
    await ask(page, "a story")
    await expect(page.locator(".words.growing")).to_be_visible()
    await expect(page.locator(".words:not(.growing)")).to_contain_text(
        "a small light answered. 🌊 <b>not bold</b>"
    )
    assert await page.locator(".words li").all_inner_texts() == [
        "She kept a log.",
        "She kept the stairs swept.",
    ]
    assert site.chat.invocations[-1].command == "write"


async def test_hostile_words_stay_words(page: Page) -> None:
    await ask(page, HOSTILE)
    await expect(page.locator(DONE)).to_be_visible()
    await expect(page.locator(".asked")).to_contain_text(HOSTILE)
    await page.reload()
    await expect(page.locator(".asked")).to_contain_text(HOSTILE)
    assert await page.title() == "Atelier"
    assert await page.locator("main img[src='x'], main script").count() == 0


async def test_a_refusal_is_gentle_and_gives_the_words_back(page: Page) -> None:
    await ask(page, "refuse --stepz 3")
    await expect(page.locator(".notice.refused")).to_contain_text("Did you mean --steps?")
    await expect(page.locator("#prompt")).to_have_value("refuse --stepz 3")
    await page.locator(".notice").get_by_role("button", name="a red apple").click()
    await expect(page.locator(DONE)).to_be_visible()


async def test_a_refusal_gives_the_picture_back_too(site: Site, page: Page) -> None:
    await page.set_input_files("#file", CAT)
    await ask(page, "refuse --stepz 3")
    await expect(page.locator(".notice.refused")).to_be_visible()
    await expect(page.locator(".chip")).to_contain_text("cat.png")
    await ask(page, "as a watercolor")
    await expect(page.locator(DONE)).to_be_visible()
    assert [len(each.attachments) for each in site.chat.invocations] == [1, 1]


async def test_the_longest_prompt_leaves_room_for_its_picture(page: Page) -> None:
    await ask(page, "a lighthouse " * 600)
    await expect(page.locator(DONE)).to_be_visible()
    bubble = await page.locator(".asked").bounding_box()
    assert bubble
    assert bubble["height"] < 360  # of 720


async def test_words_that_pass_by_are_the_bots_own(site: Site, page: Page) -> None:
    await page.get_by_role("button", name="Balance").click()
    await expect(page.locator("#panel-body")).to_contain_text("14 left today")
    await site.platform.tell(1, "", "Thank you! **receipts** shows the payment.")
    await expect(page.locator(".toast strong")).to_have_text("receipts")
    await expect(page.locator(".toast")).to_have_text("Thank you! receipts shows the payment.")


async def test_a_failure_names_the_way_out(page: Page) -> None:
    await ask(page, "fail please")
    await expect(page.locator(".line.trouble")).to_contain_text("charged nothing")
    await expect(page.get_by_role("button", name="Again")).to_be_visible()


async def test_what_was_not_read_is_said_under_the_picture_and_stays_words(page: Page) -> None:
    await ask(page, f"a red apple unread {HOSTILE}")
    await expect(page.locator(".meta .line").last).to_have_text(f"Not read: {HOSTILE}")
    await ask(page, "a red apple")
    await expect(page.locator(DONE)).to_have_count(2)
    await expect(page.locator(".meta .line")).to_have_count(3)


async def test_cancel_stops_a_job(site: Site, page: Page) -> None:
    site.chat.gate.clear()
    await ask(page, "a red apple")
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.locator(".turn .line")).to_have_text("Stopped.")
    site.chat.gate.set()
    await asyncio.sleep(0.1)
    await expect(page.locator(DONE)).to_have_count(0)


async def test_edit_details_original_and_delete(site: Site, page: Page) -> None:
    await ask(page, "a red apple")
    await page.get_by_role("button", name="Details").click()
    await expect(page.locator(".turn .notice")).to_contain_text("seed 42")
    async with page.expect_download() as download:
        await page.get_by_role("button", name="Original").click()
    assert (await download.value).suggested_filename.endswith(".png")
    await page.get_by_role("button", name="Edit", exact=True).click()
    await expect(page.locator(".chip")).to_contain_text("Editing #1")
    await expect(page.locator("#prompt")).to_be_focused()
    await ask(page, "at night")
    await expect(page.locator(DONE)).to_have_count(2)
    assert site.chat.invocations[-1].origin == 1
    await page.locator("#job-1").get_by_role("button", name="Delete").click()
    await page.locator("#job-1").get_by_role("button", name="Really delete?").click()
    await expect(page.locator("#job-1")).to_have_count(0)


async def test_pictures_can_be_added_and_removed(site: Site, page: Page) -> None:
    await page.set_input_files("#file", CAT)
    await page.get_by_role("button", name="Remove the picture").click()
    await expect(page.locator(".chip")).to_have_count(0)
    for kind, content in (("text/plain", b"x"), ("image/svg+xml", b"<svg/>"), ("image/png", b"")):
        await page.set_input_files("#file", {"name": "a", "mimeType": kind, "buffer": content})
        await expect(page.locator(".toast")).to_contain_text("not a PNG, JPEG or WebP picture")
        await page.evaluate("document.getElementById('toasts').replaceChildren()")
    await page.set_input_files("#file", {**CAT, "buffer": bytes(10 * 2**20 + 1)})
    await expect(page.locator(".toast")).to_contain_text("10 MB is the most")
    await page.set_input_files("#file", CAT)
    await ask(page, "as a watercolor")
    await expect(page.locator(DONE)).to_be_visible()
    assert site.chat.uploads == [CAT["buffer"]]


async def test_hints_complete_by_keyboard(site: Site, page: Page) -> None:
    await page.locator("#prompt").press_sequentially("a fox --st")
    assert await page.locator("#hints b").all_inner_texts() == ["--steps", "--style"]
    await page.keyboard.press("ArrowDown")
    await expect(page.locator("#prompt")).to_have_attribute("aria-activedescendant", "hint-1")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.locator("#prompt")).to_have_value("a fox --style watercolor ")
    await expect(page.locator("#hints")).to_be_hidden()
    await page.keyboard.press("Enter")
    await expect(page.locator(DONE)).to_be_visible()
    assert site.chat.invocations[-1].text == "a fox --style watercolor "


async def test_beside_a_picture_only_models_that_start_from_one_are_offered(page: Page) -> None:
    names = page.locator("#hints b")
    await page.locator("#prompt").press_sequentially("a fox --model ")
    assert await names.all_inner_texts() == ["tiny", "poster"]
    await page.set_input_files("#file", CAT)
    await page.fill("#prompt", "a fox --model ")
    await expect(names).to_have_text(["tiny"])


async def tab_back_to(page: Page, selector: str) -> None:
    """Shift+Tab until it has the focus, as a person would who cannot see how far it is."""
    for _ in range(16):
        await page.keyboard.press("Shift+Tab")
        if await page.locator(selector).evaluate("(node) => node === document.activeElement"):
            return
    pytest.fail(f"{selector} cannot be reached by keyboard")


async def test_everything_is_within_reach_of_the_keyboard(page: Page) -> None:
    await expect(page.locator("#prompt")).to_be_focused()
    await page.keyboard.type("a red apple")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("on a table")
    await page.keyboard.press("Enter")
    await expect(page.locator(".asked")).to_contain_text("a red apple\non a table")
    await expect(page.locator(DONE)).to_be_visible()
    await tab_back_to(page, "button.frame")
    await expect(page.locator("button.frame")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#lightbox")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.locator("button.frame")).to_be_focused()
    await tab_back_to(page, "[data-panel=help]")
    await page.keyboard.press("Enter")
    await expect(page.locator("#panel-body")).to_contain_text("Say what you want.")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("button", name="Help")).to_be_focused()


async def test_the_gallery_hangs_my_pictures_and_arrows_walk_them(page: Page) -> None:
    await ask(page, "four lemons -n 4")
    await expect(page.locator(DONE)).to_have_count(4)
    await page.get_by_role("button", name="Gallery").click()
    await expect(page.locator("#grid .frame")).to_have_count(4)
    await page.locator("#grid .frame").first.focus()
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("Enter")
    await expect(page.locator("#lightbox-caption")).to_contain_text("Picture 2 of 4")
    await page.keyboard.press("ArrowRight")
    await expect(page.locator("#lightbox-caption")).to_contain_text("Picture 3 of 4")
    await page.keyboard.press("Escape")
    await page.reload()
    await expect(page.locator("#grid .frame")).to_have_count(4)
    await page.go_back()
    await expect(page.locator(".frames.many")).to_be_visible()
    await page.go_forward()
    await expect(page.locator("#grid .frame").first).to_be_visible()
    await page.get_by_role("button", name="Chat").click()
    await expect(page.locator(".frames.many")).to_be_visible()


async def test_settings_balance_and_help_are_the_bots_own_words(site: Site, page: Page) -> None:
    await page.get_by_role("button", name="Balance").click()
    await expect(page.locator("#panel")).to_contain_text("14 left today")
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Settings").click()
    await page.get_by_label("Change a default").fill("--ar 16:9")
    await page.get_by_role("button", name="Apply").click()
    await expect(page.locator("#panel-body")).to_contain_text("--ar 16:9")
    await page.keyboard.press("Escape")
    await ask(page, "/help")
    await expect(page.locator("#panel-body")).to_contain_text("Say what you want.")
    assert [call.command for call in site.chat.invocations] == ["balance", "settings", "settings", "help"]


async def test_what_is_for_sale_leads_to_where_it_is_paid_and_the_page_stays_open(page: Page) -> None:
    await page.get_by_role("button", name="Plans").click()
    await page.get_by_role("button", name="500 credits · 1.99 USD").click()
    link = page.get_by_role("link", name="Pay 1.99 USD")
    await expect(link).to_have_attribute("href", "https://pay.example/1")
    await expect(link).to_have_attribute("target", "_blank")


async def test_the_language_switches_and_keeps_what_was_typed(site: Site, page: Page) -> None:
    await page.fill("#prompt", "半句话")
    await page.get_by_role("button", name="简体中文").click()
    await expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")
    await expect(page.locator("#prompt")).to_have_value("半句话")
    await page.keyboard.press("Enter")
    await expect(page.locator(DONE)).to_be_visible()
    assert site.chat.invocations[-1].address.locale == "zh"


async def test_private_is_said_and_marked(page: Page) -> None:
    await page.get_by_role("button", name="Private").click()
    await ask(page, "a secret apple")
    await expect(page.locator(".asked small")).to_have_text("Private")
    await expect(page.locator(DONE)).to_be_visible()


async def test_a_send_that_was_lost_is_repeated_as_the_same_event(site: Site, page: Page) -> None:
    """The answer is lost after the server has taken the event: trying again makes no second job."""

    async def lose(route: Route) -> None:
        await route.fetch()
        await route.abort()

    await page.route("**/api/say", lose)
    await ask(page, "a red apple")
    retry = page.get_by_role("button", name="Try again")
    await expect(retry).to_be_visible()
    await page.unroute("**/api/say")
    await retry.click()
    await expect(page.locator(DONE)).to_have_count(1)
    await expect(page.locator(".turn")).to_have_count(1)
    assert len(site.chat.jobs) == 1


async def test_a_restart_in_the_middle_is_invisible(site: Site, page: Page) -> None:
    site.chat.gate.clear()
    await ask(page, "a red apple")
    await expect(page.locator(".turn .line")).to_contain_text("#2 in line")
    await site.stop()
    site.chat.platform = None
    site.chat.gate.set()
    await asyncio.sleep(0.5)  # it is finished while nobody serves
    await ask(page, "a green pear")  # and something is asked
    await site.start()
    await expect(page.locator(DONE)).to_have_count(2, timeout=12_000)
    await expect(page.locator(".turn")).to_have_count(2)
    await expect(page.locator("#connection")).to_be_hidden()


async def test_a_text_cut_by_a_restart_goes_on(site: Site, page: Page) -> None:
    site.chat.step_seconds = 0.15
    await page.get_by_role("radio", name="Text").check(force=True)
    await ask(page, "a story")
    await expect(page.locator(".words.growing")).to_be_visible()
    await site.restart()
    await expect(page.locator(".words:not(.growing)")).to_contain_text("light answered", timeout=12_000)
    await expect(page.locator(".turn")).to_have_count(1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_phone_needs_no_sideways_scrolling(site: Site, browser: Browser, scheme: Any) -> None:
    page = await visit(browser, site, **PHONE, color_scheme=scheme)
    assert not await page.evaluate(WIDER)
    await ask(page, "x" * 300)
    await expect(page.locator(DONE)).to_be_visible()
    await ask(page, "refuse " + "--verylongoption" * 20)
    await expect(page.locator(".notice")).to_be_visible()
    assert not await page.evaluate(WIDER)
    await page.get_by_role("button", name="Gallery").click()
    await expect(page.locator("#grid .frame")).to_have_count(1)
    assert not await page.evaluate(WIDER)
    dark = await page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(23, 20, 18)"
    assert dark == (scheme == "dark")


CONTRAST = """(pairs) => {
  const linear = (value) => (value /= 255) <= .03928 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4;
  const style = getComputedStyle(document.documentElement);
  const luminance = (name) => {
    const colour = parseInt(style.getPropertyValue(name).trim().slice(1), 16);
    const [red, green, blue] = [colour >> 16, colour >> 8 & 255, colour & 255].map(linear);
    return .2126 * red + .7152 * green + .0722 * blue;
  };
  return pairs.map(([ink, ground]) => {
    const [lighter, darker] = [luminance(ink), luminance(ground)].sort((one, other) => other - one);
    return [`${ink} on ${ground}`, (lighter + .05) / (darker + .05)];
  });
}"""
PAIRS = [
    *(["--soft", ground] for ground in ("--paper", "--sunken", "--raised", "--bubble")),
    *(["--ink", ground] for ground in ("--paper", "--raised", "--bubble", "--accent-soft")),
    *(["--accent", ground] for ground in ("--raised", "--accent-soft")),
    ["--on-accent", "--accent"],
    ["--warn", "--paper"],
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_words_stand_out_enough(site: Site, browser: Browser, scheme: Any) -> None:
    page = await visit(browser, site, color_scheme=scheme)
    weak = [(pair, round(ratio, 2)) for pair, ratio in await page.evaluate(CONTRAST, PAIRS) if ratio < 4.5]
    assert weak == []


async def test_a_picture_whose_link_expired_is_fetched_by_a_fresh_one(site: Site, page: Page) -> None:
    async def expire(route: Route) -> None:
        await route.fulfill(status=410, body="")
        site.now += 2 * site.settings.link_seconds

    await page.route("**/media/**", expire, times=1)
    await ask(page, "a red apple")
    await expect(page.locator(DONE)).to_have_js_property("naturalWidth", 128)


async def test_a_picture_that_a_restart_cut_off_is_fetched_again_by_the_same_link(
    site: Site, page: Page
) -> None:
    await page.route("**/media/**", lambda route: route.abort())
    await ask(page, "a red apple")
    await expect(page.locator("img[data-failed]")).to_have_count(1)
    await page.unroute("**/media/**")
    await site.restart()
    await expect(page.locator(DONE)).to_have_js_property("naturalWidth", 128)


async def test_older_turns_are_a_press_away(site: Site, page: Page) -> None:
    site.chat.step_seconds = 0
    for number in range(23):
        await ask(page, f"picture {number}")
        await expect(page.locator(f"#job-{number + 1}")).to_be_attached()
    await page.reload()
    await expect(page.locator(".turn")).to_have_count(20)
    await page.get_by_role("button", name="Earlier").click()
    await expect(page.locator(".turn")).to_have_count(23)
    await expect(page.locator(".turn").first).to_contain_text("picture 0")
