"""The keys of config.toml, read off the structs of `bot.config`: their names, types and what they take.

Knows the shape only: where values come from is `bot.settings`, what must agree between them `checks`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, cast

import msgspec
from msgspec import inspect as shape

from bot.config import Config, ConfigError, Secrets

Raw = dict[str, object]

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
TYPES: dict[str, Any] = {f.name: f.type for f in msgspec.structs.fields(Config) if f.name != "secrets"}
SECTIONS: dict[str, shape.Type] = {name: shape.type_info(kind) for name, kind in TYPES.items()}
SECRETS: tuple[str, ...] = tuple(field.name for field in msgspec.structs.fields(Secrets))

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SET_BY_US = {("models", "name")}  # filled from the table's own name
_TRUTH = {
    "true": True,
    "1": True,
    "yes": True,
    "on": True,
    "false": False,
    "0": False,
    "no": False,
    "off": False,
}


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant."""
    return next(iter(get_close_matches(name, list(known), n=1, cutoff=0.6)), None)


def is_named(section: str) -> bool:
    """Whether the section holds tables with names of the operator's choice, like `[plans.NAME]`."""
    return isinstance(SECTIONS[section], shape.DictType)


@cache
def keys_of(section: str) -> dict[str, Any]:
    """The keys of a section, or of one of its named tables, with their types."""
    found = SECTIONS[section]
    struct = found.value_type if isinstance(found, shape.DictType) else found
    fields = msgspec.structs.fields(cast(shape.StructType, struct).cls)
    return {field.name: field.type for field in fields if (section, field.name) not in _SET_BY_US}


def required_of(section: str) -> list[str]:
    """The keys that a named table must have."""
    found = SECTIONS[section]
    struct = cast(shape.StructType, found.value_type if isinstance(found, shape.DictType) else found)
    return [field.name for field in struct.fields if field.required]


def checked(document: Mapping[str, object]) -> dict[str, Any]:
    """The document with every value in its final type. Raises ConfigError at the first key that is wrong."""
    return {section: _section(section, value) for section, value in document.items()}


def check_names(document: Mapping[str, object]) -> None:
    """Raises ConfigError for a section that does not exist or is none, and for a secret."""
    for section, content in document.items():
        if section not in SECTIONS:
            _refuse_secret(section, content)
            raise ConfigError(_unknown(section, SECTIONS, "a section of config.toml", "sections"))
        _content(section, content)


def value(name: str, kind: Any, raw: object) -> Any:
    """`raw` as the key's type; `name` is what the error calls it."""
    try:
        return msgspec.convert(_seconds(raw) if _is_duration(kind) else raw, kind)
    except (msgspec.ValidationError, ValueError) as error:
        near = _near(kind, raw) or "."
        raise ConfigError(f"{name} must be {expected(kind)}, not {_shown(raw)}{near}") from error


def from_text(kind: Any, text: str) -> object:
    """An environment variable's text in the form that the file would hold; left as it is where it does not fit."""
    match shape.type_info(kind):
        case shape.BoolType():
            return _TRUTH.get(text.strip().lower(), text)
        case shape.VarTupleType():
            return _json(text) if text.lstrip().startswith("[") else [part.strip() for part in _parts(text)]
        case shape.StrType() | shape.LiteralType():
            return text
        case shape.Metadata():
            bare = text.strip()
            return int(bare) if bare.isascii() and bare.isdigit() and len(bare) < 20 else text
        case _:
            return _json(text)


def expected(kind: Any) -> str:
    """What a key takes, in words that complete "must be"."""
    match shape.type_info(kind):
        case shape.Metadata(type=shape.IntType(ge=int(least))) if least > 0:
            return f'a duration of at least "{least}s", such as "30s", "5m", "2h" or "30d"'
        case shape.Metadata():
            return 'a duration such as "30s", "5m", "2h" or "30d"'
        case shape.IntType() as number:
            return f"a whole number{_bounds(number)}"
        case shape.FloatType() as number:
            return f"a number{_bounds(number)}"
        case shape.BoolType():
            return "true or false"
        case shape.LiteralType(values):
            return "one of " + ", ".join(f'"{choice}"' for choice in values)
        case shape.VarTupleType():
            return "a list of texts"
        case shape.DictType(value_type=shape.IntType() as number):
            return f"a table of whole numbers{_bounds(number)}, such as {{ usd = 199 }}"
        case shape.DictType():
            return "a table of texts"
        case _:
            return "a text"


def _content(section: str, content: object) -> Raw:
    if not isinstance(content, dict):
        heading = f"{section}.NAME" if is_named(section) else section
        raise ConfigError(f"{section} must be a section, written [{heading}] on a line of its own.")
    return cast(Raw, content)


def _section(section: str, content: object) -> Any:
    tables = _content(section, content)
    if not is_named(section):
        return _table(section, section, tables)
    return {name: _named(section, name, table) for name, table in tables.items()}


def _named(section: str, name: str, content: object) -> dict[str, Any]:
    path = f"{section}.{name}"
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"{path} must be named with small letters, digits, - and _ only, at most 40 of them."
        )
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must be a table, written [{section}.NAME] on a line of its own.")
    table = _table(section, path, cast(Raw, content))
    for key in required_of(section):
        if key not in table:
            raise ConfigError(f"{path}.{key} is missing: it must be {expected(keys_of(section)[key])}.")
    return table


def _table(section: str, path: str, content: Raw) -> dict[str, Any]:
    known = keys_of(section)
    for key in content:
        if key not in known:
            _refuse_secret(section, {key: ""})
            raise ConfigError(_unknown(key, known, f"a key of [{path}]", "keys", path=path))
    return {key: value(f"{path}.{key}", known[key], raw) for key, raw in content.items()}


def _unknown(name: str, known: Iterable[str], what: str, plural: str, *, path: str = "") -> str:
    prefix = f"{path}." if path else ""
    near = nearest(name, known)
    hint = f"did you mean {prefix}{near}?" if near else f"the {plural} are {', '.join(known)}."
    return f"{prefix}{name} is not {what}; {hint}"


def _refuse_secret(section: str, content: object) -> None:
    keys = cast(Raw, content) if isinstance(content, dict) else {}
    tried = {section: section, **{f"{section}_{key}": f"{section}.{key}" for key in keys}}
    tried |= {key: f"{section}.{key}" for key in keys}
    for name, path in tried.items():
        if name in SECRETS:
            variable = f"ATELIER_{name.upper()}"
            raise ConfigError(f"{path} is a secret: take it out of config.toml and set {variable} instead.")
    if section == "secrets":
        raise ConfigError(
            "[secrets] cannot stand in config.toml: set them as variables such as ATELIER_DISCORD_TOKEN."
        )


def _is_duration(kind: Any) -> bool:
    return isinstance(shape.type_info(kind), shape.Metadata)


def _seconds(raw: object) -> object:
    if not isinstance(raw, str):
        return raw
    found = re.fullmatch(r"\s*([0-9]{1,9})\s*([smhd])\s*", raw)
    if not found:
        raise ValueError(raw)
    return int(found[1]) * _UNITS[found[2]]


def _json(text: str) -> object:
    try:
        return cast(object, json.loads(text))
    except ValueError:
        return text


def _parts(text: str) -> list[str]:
    return [part for part in text.split(",") if part.strip()]


def _bounds(number: shape.IntType | shape.FloatType) -> str:
    match number.gt, number.ge, number.le:
        case None, None, None:
            return ""
        case _, float() | int() as low, float() | int() as high:
            return f" from {low} to {high}"
        case None, low, _:
            return f" of at least {low}"
        case above, _, _:
            return f" above {above}"


def _near(kind: Any, raw: object) -> str:
    found = shape.type_info(kind)
    if not isinstance(found, shape.LiteralType) or not isinstance(raw, str):
        return ""
    near = nearest(raw, [str(choice) for choice in found.values])
    return f'; did you mean "{near}"?' if near else ""


def _shown(raw: object) -> str:
    text = str(raw).lower() if isinstance(raw, bool) else json.dumps(raw, default=str, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:39]}…"
