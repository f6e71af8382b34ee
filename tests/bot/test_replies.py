"""All that people read exists in both languages, with the same variables, and everything that is said exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fluent.syntax import FluentParser, ast
from fluent.syntax.visitor import Visitor

from bot import replies
from bot.chat import Action, locale_of

FOLDER = Path(replies.__file__).parent
FILES = sorted(path.name.removesuffix(".en.ftl") for path in FOLDER.glob("*.en.ftl"))


class Variables(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def visit_VariableReference(self, node: ast.VariableReference) -> None:  # noqa: N802
        self.found.add(node.id.name)


def messages(name: str, locale: str) -> dict[str, set[str]]:
    resource = FluentParser().parse((FOLDER / f"{name}.{locale}.ftl").read_text(encoding="utf-8"))
    assert not [each for each in resource.body if isinstance(each, ast.Junk)], "junk in the file"
    found: dict[str, set[str]] = {}
    for entry in resource.body:
        if isinstance(entry, ast.Message):
            assert entry.id.name not in found, "said twice"
            visitor = Variables()
            visitor.visit(entry)
            found[entry.id.name] = visitor.found
    return found


@pytest.mark.parametrize("name", FILES)
def test_both_languages_have_the_same_messages_and_variables(name: str) -> None:
    english, chinese = messages(name, "en"), messages(name, "zh")
    assert english.keys() == chinese.keys()
    # A language without plurals may use fewer variables, never others.
    assert {key: chinese[key] - english[key] for key in english if chinese[key] - english[key]} == {}


def test_no_message_is_in_two_files() -> None:
    ids = [each for name in FILES for each in messages(name, "en")]
    assert len(ids) == len(set(ids))


def test_every_message_that_the_program_names_exists() -> None:
    known = set(replies.message_ids("en"))
    said = re.compile(r'(?:say\(|say\(\s*\w+,|Refusal\()\s*"([a-z0-9-]+)"')
    for path in Path(replies.__file__).parents[1].rglob("*.py"):
        for message in said.findall(path.read_text(encoding="utf-8")):
            assert message in known, f"{path}: {message}"
    of_results = set(Action) - {Action.ASK, Action.BUY}  # the others say what they are for
    assert {f"button-{action.name.lower()}" for action in of_results} <= known


def test_languages_are_recognised_by_their_tags() -> None:
    assert [locale_of(tag) for tag in ("zh-Hans-CN", "zh_TW", "ZH", "en-US", "de", "")] == ["zh"] * 3 + [
        "en"
    ] * 3
