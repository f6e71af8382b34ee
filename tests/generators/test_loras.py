"""LoRAs on real pipelines: each changes its own jobs' pictures only, and one that cannot be used changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from generators.job import Job
from generators.messages import Failed
from generators.requests import LoraUse
from tests.generators import tiny
from tests.generators.test_stepping import CLOSE, Studio, request

Folder = Callable[[str], Path]
Tensors = dict[str, torch.Tensor]
STRANGE = "text_encoder.text_model.encoder.layers.0.self_attn.telepathy"


@pytest.fixture
def make(folder: Folder, tmp_path: Path) -> Callable[..., Path]:
    """A LoRA for sd15 in a folder of its own, changed by `change`."""

    def made(name: str, change: Callable[[Tensors], Tensors] = lambda own: own, **how: Any) -> Path:
        file = tmp_path / name / "style.safetensors"
        file.parent.mkdir()
        tiny.lora(folder("sd15"), file, **how)
        safetensors.torch.save_file(change(safetensors.torch.load_file(file)), file)
        return file.parent

    return made


def studio(folder: Path, cache: Path, *loras: Path) -> Studio:
    return Studio(folder, cache, loras={lora.name: str(lora) for lora in loras})


def draw(at: Studio, job: str, *uses: LoraUse) -> Any:
    at.run(at.job(job, request(1, loras=uses, steps=2)))
    return at.drawn[f"{job}.0"]


def differ(one: Any, other: Any) -> float:
    return float(np.abs(one - other).max())


def refusal(at: Studio, lora: str) -> Failed:
    job: Job = at.job(f"with {lora}", request(1, loras=(LoraUse(name=lora),)))
    at.run(job)
    ending = at.ending(job)
    at.heard.clear()
    assert isinstance(ending, Failed), ending
    return ending


def test_the_more_weight_the_more_it_changes_and_only_where_used(
    folder: Folder, make: Callable[..., Path], tmp_path: Path
) -> None:
    at = studio(folder("sd15"), tmp_path, make("v1.0 style"))
    style = "v1.0 style"
    plain = draw(at, "plain")
    half, full = (draw(at, f"of {weight}", LoraUse(name=style, weight=weight)) for weight in (0.5, 3.0))
    assert 10 * CLOSE < differ(plain, half) < differ(plain, full)
    assert differ(plain, draw(at, "again")) == 0


def test_those_with_other_loras_and_without_are_themselves(
    folder: Folder, make: Callable[..., Path], tmp_path: Path
) -> None:
    loras = (make("draws", seed=1), make("reads", seed=2, parts=["text_encoder"]),
             make("both", seed=3, parts=["unet", "text_encoder"]))  # fmt: skip
    draws, reads, both = (LoraUse(name=lora.name) for lora in loras)
    uses = [(), (draws,), (reads,), (both,), (LoraUse(name="draws", weight=0.4),), (draws, reads), ()]
    at = studio(folder("sd15"), tmp_path, *loras)
    wanted = [request(1, steps=2 + number % 3, loras=each) for number, each in enumerate(uses)]
    at.run(*[at.job(f"all{number}", each) for number, each in enumerate(wanted)])
    for number, each in enumerate(wanted):
        at.run(at.job(f"alone{number}", each))
        assert differ(at.drawn[f"all{number}.0"], at.drawn[f"alone{number}.0"]) < CLOSE, each.loras
    fresh = studio(folder("sd15"), tmp_path, loras[2])
    fresh.run(fresh.job("first", wanted[3]))
    assert differ(at.drawn["all3.0"], fresh.drawn["first.0"]) < CLOSE
    drawn = [draw(at, f"same{number}", *each) for number, each in enumerate(uses[:6])]
    assert all(differ(one, other) > 10 * CLOSE for one, other in combinations(drawn, 2))


def strange(own: Tensors) -> Tensors:
    return own | {
        f"{STRANGE}.lora_A.weight": torch.ones(4, 32),
        f"{STRANGE}.lora_B.weight": torch.ones(32, 4),
    }


def wider(part: str) -> Callable[[Tensors], Tensors]:
    return lambda own: {
        name: torch.ones(*(side + 1 for side in each.shape)) if name.startswith(part) else each
        for name, each in own.items()
    }


BROKEN = {
    "words for modules that are not there": (strange, ["unet"]),
    "words of another width": (wider("text_encoder"), ["unet", "text_encoder"]),
    "layers of another width": (wider("unet"), ["unet", "text_encoder"]),
    "nothing known": (lambda own: {f"strange_{name}": each for name, each in own.items()}, ["unet"]),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_one_that_fits_only_in_part_is_refused_and_spoils_nothing(
    kind: str, folder: Folder, make: Callable[..., Path], tmp_path: Path
) -> None:
    change, parts = BROKEN[kind]
    good = make("good", seed=8, parts=["unet", "text_encoder"])
    at = studio(folder("sd15"), tmp_path, make("bad", change, parts=parts), good)
    plain = draw(at, "plain")
    for _ in range(2):
        refused = refusal(at, "bad")
        assert refused.code == "lora_unavailable"
        assert "'bad'" in refused.message
        assert differ(plain, draw(at, "after")) == 0
    fresh = studio(folder("sd15"), tmp_path, good)
    expected = draw(fresh, "good", LoraUse(name="good"))
    assert differ(expected, draw(at, "good", LoraUse(name="good"))) < CLOSE
    refusal(at, "bad")
    assert differ(expected, draw(at, "once more", LoraUse(name="good"))) < CLOSE
    assert differ(plain, draw(at, "last")) == 0


@pytest.mark.parametrize("family", ["sdxl", "flux", "pixart"])
def test_one_of_another_family_is_named(
    family: str, folder: Folder, make: Callable[..., Path], tmp_path: Path
) -> None:
    said = "m can use no LoRAs" if family == "pixart" else "'style' is not for models like m"
    at = studio(folder(family), tmp_path, make("style", wider("") if family == "sdxl" else lambda own: own))
    plain = draw(at, "plain")
    for _ in range(2):
        refused = refusal(at, "style")
        assert refused.code == "lora_unavailable"
        assert said in refused.message
    assert differ(plain, draw(at, "after")) == 0


def test_an_unknown_one_is_the_models_fault_not_the_persons(folder: Folder, tmp_path: Path) -> None:
    assert refusal(studio(folder("sd15"), tmp_path), "nope").code == "lora_unavailable"


def test_one_that_memory_is_too_small_for_is_refused_for_that_and_may_be_tried_again(
    folder: Folder, make: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = studio(folder("sd15"), tmp_path, make("style"))
    plain = draw(at, "plain")
    pipeline = at.runner._pipelines._text_to_image

    def full(*args: Any, **kwargs: Any) -> None:
        type(pipeline).load_lora_weights(pipeline, *args, **kwargs)
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "load_lora_weights", full, raising=False)
        assert refusal(at, "style").code == "out_of_memory"
        assert differ(plain, draw(at, "after")) == 0
    assert differ(plain, draw(at, "styled", LoraUse(name="style"))) > 10 * CLOSE


def test_one_that_cannot_be_put_on_fails_its_job_only(
    folder: Folder, make: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = studio(folder("sd15"), tmp_path, make("style"))
    plain = draw(at, "plain")
    pipeline = at.runner._pipelines._text_to_image

    def half(*args: Any, **kwargs: Any) -> None:
        type(pipeline).set_adapters(pipeline, *args, **kwargs)
        raise ValueError

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "set_adapters", half, raising=False)
        assert refusal(at, "style").code == "internal"
    assert differ(plain, draw(at, "after")) == 0
