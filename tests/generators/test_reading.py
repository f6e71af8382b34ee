"""What a model does not read: it changes nothing in the picture, and the last word that it reads does."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import diffusers
import msgspec
import numpy as np
import pytest
import torch

from generators import reading
from generators.image_call import negative
from generators.messages import Result
from generators.models import Model
from generators.requests import TextToImage
from tests.generators.conftest import FAMILIES, Bench, run

Folder = Callable[[str], Path]
LONG = " ".join(f"{colour}{number}" for number in range(300) for colour in ("red", "grün", "蓝"))


def request(**changes: Any) -> TextToImage:
    usual: dict[str, Any] = {
        "model": "m", "prompt": "a red apple", "width": 32, "height": 32, "steps": 1, "guidance": 3.0, "seed": 7,
    }  # fmt: skip
    return TextToImage(**(usual | changes))


@lru_cache
def stock(folder: Path) -> Any:
    library: Any = diffusers
    pipeline = library.DiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def unread(pipeline: Any, wanted: TextToImage) -> str:
    return reading.unread(pipeline, prompt=wanted.prompt, negative=negative(pipeline, wanted))


def drawn(pipeline: Any, wanted: TextToImage) -> Any:
    """What the untouched pipeline makes of a request, before it is decoded."""
    guidance = "true_cfg_scale" if "Qwen" in type(pipeline).__name__ else "guidance_scale"
    options = {"negative_prompt": wanted.negative} if negative(pipeline, wanted) else {}
    return pipeline(
        prompt=wanted.prompt, width=wanted.width, height=wanted.height, num_inference_steps=wanted.steps,
        generator=torch.Generator().manual_seed(wanted.seed), output_type="latent",
        **{guidance: wanted.guidance}, **options,
    ).images  # fmt: skip


def matters(pipeline: Any, wanted: TextToImage, field: str) -> tuple[bool, bool]:
    """Whether another last word of what is read, and another end of what is not, make another picture."""
    whole: str = getattr(wanted, field)
    left_out = unread(pipeline, wanted)
    assert left_out
    assert whole.endswith(left_out)
    read = whole.removesuffix(left_out)
    texts = (
        whole,
        read.rstrip().rpartition(" ")[0] + " yellow " + left_out,
        read + left_out.partition(" ")[0] + " something else",
    )
    pictures = [drawn(pipeline, msgspec.structs.replace(wanted, **{field: each})) for each in texts]
    same, *others = (np.asarray(each) for each in pictures)
    return (np.abs(same - others[0]).max() > 0, np.abs(same - others[1]).max() > 1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_said_to_be_unread_changes_nothing_and_what_is_read_does(family: str, folder: Folder) -> None:
    pipeline = stock(folder(family))
    assert matters(pipeline, request(prompt=LONG), "prompt") == (True, False)
    if negative(pipeline, request(negative=LONG)):
        assert matters(pipeline, request(negative=LONG), "negative") == (True, False)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_one_encoder_reads_whole_is_read(family: str, folder: Folder) -> None:
    """Longer than CLIP takes, not longer than T5 does."""
    longer = request(prompt="a red apple on a table " * 4)
    said = unread(stock(folder(family)), longer)
    assert (said != "") == (family in ("sd15", "sdxl"))


def test_the_result_says_how_the_unread_begins(bench: Bench, folder: Folder) -> None:
    runner = bench.load(Model(name="m", kind="image", source=str(folder("sd15"))))
    run(runner, [bench.job("long", request(prompt=LONG)), bench.job("short", request())])
    long, short = bench.ending("long"), bench.ending("short")
    assert isinstance(long, Result)
    assert isinstance(short, Result)
    assert (len(long.unread), long.unread in LONG, short.unread) == (200, True, "")


def test_both_prompts_can_be_too_long(folder: Folder) -> None:
    pipeline = stock(folder("sd15"))
    said = unread(pipeline, request(prompt=LONG, negative="ugly " * 50))
    assert said.startswith(unread(pipeline, request(prompt=LONG)) + " … ugly")


def test_where_it_is_not_known_where_a_reader_stops_nothing_is_said(folder: Folder) -> None:
    class Unknown:
        tokenizer, text_encoder = stock(folder("pixart")).tokenizer, stock(folder("pixart")).text_encoder

        def __call__(self, prompt: str) -> None: ...

    assert reading.unread(Unknown(), prompt=LONG, negative="") == ""
