"""Which devices this machine has. `python -m generators.discovery` prints torch's answer as JSON.

The bot's process never imports torch (a second and 200 MB), so it asks a short-lived child; and where nothing
hints at an accelerator it does not even do that.
"""

from __future__ import annotations

import asyncio
import glob
import json
import os
import sys

import msgspec
import structlog

_SECONDS_MAX = 60.0
_UNKNOWN = "torch does not say which GPUs there are, so the CPU is used. If there are some, name them: [pool] devices."

log = structlog.get_logger()


async def devices() -> tuple[str, ...]:
    """Names of all accelerators, or ("cpu",) if there is none that works."""
    if not _hints():
        return ("cpu",)
    try:
        return tuple(msgspec.json.decode(await _answer(), type=list[str])) or ("cpu",)
    except (TimeoutError, IndexError, msgspec.DecodeError) as error:
        log.warning("devices_unknown", why=_UNKNOWN, error=type(error).__name__)
        return ("cpu",)


async def _answer() -> bytes:
    """The last line that the child prints: drivers may have printed theirs before it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "generators.discovery", stdout=asyncio.subprocess.PIPE
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), _SECONDS_MAX)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    return output.splitlines()[-1]


def _hints() -> bool:
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return sys.platform == "darwin"
    return (
        sys.platform == "darwin" or bool(glob.glob("/dev/nvidia[0-9]*")) or any(map(os.path.exists, _NODES))
    )


_NODES = ("/dev/kfd", "/dev/dxg", "/dev/dri/renderD128")


def _accelerators() -> list[str]:
    import torch

    if torch.cuda.is_available():
        return [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        return ["mps"]
    xpu = getattr(torch, "xpu", None)
    return [f"xpu:{index}" for index in range(xpu.device_count())] if xpu and xpu.is_available() else []


if __name__ == "__main__":
    sys.stdout.write(f"\n{json.dumps(_accelerators())}\n")
