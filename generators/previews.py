"""What a half-made picture looks like, for a millisecond: a linear map from latents to colours.

Fitted by least squares to the VAE's own encoder when the model is loaded, so it suits any VAE.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
from PIL import Image

_SIDE = 256  # pixels of a preview's longer side
_SAMPLES = 16
_SAMPLE_SIDE = 64


class Previewer:
    """`mapping` is (channels + 1) x 3: latents with a 1 appended, to RGB in [-1, 1]."""

    def __init__(self, mapping: torch.Tensor) -> None:
        self._mapping = mapping

    def jpeg(self, latents: torch.Tensor) -> bytes:
        """`latents`: (channels, height, width)."""
        channels = self._mapping.shape[0] - 1
        flat = latents.detach().float().cpu().permute(1, 2, 0)
        colours = flat @ self._mapping[:channels] + self._mapping[channels]
        pixels = colours.nan_to_num(0).clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8).numpy()
        return _encoded(Image.fromarray(pixels))

    def suits(self, latents: torch.Tensor) -> bool:
        return latents.dim() == 4 and latents.shape[1] == self._mapping.shape[0] - 1


def fit(vae: Any) -> Previewer | None:
    """None for a VAE of another family than AutoencoderKL's, whose latents are no picture of their own, and for
    one that cannot encode here: previews are an extra that no model fails for."""
    if type(vae).__name__ != "AutoencoderKL":
        return None
    pictures = _smooth_pictures()
    try:
        with torch.inference_mode():
            latents = torch.cat([_latents(vae, picture[None]) for picture in pictures])
    except RuntimeError:
        return None
    return Previewer(_mapping(latents, pictures)) if bool(torch.isfinite(latents).all()) else None


def unpacked(pipeline: Any, latents: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """Latents as (batch, channels, height, width), also from Flux's packed sequence; else as they are."""
    if latents.dim() == 3 and "Flux" in type(pipeline).__name__ and hasattr(pipeline, "_unpack_latents"):
        return pipeline._unpack_latents(latents, height, width, pipeline.vae_scale_factor)
    return latents


def _mapping(latents: torch.Tensor, pictures: torch.Tensor) -> torch.Tensor:
    """Least squares: latents (batch, channels, h, w) with a 1 appended -> the pictures shrunk to h x w."""
    shrunk = torch.nn.functional.adaptive_avg_pool2d(pictures, (latents.shape[-2], latents.shape[-1]))
    known = latents.permute(0, 2, 3, 1).reshape(-1, latents.shape[1])
    known = torch.nn.functional.pad(known, (0, 1), value=1.0)
    colours = shrunk.permute(0, 2, 3, 1).reshape(-1, 3)
    return torch.tensor(np.linalg.lstsq(known.numpy(), colours.numpy(), rcond=None)[0])


def _latents(vae: Any, picture: torch.Tensor) -> torch.Tensor:
    """In the space in which the denoiser works."""
    found = vae.encode(picture.to(vae.device, vae.dtype)).latent_dist.mean.float().cpu()
    return (found - (vae.config.shift_factor or 0.0)) * vae.config.scaling_factor


def _smooth_pictures() -> torch.Tensor:
    coarse = torch.rand(_SAMPLES, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    size = (_SAMPLE_SIDE, _SAMPLE_SIDE)
    return torch.nn.functional.interpolate(coarse, size=size, mode="bicubic").clamp(0, 1) * 2 - 1


def _encoded(picture: Image.Image) -> bytes:
    scale = _SIDE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    file = io.BytesIO()
    picture.resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", quality=70)
    return file.getvalue()
