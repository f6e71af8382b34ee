"""What torch says of a device: its name, memory and best number format. Imports torch: workers only."""

from __future__ import annotations

import gc
import os
import platform
import time
from typing import Any

import torch

from generators.models import Model
from generators.shelf import CPU_SHARE, GPU_SHARE, machine_bytes


def prepare(device: str, threads: int) -> None:
    """Raises `RuntimeError` if the device does not exist."""
    if device == "cpu":
        torch.set_num_threads(threads or os.cpu_count() or 1)
    if device.startswith("cuda"):
        torch.cuda.set_device(device)
    torch.empty(1, device=device)


def name(device: str) -> str:
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"


def memory_bytes(device: str, share: float = 1.0) -> int:
    """For models, of a worker that has this share of a GPU."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[1] * GPU_SHARE * share)
    if device.startswith("mps"):
        return int(torch.mps.recommended_max_memory() * GPU_SHARE * share)
    return int(machine_bytes() * CPU_SHARE)


def dtype(model: Model, device: str) -> torch.dtype:
    """The entry's format, or for "auto": float32 on cpu, bfloat16 on what has it, else float16."""
    if model.dtype != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[model.dtype]
    if device == "cpu":
        return torch.float32
    if device.startswith("cuda") and not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float16
    return torch.bfloat16


def clock(device: str) -> float:
    """Seconds that the device has worked: on a CPU our own share of it, which other programs do not change."""
    wait(device)
    return time.process_time() if device == "cpu" else time.monotonic()


def wait(device: str) -> None:
    """Until the device has done what it was asked, so that time can be measured."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    elif device.startswith("mps"):
        torch.mps.synchronize()


def sweep() -> None:
    """Give freed memory back to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def works(device: str) -> bool:
    """Whether the device still computes: after some errors a GPU's context is of no more use to its process."""
    try:
        return int((torch.ones(1, device=device) + 1).item()) == 2
    except RuntimeError:
        return False


def is_out_of_memory(error: BaseException) -> bool:
    """CPU allocators have no type of their own for it."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and (
        "out of memory" in str(error) or "can't allocate" in str(error)
    )


def weight_bytes(module: Any) -> int:
    """Of a torch module's parameters and buffers; shared tensors count once."""
    tensors = {tensor.data_ptr(): tensor for tensor in (*module.parameters(), *module.buffers())}
    return sum(tensor.nelement() * tensor.element_size() for tensor in tensors.values())
