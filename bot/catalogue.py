"""The models of an instance: what each is and takes here, and adding one by trying it for real.

Adding loads the model once in a worker of its own, as the bot will, lets it do one job of its own size, and
writes the entry from what was seen. Nothing that a person asked is involved.
"""

from __future__ import annotations

import json
import math
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from bot import settings
from bot.chat import Table
from bot.config import Config, ConfigError, ModelEntry
from bot.jobs import pricing
from bot.settings import keys
from bot.settings.defaults import MODELS
from generators import discovery, shelf
from generators.messages import Failed, Result, Unloaded
from generators.models import Model
from generators.pool import Pool, PoolSettings
from generators.requests import ImageToImage, Kind, Message, Request, TextToImage, WriteText

PROMPT = "a red apple on a wooden table, soft light"
TEXT_PROMPT = "Write a long story about a lighthouse keeper and the sea."
TEXT_TOKENS = 300
WARM_UP_STEPS, WARM_UP_TOKENS = 2, 4
SEED = 2026


class CatalogueError(Exception):
    """The model cannot be added; the text is a sentence that says why."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator asks for. Zero and empty: what the model itself says."""

    name: str
    source: str
    kind: Kind | None = None
    title: str = ""
    licence: str = ""
    commercial: bool = False
    steps: int = 0
    guidance: float | None = None
    width: int = 0
    height: int = 0


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of a model."""

    entry: ModelEntry
    disk_bytes: int | None
    memory_bytes: int
    load_seconds: float
    device: str  # torch's name of it
    hardware: str


# --- listing ------------------------------------------------------------------------------------------------


def table(config: Config, timings: Mapping[str, int]) -> Table:
    """`timings`: microseconds a unit of each model's work has taken lately."""
    columns = ("name", "kind", "title", "size", "licence", "commercial", "limits", "credits", "seconds")
    rows = tuple(_row(model, timings.get(model.name)) for model in config.models.values())
    return Table(title="models", columns=columns, rows=rows)


def _row(model: ModelEntry, unit_us: int | None) -> tuple[str, ...]:
    size = shelf.disk_bytes(model)
    return (
        model.name,
        model.kind,
        model.title,
        "not here yet" if size is None else megabytes(size),
        model.licence or "?",
        "yes" if model.commercial else "acknowledged" if model.commercial_acknowledged else "no",
        _limits(model),
        f"{model.credits}" + (f" ({', '.join(model.plans)})" if model.plans else ""),
        f"{unit_us * pricing.own_units(model) / 1e6:.1f}" if unit_us else f"{model.seconds:.1f} (guess)",
    )


def _limits(model: ModelEntry) -> str:
    if model.kind == "text":
        return f"{model.max_tokens_max} tokens"
    family = shelf.family(model)
    words_only = ", from words only" if family and ImageToImage in family.lacks else ""
    return f"{model.pixels_max / 1e6:.2f} MP, {model.steps_max} steps, {model.count_max} at once{words_only}"


def megabytes(size: int) -> str:
    return f"{size / 2**20:.0f} MB" if size < 2**30 else f"{size / 2**30:.1f} GB"


# --- adding -------------------------------------------------------------------------------------------------


async def measure(config: Config, wanted: Wanted, pool_settings: PoolSettings) -> Measured:
    """Loads the model in a worker and runs it. Raises CatalogueError."""
    model = _provisional(config, wanted)
    device = (config.pool.devices or await discovery.devices())[0]
    pool = Pool(
        msgspec.structs.replace(
            pool_settings, engine="process", devices=(device,), gpu_share=1.0, preview_every=0
        ),
        {model.name: model},
    )
    await pool.start()
    try:
        loaded = await pool.load(model.name)
        if isinstance(loaded, Unloaded):
            raise CatalogueError(loaded.message or f"{model.name} cannot be loaded.")
        entry = _entry(model, wanted)
        await _run(pool, "warm-up", _request(entry, warm_up=True))
        result = await _run(pool, "measured", _request(entry, warm_up=False))
        if isinstance(result, Failed):
            raise CatalogueError(f"{model.name} was loaded but made nothing: {result.message}")
        hardware = pool.devices()[0].name
    finally:
        await pool.stop(grace_seconds=0)
    seconds = max(round(result.device_seconds, 2), 0.01)
    return Measured(
        entry=msgspec.structs.replace(entry, seconds=seconds, credits=math.ceil(seconds)),
        disk_bytes=shelf.disk_bytes(model), memory_bytes=loaded.memory_bytes, load_seconds=loaded.seconds,
        device=device, hardware=hardware,
    )  # fmt: skip


def _provisional(config: Config, wanted: Wanted) -> Model:
    """The least that a worker needs to load it. Raises CatalogueError."""
    if not keys.NAME.fullmatch(wanted.name):
        raise CatalogueError("A model is named with small letters, digits, - and _ only, at most 40 of them.")
    if wanted.name in config.models:
        raise CatalogueError(
            f"There is a model {wanted.name} already: take another name, or change its entry."
        )
    folder = Path(wanted.source).expanduser()
    source = str(folder.absolute()) if folder.exists() else wanted.source
    kind = wanted.kind or shelf.kind(source)
    if kind is None and folder.exists():
        raise CatalogueError(
            f"{wanted.source} holds neither model_index.json (pictures) nor config.json (text), so it is no model"
            " in the layout of diffusers or transformers."
        )
    model = Model(name=wanted.name, kind=kind or "image", source=source)
    if said := shelf.fault(model):
        raise CatalogueError(said)
    if kind is None:
        raise CatalogueError(f"{wanted.source} is not here to look at: say --kind image or --kind text.")
    return model


def _entry(model: Model, wanted: Wanted) -> ModelEntry:
    """Everything but what is measured. By now the files are here, downloaded if need be."""
    folder = shelf.place(model)
    entry = ModelEntry(
        name=model.name,
        kind=model.kind,
        source=model.source,
        title=wanted.title or model.name,
        licence=wanted.licence or (shelf.licence(folder) if folder else ""),
        commercial=wanted.commercial,
        plans=() if wanted.commercial else ("free",),
    )
    if model.kind == "text":
        return msgspec.structs.replace(entry, max_tokens=TEXT_TOKENS)
    own = shelf.own(folder) if folder else shelf.Own()
    width, height = wanted.width or own.width, wanted.height or own.height
    steps = wanted.steps or own.steps
    return msgspec.structs.replace(
        entry, width=width, height=height, multiple=own.multiple, pixels_max=_pixels_max(width * height),
        steps=steps, steps_max=max(entry.steps_max, steps),
        guidance=own.guidance if wanted.guidance is None else wanted.guidance,
    )  # fmt: skip


def _pixels_max(own: int) -> int:
    """Models of pictures bear about four times the area that they were made for, and one megapixel is enough."""
    return max(own, min(4 * own, 1_048_576))


def _request(entry: ModelEntry, *, warm_up: bool) -> Request:
    """One job of the model's own size; the warm-up is as large but short."""
    if entry.kind == "text":
        tokens = WARM_UP_TOKENS if warm_up else pricing.TOKENS_PRICED
        words = (Message(role="user", content=TEXT_PROMPT),)
        return WriteText(model=entry.name, messages=words, max_tokens=tokens, seed=SEED)
    return TextToImage(
        model=entry.name, prompt=PROMPT, width=entry.width, height=entry.height, guidance=entry.guidance,
        steps=min(WARM_UP_STEPS, entry.steps) if warm_up else entry.steps, seed=SEED,
    )  # fmt: skip


async def _run(pool: Pool, job: str, request: Request) -> Result | Failed:
    async for event in pool.submit(job, request, {}):
        if isinstance(event, Result | Failed):
            return event
    return Failed(job=job, code="internal", message="its job ended without a result")


# --- the entry ----------------------------------------------------------------------------------------------


def block(entry: ModelEntry) -> str:
    """The entry as config.toml has it: what is required, what differs from the defaults, and the price."""
    lines = [f"[models.{entry.name}]"]
    for field in sorted(msgspec.structs.fields(ModelEntry), key=lambda field: not field.required):
        value: object = getattr(entry, field.name)
        shown = field.required or field.name in ("commercial", "credits", "seconds")
        if field.name != "name" and (shown or value not in (field.default, {}, ())):
            lines.append(f"{field.name} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def write(path: Path, entry: ModelEntry, environ: Mapping[str, str]) -> None:
    """Appends the entry to a configuration, which must be right with it. Raises ConfigError."""
    text = path.read_text(encoding="utf-8-sig") if path.exists() else ""
    models = cast("dict[str, Any]", tomllib.loads(text).get("models", {}))
    if entry.name in models:
        raise ConfigError(f"models.{entry.name} stands in {path} already: change it there.")
    built_in = (
        "" if models else "\n".join(f"[models.{name}]" for name in MODELS)
    )  # an entry would replace them
    new = "\n\n".join(part for part in (text.rstrip("\n"), built_in, block(entry)) if part)
    target = path.resolve()
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        partial.write_text(new, encoding="utf-8")
        partial.chmod(target.stat().st_mode & 0o777 if target.exists() else 0o644)
        settings.load(partial, environ)
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)


def _toml(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case tuple() | list():
            return f"[{', '.join(map(_toml, cast('tuple[object, ...]', value)))}]"
        case dict():
            pairs = cast("dict[str, object]", value).items()
            return f"{{ {', '.join(f'{_toml(key)} = {_toml(each)}' for key, each in pairs)} }}"
        case _:
            return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
