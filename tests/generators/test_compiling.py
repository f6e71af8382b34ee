"""A compiled model draws the same pictures, and is compiled before its first job comes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from generators import compiling, image
from generators.engine import Host, ModelUnavailable
from generators.image import ImageRunner
from generators.job import Job
from generators.messages import FromWorker, Result, Submit
from generators.models import Model
from generators.requests import TextToImage
from tests.generators.conftest import worker_settings

Folder = Callable[[str], Path]


def load(folder: Path, cache: Path, **entry: Any) -> ImageRunner:
    host = Host(worker_settings(cache=str(cache), batch_max=8))
    return image.load(Model(name="m", kind="image", source=str(folder), width=16, height=16, **entry), host)


def drawn(runner: ImageRunner, counts: tuple[int, ...]) -> list[bytes]:
    said: list[FromWorker] = []
    for number, count in enumerate(counts):
        request = TextToImage(
            model="m",
            prompt="a red apple",
            width=16,
            height=16,
            steps=3 + number,
            guidance=3.0,
            seed=7,
            count=count,
        )
        runner.begin(Job(Submit(job=str(number), request=request), said.append))
    while runner.jobs():
        runner.step()
    results = sorted((event for event in said if isinstance(event, Result)), key=lambda event: event.job)
    assert len(results) == len(counts)
    return [artifact.data for result in results for artifact in result.artifacts]


def test_it_is_compiled_while_it_is_loaded_and_draws_the_same(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[int] = []

    def backend(graph: torch.fx.GraphModule, inputs: Any) -> Any:
        compiled.append(len(inputs))
        return graph.forward

    monkeypatch.setattr(compiling, "BACKEND", backend)
    monkeypatch.setattr(compiling, "COUNTS", (1, 2))
    plain, quick = load(folder("sd15"), tmp_path), load(folder("sd15"), tmp_path, compile=True)
    at_load = len(compiled)
    pictures = drawn(quick, (1, 3, 1))
    assert at_load
    assert len(compiled) == at_load, "nobody waits for a compiler"
    for one, other in zip(pictures, drawn(plain, (1, 3, 1)), strict=True):
        assert np.abs(pixels(one) - pixels(other)).max() <= 1


class Uncompiled:
    """A runner whose forwards fail for want of a compiler."""

    def begin(self, job: Job) -> None:
        job.fail("internal", "InductorError")

    def jobs(self) -> tuple[Job, ...]:
        return ()


def test_without_a_compiler_the_operator_is_told() -> None:
    usual = TextToImage(model="m", prompt="", width=8, height=8, steps=1, guidance=3.0, seed=0)
    with pytest.raises(ModelUnavailable, match="compile = false"):
        compiling.compile_steps(torch.nn.Identity(), cast("Any", Uncompiled()), usual)


def pixels(data: bytes) -> Any:
    from io import BytesIO

    from PIL import Image

    return np.asarray(Image.open(BytesIO(data)), dtype=int)
