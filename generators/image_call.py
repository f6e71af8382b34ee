"""The arguments of one picture's pipeline call: only what the pipeline's signature takes.

Families differ: Flux knows no negative prompt in its usual mode, Qwen-Image calls guidance `true_cfg_scale`,
SD1.5's image-to-image takes its size from the picture.
"""

from __future__ import annotations

from math import lcm
from typing import Any

import torch
from PIL import Image, ImageOps

from generators.models import Model
from generators.pipelines import Pipeline, accepted
from generators.requests import ImageToImage, TextToImage
from generators.sheets import Row

_SEED_MASK = 2**63 - 1


def arguments(pipeline: Pipeline, row: Row) -> dict[str, Any]:
    request = row.request
    takes = accepted(pipeline)
    wanted = {
        "prompt": request.prompt,
        "width": request.width,
        "height": request.height,
        **_guidance(takes, request),
        **_source(row),
        "num_inference_steps": request.steps,
        "generator": _generator(row.seed),
        "output_type": "np",
    }
    return {name: value for name, value in wanted.items() if name in takes}


def negative(pipeline: Pipeline, request: TextToImage) -> str:
    """The negative prompt, as far as the pipeline has a use for one."""
    return _guidance(accepted(pipeline), request).get("negative_prompt", "")


def rows_of_step(pipeline: Pipeline, request: TextToImage) -> int:
    """How many rows of a forward one picture takes: most families guide by a second row beside the first."""
    is_double = accepted(pipeline).get("true_cfg_scale") is None and request.guidance > 1
    return 2 if is_double else 1


class SizeRefused(Exception):
    """A size that the model cannot draw in; the text says which it can."""


def check_size(pipeline: Pipeline, model: Model, request: TextToImage) -> None:
    """Commands round to the entry's `multiple`; others may send anything. Raises `SizeRefused`."""
    multiple = lcm(model.multiple, _multiple(pipeline))
    if any(side < multiple or side % multiple for side in (request.width, request.height)):
        size = f"{request.width} x {request.height}"
        raise SizeRefused(f"{model.name} draws in multiples of {multiple} pixels: {size} does not suit it.")


def _multiple(pipeline: Pipeline) -> int:
    """What a pipeline insists on by itself. One that has bins of sizes takes any: it draws in the nearest."""
    if "use_resolution_binning" in accepted(pipeline):
        return 1
    return getattr(pipeline, "vae_scale_factor", 1) * getattr(pipeline, "patch_size", 1)


def strength(request: ImageToImage) -> float:
    """At least so much that one step is left."""
    return min(1.0, max(request.strength, 1 / request.steps + 1e-6))


def fitted(source: Image.Image, request: TextToImage) -> Image.Image:
    """The source in the request's size: cropped at the centre, never stretched."""
    return ImageOps.fit(source, (request.width, request.height), Image.Resampling.LANCZOS)


def _guidance(takes: dict[str, Any], request: TextToImage) -> dict[str, Any]:
    true_guidance = takes.get("true_cfg_scale")
    if true_guidance is None:
        return {"guidance_scale": request.guidance, "negative_prompt": request.negative}
    if true_guidance > 1:  # Qwen-Image: a blank negative prompt switches guidance on
        return {"true_cfg_scale": request.guidance, "negative_prompt": request.negative or " "}
    return {
        "guidance_scale": request.guidance
    }  # Flux: distilled into the model, which knows no negative prompt


def _source(row: Row) -> dict[str, Any]:
    request = row.request
    if not isinstance(request, ImageToImage):
        return {}
    return {"image": row.source, "mask_image": row.mask, "strength": strength(request)}


def _generator(seed: int) -> torch.Generator:
    """On the CPU whatever the device: the same seed is the same picture everywhere, whoever shares its forwards."""
    return torch.Generator("cpu").manual_seed(seed & _SEED_MASK)
