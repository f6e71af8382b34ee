"""What a worker's process owes to the one that started it: no torch in there, and no life after it."""

from __future__ import annotations

import subprocess
import sys

import psutil


def test_the_bots_process_never_imports_torch() -> None:
    code = (
        "import sys, generators.pool, generators.embedded, generators.source, generators.labels;"
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'diffusers', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


PARENT = """
import asyncio, sys
from generators.pool import Pool, PoolSettings
async def main():
    pool = Pool(PoolSettings(devices=("cpu",)), {})
    await pool.start()
    await pool.ready()
    print("ready", flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


def test_a_worker_leaves_when_its_parent_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    while (line := parent.stdout.readline()) and line.strip() != "ready":
        pass
    (orphan,) = [c for c in psutil.Process(parent.pid).children() if "generators.worker" in c.cmdline()]
    parent.kill()
    parent.wait()
    gone, alive = psutil.wait_procs([orphan], timeout=10)
    assert gone or alive[0].status() == psutil.STATUS_ZOMBIE  # a container may have nobody to reap it
