"""The labels: each one that the page uses exists, in both languages."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from bot.chat import LOCALES, Locale
from bot.platforms.web.drawing import NAMED_SECTIONS
from bot.platforms.web.words import page_strings
from bot.replies import message_ids, say

STATIC = resources.files("bot.platforms.web") / "static"
USED = re.compile(r'words\.(\w+)|words\["([\w-]+)"\]|say\("([\w-]+)"')


def used_in_scripts() -> set[str]:
    scripts = [file.read_text("utf-8") for file in STATIC.iterdir() if file.name.endswith(".js")]
    found = (match for script in scripts for match in USED.finditer(script))
    return {next(filter(None, match.groups())) for match in found}


@pytest.mark.parametrize("locale", LOCALES)
def test_every_label_of_the_scripts_exists(locale: Locale) -> None:
    assert used_in_scripts() <= set(page_strings(locale))


def test_both_languages_say_the_same_things() -> None:
    english = {name for name in message_ids("en") if name.startswith("web-")}
    chinese = {name for name in message_ids("zh") if name.startswith("web-")}
    assert english == chinese
    assert {f"web-section-{section}" for section in NAMED_SECTIONS} <= english


def test_arguments_travel_to_the_page() -> None:
    assert page_strings("en")["editing"] == "Editing #{job}"
    assert say("zh", "web-error-large", megabytes=10)
