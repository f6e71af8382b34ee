"""Starting from a picture where the only stock pipeline that fits starts from noise: PixArt, Sana, the starter model.

What an image-to-image pipeline does differently happens in two places, which are replaced in one task's copy: the
schedule is cut, and the first latents are the picture's own with the noise of that time. What an inpainting
pipeline adds is that after each step the latents outside the mask are again the picture's.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

import numpy as np
import torch
from diffusers.utils import torch_utils
from PIL import Image

from generators import families

_untyped: Any = torch_utils


def can_start_late(pipeline: Any) -> bool:
    """Stable Diffusion's own inpainting takes only latents of four channels; the starter model's have six."""
    name = type(pipeline).__name__
    is_starter = name == "StableDiffusionPipeline" and pipeline.unet.config.in_channels != 4
    return is_starter or families.of(name).starts_late


def start_late(pipeline: Any, picture: Image.Image, strength: float, mask: Image.Image | None = None) -> None:
    """Make a task's own pipeline begin at `picture`, with `strength` of its steps to go; with a `mask`, only where
    that is white anything changes."""
    scheduler = pipeline.scheduler
    schedule = _cut_schedule(scheduler, strength)

    def prepared(
        batch_size: int, channels: int, height: int, width: int, dtype: torch.dtype, device: Any, generator: Any,
        latents: Any = None,
    ) -> torch.Tensor:  # fmt: skip
        pixels = pipeline.image_processor.preprocess(picture, height=height, width=width)
        clean = _encoded(pipeline.vae, pixels.to(device), generator).to(dtype)
        noise = _untyped.randn_tensor(clean.shape, generator=generator, device=device, dtype=dtype)
        noised = _noised(scheduler, clean, noise, scheduler.timesteps[:1])
        if mask is not None:
            _keep(scheduler, clean, noise, _share(mask, clean), scheduler.timesteps)
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


def _keep(
    scheduler: Any, clean: torch.Tensor, noise: torch.Tensor, share: torch.Tensor, times: torch.Tensor
) -> None:
    """After each step the picture is put back, with the noise of the next step's time: none after the last."""
    step = scheduler.step
    following = iter([*(times[at : at + 1] for at in range(1, len(times))), None])

    @wraps(step)
    def kept(*args: Any, **kwargs: Any) -> Any:
        output = step(*args, **kwargs)
        time = next(following)
        known = clean if time is None else _noised(scheduler, clean, noise, time)
        return (torch.lerp(known.to(output[0].dtype), output[0], share.to(output[0].dtype)), *output[1:])

    scheduler.step = kept


def _share(mask: Image.Image, latents: torch.Tensor) -> torch.Tensor:
    """How much of each latent is drawn anew, (1, 1, height, width) in [0, 1]: all where a pixel of it is white."""
    white = torch.tensor(np.asarray(mask, dtype=np.float32) / 255)[None, None]
    return torch.nn.functional.adaptive_max_pool2d(white, latents.shape[-2:]).to(latents.device)


def _noised(scheduler: Any, clean: torch.Tensor, noise: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
    if hasattr(scheduler, "scale_noise"):
        return scheduler.scale_noise(clean, time, noise)
    return scheduler.add_noise(clean, noise, time)
