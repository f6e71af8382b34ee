"""Starting from a picture in families whose only stock pipeline starts from noise: PixArt and Sana.

What an image-to-image pipeline does differently happens in two places, which are replaced in one task's copy: the
schedule is cut, and the first latents are the picture's own with the noise of that time.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

import torch
from diffusers.utils import torch_utils
from PIL import Image

_untyped: Any = torch_utils
_FAMILIES = frozenset({"PixArtAlphaPipeline", "PixArtSigmaPipeline", "SanaPipeline"})


def can_start_late(pipeline: Any) -> bool:
    return type(pipeline).__name__ in _FAMILIES


def start_late(pipeline: Any, picture: Image.Image, strength: float) -> None:
    """Make a task's own pipeline begin at `picture`, with `strength` of its steps to go."""
    scheduler = pipeline.scheduler
    schedule = _cut_schedule(scheduler, strength)

    def prepared(
        batch_size: int, channels: int, height: int, width: int, dtype: torch.dtype, device: Any, generator: Any,
        latents: Any = None,
    ) -> torch.Tensor:  # fmt: skip
        pixels = pipeline.image_processor.preprocess(picture, height=height, width=width)
        clean = _encoded(pipeline.vae, pixels.to(device), generator).to(dtype)
        noise = _untyped.randn_tensor(clean.shape, generator=generator, device=device, dtype=dtype)
        noised = _noised(scheduler, clean, noise)
        pipeline._num_timesteps = len(scheduler.timesteps)
        scheduler.timesteps = schedule[0]  # the loop has its own already; the scheduler counts from the start
        return noised

    pipeline.__dict__["prepare_latents"] = prepared


def _cut_schedule(scheduler: Any, strength: float) -> list[torch.Tensor]:
    """Once its times are set, they seem to be only the last ones. All of them will be in the list returned."""
    set_timesteps = scheduler.set_timesteps
    whole: list[torch.Tensor] = []

    @wraps(set_timesteps)
    def cut(*args: Any, **kwargs: Any) -> None:
        set_timesteps(*args, **kwargs)
        whole.append(scheduler.timesteps)
        steps = len(scheduler.timesteps) // scheduler.order
        left_out = (steps - max(1, int(steps * strength))) * scheduler.order
        scheduler.timesteps = scheduler.timesteps[left_out:]
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(left_out)

    scheduler.set_timesteps = cut
    return whole


def _encoded(vae: Any, pixels: torch.Tensor, generator: Any) -> torch.Tensor:
    found = vae.encode(pixels)
    latents = found.latent if hasattr(found, "latent") else found.latent_dist.sample(generator)
    return (latents - (getattr(vae.config, "shift_factor", None) or 0.0)) * vae.config.scaling_factor


def _noised(scheduler: Any, clean: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    time = scheduler.timesteps[:1]
    if hasattr(scheduler, "scale_noise"):
        return scheduler.scale_noise(clean, time, noise)
    return scheduler.add_noise(clean, noise, time)
