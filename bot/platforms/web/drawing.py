"""HTML that is drawn on the server: the page's frame, notices, the operators' tables. Everything is escaped."""

from __future__ import annotations

from functools import cache
from html import escape
from importlib import resources
from string import Template

import msgspec

from bot.chat import Locale, Table
from bot.platforms.web.boot import Boot
from bot.platforms.web.words import page_strings
from bot.replies import say

ROWS_A_PAGE = 50  # of `Desk.table`
LANGUAGE_TAGS: dict[Locale, str] = {"en": "en", "zh": "zh-Hans"}


@cache
def template(name: str) -> Template:
    return Template((resources.files(__package__ or "") / "static" / name).read_text("utf-8"))


def script_json(value: object) -> str:
    """JSON that cannot end the script element that it rests in."""
    text = msgspec.json.encode(value).decode()
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def chat_page(boot: Boot) -> str:
    labels = {name.replace("-", "_"): escape(text) for name, text in page_strings(boot.locale).items()}
    return template("index.html").substitute(
        labels,
        language_tag=LANGUAGE_TAGS[boot.locale],
        is_en="true" if boot.locale == "en" else "false",
        is_zh="true" if boot.locale == "zh" else "false",
        title=escape(boot.name),
        about=escape(say(boot.locale, "web-about")),
        noscript=escape(say(boot.locale, "web-noscript")),
        skip=escape(say(boot.locale, "web-skip")),
        boot=script_json(boot),
    )


def plain_page(name: str, locale: Locale, *, title: str, body: str, wide: bool = False) -> str:
    """A small page without a script; `body` is HTML."""
    return template("plain.html").substitute(
        language_tag=LANGUAGE_TAGS[locale], name=escape(name), title=escape(title), body=body,
        width="wide" if wide else "narrow",
    )  # fmt: skip


def notice_page(name: str, locale: Locale, sentence: str) -> str:
    back = escape(say(locale, "web-back", name=name))
    body = f'<p class="sentence">{escape(sentence)}</p><p><a class="button" href="/">{back}</a></p>'
    return plain_page(name, locale, title=name, body=body)


def is_number(cell: str) -> bool:
    return bool(cell) and cell.strip("+-").replace(".", "", 1).replace(",", "").isdigit()


def aligned(tag: str, cell: str, *, number: bool) -> str:
    return f'<{tag}{" class=number" if number else ""} dir="auto">{escape(cell)}</{tag.split()[0]}>'


def table_row(cells: tuple[str, ...]) -> str:
    return f"<tr>{''.join(aligned('td', cell, number=is_number(cell)) for cell in cells)}</tr>"


def table_html(locale: Locale, table: Table) -> str:
    if not table.rows:
        return f'<p class="sentence">{escape(say(locale, "web-admin-empty"))}</p>'
    columns = zip(table.columns, table.rows[0], strict=True)
    heads = "".join(aligned('th scope="col"', name, number=is_number(cell)) for name, cell in columns)
    rows = "".join(table_row(row) for row in table.rows)
    caption = f'<caption class="unseen">{escape(table.title)}</caption>'
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(table.title)}">'
        f"<table>{caption}<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


NAMED_SECTIONS = frozenset({"pool", "queue", "jobs", "accounts", "revenue", "flagged", "ledger", "audit"})


def section_name(locale: Locale, section: str) -> str:
    return say(locale, f"web-section-{section}") if section in NAMED_SECTIONS else section


def section_links(locale: Locale, sections: tuple[str, ...], current: str) -> str:
    def link(section: str) -> str:
        here = ' aria-current="page"' if section == current else ""
        return f'<a href="/admin/{escape(section)}"{here}>{escape(section_name(locale, section))}</a>'

    label = escape(say(locale, "web-admin-sections"))
    return f'<nav class="tabs" aria-label="{label}">{"".join(map(link, sections))}</nav>'


def page_links(locale: Locale, section: str, *, page: int, more: bool) -> str:
    steps = [(page - 1, "web-admin-newer")] * (page > 0) + [(page + 1, "web-admin-older")] * more
    links = (
        f'<a class="button" href="/admin/{escape(section)}?page={target}">{escape(say(locale, name))}</a>'
        for target, name in steps
    )
    return f'<p class="pager">{"".join(links)}</p>'


def admin_page(
    name: str, locale: Locale, table: Table, *, sections: tuple[str, ...], section: str, page: int
) -> str:
    heading = section_name(locale, section)
    title = f"{heading} · {say(locale, 'web-admin')}"
    body = (
        f"{section_links(locale, sections, section)}<h1>{escape(heading)}</h1>{table_html(locale, table)}"
        f"{page_links(locale, section, page=page, more=len(table.rows) >= ROWS_A_PAGE)}"
    )
    return plain_page(name, locale, title=title, body=body, wide=True)
