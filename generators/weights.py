"""Weights on disk, judged before a library opens them: never pickles, nothing half-downloaded.

Reads only the headers of safetensors files (8 bytes of length, then JSON that says where each tensor lies).
"""

from __future__ import annotations

import json
import math
import re
import struct
from pathlib import Path
from typing import Any, cast

from generators import embedded
from generators.engine import ModelUnavailable
from generators.models import Model

_HEADER_BYTES_MAX = 100 * 1024 * 1024  # the format's own limit
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt")
_PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")


def resolve(model: Model, cache: Path) -> Path | str:
    """The folder of a model, or its hub id. Raises `ModelUnavailable`."""
    if model.source.startswith(embedded.PREFIX):
        return _embedded(model, cache)
    path = Path(model.source).expanduser()
    if path.suffix == ".gguf" and path.is_file() and model.kind == "text":
        return _unpacked(path, cache)
    if path.is_dir():
        return path
    if path.is_file():
        raise ModelUnavailable(f"{path} is a single file: a folder in the library's layout is needed.")
    if is_hub_id(model.source):
        return model.source
    raise ModelUnavailable(f"There is no folder {path}, and that is no hub id (owner/name) either.")


def is_hub_id(source: str) -> bool:
    return _HUB_ID.fullmatch(source) is not None and not source.startswith(".")


def check(folder: Path) -> None:
    """A folder that holds the weights of one module. Raises `ModelUnavailable`."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelUnavailable(without_weights(folder))
    for index in folder.glob("*.safetensors.index*.json"):
        _check_shards(index)
    for file in files:
        header(file)


def check_pipeline(folder: Path) -> None:
    """A folder in diffusers' layout: the index and each component's weights. Raises `ModelUnavailable`."""
    for component, listed in _pipeline_index(folder).items():
        match listed:
            case ["diffusers" | "transformers", str() as kind] if _has_weights(kind):
                check(folder / component)
            case [str(), str() as kind] if "Tokenizer" in kind:
                _check_vocabulary(folder / component)
            case _:
                pass


def elements(folder: Path) -> int:
    """How many numbers the safetensors under a folder hold. Raises `ModelUnavailable`."""
    files = [*folder.glob("*.safetensors"), *folder.glob("*/*.safetensors")]
    return sum(_elements(header(file)) for file in _preferred(files))


def header(file: Path) -> dict[str, Any]:
    """A safetensors file's header. Raises `ModelUnavailable` for a file that is cut off or something else."""
    if not file.exists():  # a link into the hub's cache, to what was not fetched
        raise ModelUnavailable(f"{file} is only half downloaded: download it again.")
    with file.open("rb") as opened:
        start = opened.read(8)
        size = struct.unpack("<Q", start)[0] if len(start) == 8 else _HEADER_BYTES_MAX + 1
        raw = opened.read(size) if size <= _HEADER_BYTES_MAX else b""
    try:
        found: dict[str, Any] = json.loads(raw)
        tensors = [entry for name, entry in found.items() if name != "__metadata__"]
        end = max((int(entry["data_offsets"][1]) for entry in tensors), default=0)
        sum(math.prod(entry["shape"]) for entry in tensors)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelUnavailable(f"{file} is not a whole safetensors file: download it again.") from error
    if file.stat().st_size < 8 + size + end:
        raise ModelUnavailable(f"{file} is only half downloaded: download it again.")
    return found


def _embedded(model: Model, cache: Path) -> Path:
    try:
        return embedded.locate(model.source, cache)
    except embedded.NotEmbedded as error:
        raise ModelUnavailable(str(error)) from error


def _unpacked(file: Path, cache: Path) -> Path:
    from generators.gguf import converted

    return converted(file, cache)


def _pipeline_index(folder: Path) -> dict[str, Any]:
    path = folder / "model_index.json"
    if not path.is_file():
        raise ModelUnavailable(
            f"{folder} has no model_index.json: it is not a diffusers model, or half downloaded."
        )
    try:
        found: Any = json.loads(path.read_text("utf-8"))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ModelUnavailable(f"{path} is damaged: download the model again.")
    return cast("dict[str, Any]", found)


def _check_vocabulary(folder: Path) -> None:
    """Without one, transformers would make up a tokenizer that knows no words."""
    files = folder.glob("*")
    if not any(file.name in _VOCABULARIES or file.suffix in (".model", ".tiktoken") for file in files):
        raise ModelUnavailable(f"{folder} has no vocabulary: the download is incomplete.")


def _has_weights(kind: str) -> bool:
    return not any(part in kind for part in ("Scheduler", "Tokenizer", "Processor", "Extractor"))


def without_weights(folder: Path) -> str:
    """What to say of a folder that has no safetensors."""
    if any(file.suffix in _PICKLES for file in folder.glob("*")):
        return f"{folder} has its weights only as pickle, which can run code: get them as safetensors."
    return f"{folder} has no safetensors weights: the download is incomplete."


def _check_shards(index: Path) -> None:
    try:
        shards = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
    except (ValueError, KeyError, AttributeError) as error:
        raise ModelUnavailable(f"{index} is damaged: download the model again.") from error
    missing = sorted(name for name in shards if not (index.parent / name).is_file())
    if missing and len(missing) < len(shards):  # of a variant that was not downloaded, all are missing
        raise ModelUnavailable(f"{index.parent} lacks {missing[0]}: the download is incomplete.")


def _preferred(files: list[Path]) -> list[Path]:
    """One copy of each: a repository may hold `x.safetensors` and `x.fp16.safetensors` of the same weights."""
    chosen = {
        (file.parent, re.sub(r"\.(fp16|bf16|fp32|non_ema)(?=[.-])", "", file.name)): file for file in files
    }
    return list(chosen.values())


def _elements(found: dict[str, Any]) -> int:
    return sum(math.prod(entry["shape"]) for name, entry in found.items() if name != "__metadata__")
