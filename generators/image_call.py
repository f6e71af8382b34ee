"""The arguments of one pipeline call for one pass: only what the pipeline's signature takes.

Families differ: Flux knows no negative prompt in its usual mode, Qwen-Image calls guidance `true_cfg_scale`,
SD1.5's image-to-image takes its size from the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL import Image, ImageOps

from generators.pipelines import Pipeline, accepted
from generators.requests import ImageToImage, TextToImage
from generators.sheets import Row

StepDone = Callable[[Any, int, Any, dict[str, Any]], dict[str, Any]]

_SEED_MASK = 2**63 - 1


def arguments(pipeline: Pipeline, rows: Sequence[Row], step_done: StepDone) -> dict[str, Any]:
    """All rows are alike but for prompt, seed and source."""
    takes = accepted(pipeline)
    wanted = {
        "prompt": [row.request.prompt for row in rows],
        **_size(rows[0].request),
        **_guidance(takes, rows),
        **_source(rows),
        **_callback(takes, step_done),
        "num_inference_steps": rows[0].request.steps,
        "generator": [_generator(row.seed) for row in rows],
        "output_type": "np",
    }
    return {name: value for name, value in wanted.items() if name in takes}


def fitted(source: Image.Image, request: TextToImage) -> Image.Image:
    """The source in the request's size: cropped at the centre, never stretched."""
    return ImageOps.fit(source, (request.width, request.height), Image.Resampling.LANCZOS)


def _size(request: TextToImage) -> dict[str, Any]:
    return {"width": request.width, "height": request.height}


def _guidance(takes: dict[str, Any], rows: Sequence[Row]) -> dict[str, Any]:
    guidance = rows[0].request.guidance
    negative = [row.request.negative for row in rows]
    true_guidance = takes.get("true_cfg_scale")
    if true_guidance is None:
        return {"guidance_scale": guidance, "negative_prompt": negative}
    if true_guidance > 1:  # Qwen-Image: a blank negative prompt switches guidance on
        return {"true_cfg_scale": guidance, "negative_prompt": [text or " " for text in negative]}
    return {"guidance_scale": guidance}  # Flux: distilled into the model, which knows no negative prompt


def _source(rows: Sequence[Row]) -> dict[str, Any]:
    request = rows[0].request
    if not isinstance(request, ImageToImage):
        return {}
    least = 1 / request.steps + 1e-6  # below, no step would be left
    return {"image": [row.source for row in rows], "strength": min(1.0, max(request.strength, least))}


def _callback(takes: dict[str, Any], step_done: StepDone) -> dict[str, Any]:
    if "callback_on_step_end" in takes:
        return {"callback_on_step_end": step_done}

    def legacy(step: int, timestep: Any, latents: torch.Tensor) -> None:
        step_done(None, step, timestep, {"latents": latents})

    return {"callback": legacy, "callback_steps": 1}


def _generator(seed: int) -> torch.Generator:
    """On the CPU whatever the device: the same seed is the same picture everywhere, whoever shares its batch."""
    return torch.Generator("cpu").manual_seed(seed & _SEED_MASK)
