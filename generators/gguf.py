"""GGUF files made into folders of safetensors, once: transformers takes most of a minute to unpack one.

The folder appears whole or not at all: it is written beside its place and renamed, under a lock between workers.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

from filelock import FileLock


def converted(file: Path, cache: Path) -> Path:
    """The folder in `cache` with the weights and tokenizer of a GGUF `file`; made by the first call, in half
    precision. Raises what transformers raises for a file it cannot read."""
    folder = cache / f"{file.stem}-{_fingerprint(file)}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f"{folder.name}.lock"):
        if not folder.is_dir():
            _convert(file, folder)
    return folder


def _fingerprint(file: Path) -> str:
    """By size and time of change: reading hundreds of megabytes at each start would cost more than it guards."""
    known = file.stat()
    return hashlib.sha256(f"{file.name} {known.st_size} {known.st_mtime_ns}".encode()).hexdigest()[:12]


def _convert(file: Path, folder: Path) -> None:
    for leftover in folder.parent.glob(f"{folder.name}.part-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    draft = Path(tempfile.mkdtemp(prefix=f"{folder.name}.part-", dir=folder.parent))
    try:
        _save(file, draft)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _save(file: Path, draft: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    causal: Any = AutoModelForCausalLM
    model = causal.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float16)
    model.hf_quantizer = None  # otherwise save_pretrained refuses: the weights are not quantized any more
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(draft)
    tokenizer: Any = AutoTokenizer
    tokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(draft)
