"""What is known of families by name is what the library's own pipelines say."""

from __future__ import annotations

import inspect
from typing import Any

import diffusers
import pytest
from diffusers.pipelines import auto_pipeline

from generators import families
from generators.requests import ImageToImage, Inpaint

LIBRARY: Any = diffusers
SIBLINGS = {
    ImageToImage: auto_pipeline.AUTO_IMAGE2IMAGE_PIPELINES_MAPPING,
    Inpaint: auto_pipeline.AUTO_INPAINT_PIPELINES_MAPPING,
}


@pytest.mark.parametrize("name", [name for name, family in families.FAMILIES.items() if family.denoiser])
def test_the_parts_whose_calls_are_joined_are_those_of_the_pipeline(name: str) -> None:
    parts = inspect.signature(getattr(LIBRARY, name).__init__).parameters
    denoiser = parts["unet" if "unet" in parts else "transformer"].annotation
    known = families.of(name)
    assert (known.denoiser, known.decoder) == (denoiser.__name__, parts["vae"].annotation.__name__)


@pytest.mark.parametrize(("name", "family"), families.FAMILIES.items())
def test_a_family_lacks_what_the_library_has_no_pipeline_for(name: str, family: families.Family) -> None:
    [key] = [
        key for key, kind in auto_pipeline.AUTO_TEXT2IMAGE_PIPELINES_MAPPING.items() if kind.__name__ == name
    ]
    lacking = {request for request, siblings in SIBLINGS.items() if key not in siblings}
    assert family.lacks == (set() if family.starts_late else lacking)


def test_a_pipeline_that_is_not_listed_is_only_guessed_by_what_its_name_begins_like() -> None:
    assert families.nearest("StableDiffusionXLInpaintPipeline") is families.of("StableDiffusionXLPipeline")
    assert families.nearest("SanaSprintPipeline") is families.of("SanaPipeline")
    assert families.of("SanaSprintPipeline") is families.UNKNOWN
    assert families.nearest("SomethingElsePipeline") is families.UNKNOWN
