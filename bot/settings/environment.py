"""Environment variables: `ATELIER_<SECTION>_<KEY>` for every key, and the secrets, which live only here and in a file
of the home folder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from bot.config import ConfigError, Secrets
from bot.settings.keys import SECRETS, SECTIONS, Raw, from_text, is_named, keys_of, nearest, value

PREFIX = "ATELIER_"
CONFIG = "ATELIER_CONFIG"
ALLOWED = (
    "ATELIER_TEST_",
    "ATELIER_BENCH_",
    "ATELIER_SOAK_",
    "ATELIER_REQUIRE_",
    "ATELIER_FAILPOINT",
    "ATELIER_WIRE_",
)
"""Variables of our own tests, benchmarks and failpoints: never settings, never refused."""


VARIABLES = tuple(PREFIX + name.upper() for name in SECRETS)
"""Those that hold secrets."""


@dataclass(frozen=True)
class Place:
    """Where in the document a variable goes: `plans`, `free`, `credits_day`; no table in plain sections."""

    section: str
    table: str
    key: str
    kind: Any


def secrets(environ: Mapping[str, str]) -> Secrets:
    """The secrets that are set."""
    return Secrets(**{name: environ.get(PREFIX + name.upper(), "") for name in SECRETS})


def held(secrets: Secrets) -> tuple[str, ...]:
    """The variables of the secrets that are set, never their values."""
    return tuple(
        variable for variable, name in zip(VARIABLES, SECRETS, strict=True) if getattr(secrets, name)
    )


def kept(file: Path) -> dict[str, str]:
    """The secrets in a file; none where there is no file. Raises ConfigError, which quotes no value."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError):  # a home that is none is found out where it is used
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {type(error).__name__}.") from error
    pairs = [line.partition("=") for line in lines if line.strip() and not line.lstrip().startswith("#")]
    found = {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}
    for name in found:
        if name not in VARIABLES:
            near = nearest(name, VARIABLES)
            hint = f"did you mean {near}?" if near else "settings belong in config.toml."
            raise ConfigError(f"{file} names {name[:60]}, which is no secret; {hint}")
    return found


def apply(document: Raw, environ: Mapping[str, str]) -> Raw:
    """The document with what the environment overrides. Raises ConfigError for a variable that is no setting."""
    places = _places(document)
    changed = {section: _copy(content) for section, content in document.items()}
    for variable in sorted(environ):
        if variable.startswith(PREFIX) and not _is_other(variable):
            _set(changed, _place(variable, places), variable, environ[variable])
    _refuse_two_homes(environ)
    return changed


def _is_other(variable: str) -> bool:
    secret = variable.removeprefix(PREFIX).lower() in SECRETS
    return secret or variable == CONFIG or variable.startswith(ALLOWED)


def _place(variable: str, places: Mapping[str, Place]) -> Place:
    if variable in places:
        return places[variable]
    near = nearest(variable, [*places, CONFIG, *VARIABLES])
    hint = f"did you mean {near}?" if near else "settings are called ATELIER_<SECTION>_<KEY>."
    raise ConfigError(f"{variable} is not a setting; {hint}")


def _set(document: Raw, place: Place, variable: str, text: str) -> None:
    table = cast(Raw, document.setdefault(place.section, {}))
    table = cast(Raw, table[place.table]) if place.table else table
    table[place.key] = value(variable, place.kind, from_text(place.kind, text))


def _places(document: Raw) -> dict[str, Place]:
    found: dict[str, Place] = {}
    for place in _all_places(document):
        name = _variable(place)
        if name in found:
            raise ConfigError(
                f"{place.section}.{place.table} and {place.section}.{found[name].table} must not differ in"
                " - and _ only: both would be set by the same environment variables."
            )
        found[name] = place
    return {**found, "ATELIER_HOME": found["ATELIER_ATELIER_HOME"]}


def _all_places(document: Raw) -> Iterator[Place]:
    for section in SECTIONS:
        for table in cast(Raw, document.get(section, {})) if is_named(section) else [""]:
            for key, kind in keys_of(section).items():
                yield Place(section, table, key, kind)


def _variable(place: Place) -> str:
    parts = [part for part in (place.section, place.table, place.key) if part]
    return PREFIX + re.sub(r"[^A-Z0-9]", "_", "_".join(parts).upper())


def _copy(content: object) -> object:
    if not isinstance(content, dict):
        return content
    return {key: _copy(inner) for key, inner in cast(Raw, content).items()}


def _refuse_two_homes(environ: Mapping[str, str]) -> None:
    short, long = environ.get("ATELIER_HOME"), environ.get("ATELIER_ATELIER_HOME")
    if short is not None and long is not None and short != long:
        raise ConfigError("ATELIER_HOME and ATELIER_ATELIER_HOME name two folders: set only one of them.")
