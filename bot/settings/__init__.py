"""From config.toml and the environment to one frozen `Config`: the only place that reads either.

    file -> built-in plans, models and styles where it has none -> environment -> types -> cross checks

Whatever is wrong is a `ConfigError` of one sentence, raised before anything starts.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import msgspec

from bot.config import Config, ConfigError
from bot.settings import checks, environment, keys
from bot.settings.defaults import DOCUMENT
from bot.settings.keys import Raw

DEFAULT_PATH = Path("config.toml")


def load(path: Path | None, environ: Mapping[str, str], *, kept: bool = False) -> Config:
    """The configuration of `path`, or of ATELIER_CONFIG, or of ./config.toml if there is one, or built-in.

    `kept`: with the secrets in the home folder that the environment does not have.
    """
    document = _read(path or _path(environ))
    keys.check_names(document)
    document = environment.apply(_with_defaults(document), environ)
    config = _build(keys.checked(document), environ)
    if kept:
        known = environment.secrets({**environment.kept(secrets_file(config)), **environ})
        config = msgspec.structs.replace(config, secrets=known)
    checks.check(config)
    return config


def home(config: Config) -> Path:
    """The one folder of this instance, absolute; a relative one starts at the current folder."""
    return Path(config.atelier.home).expanduser().absolute()


def secrets_file(config: Config) -> Path:
    """Lines of NAME=VALUE, of the variables that hold secrets."""
    return home(config) / "secrets.env"


def database_url(config: Config) -> str:
    """The database's URL: SQLite in the home folder unless the configuration names another."""
    return config.database.url or f"sqlite:///{home(config) / 'atelier.db'}"


def blobs_url(config: Config) -> str:
    """An absolute folder, or an `s3://` URL as configured."""
    blobs = config.storage.blobs
    if blobs.startswith("s3://"):
        return blobs
    return str(Path(blobs).expanduser().absolute() if blobs else home(config) / "blobs")


def page_url(config: Config) -> str:
    """Where people reach the page, without a slash at its end."""
    return config.web.public_url.rstrip("/") or f"http://{config.web.host}:{config.web.port}"


def _path(environ: Mapping[str, str]) -> Path | None:
    named = environ.get(environment.CONFIG)
    if named:
        return Path(named)
    return DEFAULT_PATH if DEFAULT_PATH.exists() else None


def _read(path: Path | None) -> Raw:
    if path is None:
        return {}
    try:
        return cast(Raw, tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: save it as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from error


def _with_defaults(document: Raw) -> Raw:
    """A missing section is the built-in one; a table with a built-in name may leave keys out."""
    merged = {section: _filled(section, content) for section, content in document.items()}
    return {
        **{section: content for section, content in DOCUMENT.items() if section not in document},
        **merged,
    }


def _filled(section: str, content: object) -> object:
    if not keys.is_named(section) or not isinstance(content, dict):
        return content
    built_in = cast(dict[str, Raw], DOCUMENT[section])
    tables = cast(Raw, content)
    return {name: _over(built_in.get(name, {}), table) for name, table in tables.items()}


def _over(built_in: Raw, table: object) -> object:
    return {**built_in, **cast(Raw, table)} if isinstance(table, dict) else table


def _build(values: dict[str, object], environ: Mapping[str, str]) -> Config:
    models = cast(dict[str, Raw], values.get("models", {}))
    named = {name: {**model, "name": name} for name, model in models.items()}
    content = {**values, "models": named, "secrets": environment.secrets(environ)}
    return msgspec.convert(content, Config)


__all__ = ["ConfigError", "blobs_url", "database_url", "home", "load", "page_url", "secrets_file"]
