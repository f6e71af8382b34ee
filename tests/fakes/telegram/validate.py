"""Checks a request against the machine-readable Bot API: names, types, required fields, lengths, ranges.

The specification lies in the folder that ATELIER_WIRE_SPECS names, or in `../shared/wire/specs` beside the
repository. Where it is missing nothing is checked, and the summary says so.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

FILE = "telegram-api.json"
LENGTH = re.compile(r"(\d+)-(\d+) (characters|bytes)")
ITEMS = re.compile(r"must include (\d+)-(\d+) items")
RANGE = re.compile(r"[Vv]alues? (?:between|must be between) (\d+)-(\d+)")
CONSTANT = re.compile(r'(?:must be|always) [“"]?([\w_]+)[”"]?')
TAG = re.compile(r"<[^>]+>")
PROSE: dict[tuple[str, str], tuple[int, int, str]] = {
    ("answerInlineQuery", "results"): (0, 50, "items"),
    ("setMyCommands", "commands"): (0, 100, "items"),
    ("setWebhook", "secret_token"): (1, 256, "characters"),
    ("InlineQueryResultArticle", "id"): (1, 64, "bytes"),
}
"""Limits that the specification states in running text only."""

checked = 0
"""Requests that were validated in this process."""


def folder() -> Path:
    named = os.environ.get("ATELIER_WIRE_SPECS")
    return Path(named) if named else Path(__file__).resolve().parents[4] / "shared" / "wire" / "specs"


@cache
def specification() -> dict[str, Any] | None:
    path = folder() / FILE
    if not path.is_file():
        return None
    read = json.loads(path.read_text(encoding="utf-8"))
    read["methods"] = {name.lower(): method for name, method in read["methods"].items()}
    return read


def problems(method: str, fields: dict[str, Any], files: Collection[str] = ()) -> list[str]:
    """What is wrong with a request; `files` names its multipart parts."""
    global checked
    spec = specification()
    if spec is None:
        return []
    checked += 1
    found = spec["methods"].get(method.lower())
    if found is None:
        return [f"unknown method {method}"]
    return Check(spec["types"], set(files)).fields(found["name"], found.get("fields", []), fields)


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


class Check:
    def __init__(self, types: dict[str, Any], files: set[str]) -> None:
        self.types, self.files = types, files

    def fields(self, owner: str, known: list[dict[str, Any]], sent: dict[str, Any]) -> list[str]:
        by_name = {field["name"]: field for field in known}
        found = [f"{owner}.{name}: unknown" for name in sent if name not in by_name]
        for name, field in by_name.items():
            if name in sent:
                found += self.field(owner, field, sent[name])
            elif field["required"] and not (name in self.files and "InputFile" in field["types"]):
                found.append(f"{owner}.{name}: missing")
        return found

    def field(self, owner: str, field: dict[str, Any], value: Any) -> list[str]:
        path = f"{owner}.{field['name']}"
        tries = [self.value(path, kind, value) for kind in field["types"]]
        found = [] if any(not each for each in tries) else min(tries, key=len)
        return found + limits(path, (owner, field["name"]), field["description"], value)

    def value(self, path: str, kind: str, value: Any) -> list[str]:
        if kind.startswith("Array of "):
            return self.array(path, kind.removeprefix("Array of "), value)
        match kind:
            case "String":
                good = isinstance(value, str) and self.attached(value)
            case "Integer":
                good = not isinstance(value, bool) and re.fullmatch(r"-?\d+", str(value)) is not None
            case "Float":
                good = not isinstance(value, bool) and re.fullmatch(r"-?[\d.]+", str(value)) is not None
            case "Boolean" | "True":
                good = str(value).lower() in ("true", "false")
            case "InputFile":
                good = isinstance(value, str) and value.startswith("attach://") and self.attached(value)
            case _:
                return self.object(path, kind, decoded(value))
        return [] if good else [f"{path}: not {kind}"]

    def attached(self, value: str) -> bool:
        return not value.startswith("attach://") or value.removeprefix("attach://") in self.files

    def array(self, path: str, kind: str, value: Any) -> list[str]:
        value = decoded(value)
        if not isinstance(value, list):
            return [f"{path}: not an array"]
        return [
            problem
            for index, each in enumerate(value)
            for problem in self.value(f"{path}[{index}]", kind, each)
        ]

    def object(self, path: str, kind: str, value: Any) -> list[str]:
        if not isinstance(value, dict):
            return [f"{path}: not {kind}"]
        spec = self.types[kind]
        if subtypes := spec.get("subtypes"):
            tries = [
                self.object(path, each, value) + self.wrong_constants(path, each, value) for each in subtypes
            ]
            return min(tries, key=len)
        found = self.fields(kind, spec.get("fields", []), value)
        if (
            kind == "InlineKeyboardButton"
            and len(value.keys() - {"text", "style", "icon_custom_emoji_id"}) != 1
        ):
            found.append(f"{path}: not exactly one action")
        return found

    def wrong_constants(self, path: str, kind: str, value: dict[str, Any]) -> list[str]:
        """What tells a union's members apart: `type` must be "photo", and so on."""
        return [
            f"{path}.{field['name']}: not {constant[1]}"
            for field in self.types[kind].get("fields", [])
            if field["name"] in ("type", "source", "status")
            and (constant := CONSTANT.search(field["description"]))
            and value.get(field["name"]) != constant[1]
        ]


def decoded(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def limits(path: str, key: tuple[str, str], description: str, value: Any) -> list[str]:
    value = decoded(value)
    length = PROSE.get(key)
    if length is None and (said := LENGTH.search(description)):
        length = (int(said[1]), int(said[2]), said[3])
    if (said := ITEMS.search(description)) and isinstance(value, list):
        length = (int(said[1]), int(said[2]), "items")
    if length is not None and not length[0] <= size(value, length[2]) <= length[1]:
        return [f"{path}: {size(value, length[2])} {length[2]}, not {length[0]}-{length[1]}"]
    if (said := RANGE.search(description)) and re.fullmatch(r"-?\d+", str(value)):
        return [] if int(said[1]) <= int(value) <= int(said[2]) else [f"{path}: {value} out of range"]
    return []


def size(value: Any, unit: str) -> int:
    if isinstance(value, list) or not isinstance(value, str):
        return len(value) if isinstance(value, list) else 1
    return len(value.encode()) if unit == "bytes" else units(TAG.sub("", value))
