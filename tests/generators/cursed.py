"""The real worker's process without torch: its models are scripted, and their prompts say what goes wrong.

`python -m tests.generators.cursed` takes what `python -m generators.worker` takes. A step lasts 10 ms.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from types import ModuleType
from typing import Any

import pytest

from generators import engine, worker
from generators.engine import Host
from generators.models import Model
from generators.requests import Artifact
from tests.generators.scripted import Clock, ScriptedRunner

PICTURE = Artifact(media_type="image/png", data=b"PNG", width=8, height=8, seed=1)
MODEL = Model(name="m", kind="image", source="scripted")


def die() -> None:
    """In the middle of a step."""
    os.kill(os.getpid(), signal.SIGKILL)


def freeze() -> None:
    """The whole process: nothing is heard of it any more."""
    os.kill(os.getpid(), signal.SIGSTOP)


def hang() -> None:
    """In a step that does not return, while the heart beats on."""
    threading.Event().wait()


SPELLS = {"break": lambda: 1 / 0, "die": die, "freeze": freeze, "hang": hang}


def use(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the pool's workers are cursed."""
    spawn = asyncio.create_subprocess_exec

    async def cursed(*command: str, **options: Any) -> Any:
        module = {"generators.worker": "tests.generators.cursed"}
        return await spawn(*(module.get(word, word) for word in command), **options)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", cursed)


def _load(model: Model, host: Host) -> ScriptedRunner:
    SPELLS.get(model.source, lambda: None)()
    return ScriptedRunner(
        Clock(), rows_max=8, spells={"p": lambda: time.sleep(0.01), **SPELLS}, made=(PICTURE,)
    )


def _hardware() -> ModuleType:
    """In place of torch's word for it: importing torch takes seconds."""
    known: Any = ModuleType("generators.hardware")
    known.prepare = known.sweep = lambda *_: None
    known.memory_bytes = lambda *_: 1000
    known.name = lambda *_: "cursed"
    known.works = lambda *_: True
    return known


if __name__ == "__main__":
    sys.modules["generators.hardware"] = _hardware()
    worker.Worker.expected_bytes = lambda self, model: 10  # type: ignore[method-assign]
    engine.load = _load  # type: ignore[assignment]
    worker.main()
