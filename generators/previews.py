"""What a half-made picture looks like, for a millisecond: a linear map from latents to colours.

Fitted by least squares to what the model's own VAE makes of its latents when the model is loaded, so it suits any.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
from PIL import Image

_SIDE = 256  # pixels of a preview's longer side
_SAMPLES = 6  # pictures, of so many latents along a side
_SAMPLE_SIDE = 8


class Previewer:
    """`mapping` is (channels + 1) x 3: latents with a 1 appended, to RGB in [-1, 1]."""

    def __init__(self, mapping: torch.Tensor) -> None:
        self._mapping = mapping

    def colours(self, latents: torch.Tensor) -> torch.Tensor:
        """(channels, height, width) to (height, width, 3)."""
        flat = latents.detach().float().cpu().permute(1, 2, 0)
        return flat @ self._mapping[:-1] + self._mapping[-1]

    def jpeg(self, latents: torch.Tensor) -> bytes:
        """`latents`: (channels, height, width)."""
        colours = self.colours(latents).nan_to_num(0).clamp(-1, 1)
        return _encoded(Image.fromarray(colours.add(1).mul(127.5).round().to(torch.uint8).numpy()))

    def suits(self, latents: torch.Tensor) -> bool:
        return latents.dim() == 4 and latents.shape[1] == self._mapping.shape[0] - 1


def fit(vae: Any) -> Previewer | None:
    """None for one that cannot encode and decode here: previews are an extra that no model fails for."""
    try:
        with torch.inference_mode():
            seen = [_seen(vae, picture[None]) for picture in _smooth_pictures(vae)]
    except (RuntimeError, AttributeError, TypeError, ValueError):
        return None
    latents, pictures = (torch.cat(each) for each in zip(*seen, strict=True))
    is_finite = bool(torch.isfinite(latents).all() and torch.isfinite(pictures).all())
    return Previewer(_mapping(latents, pictures)) if is_finite else None


def unpacked(pipeline: Any, latents: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """Latents as (batch, channels, height, width), also from the packed sequences of Flux and Qwen-Image; else as
    they are."""
    if latents.dim() != 3 or not hasattr(pipeline, "_unpack_latents"):
        return latents
    try:
        found = pipeline._unpack_latents(latents, height, width, pipeline.vae_scale_factor)
    except RuntimeError:  # of another size
        return latents
    return found.squeeze(2) if found.dim() == 5 else found


def _mapping(latents: torch.Tensor, pictures: torch.Tensor) -> torch.Tensor:
    """Least squares: latents (batch, channels, h, w) with a 1 appended -> the pictures shrunk to h x w."""
    shrunk = torch.nn.functional.adaptive_avg_pool2d(pictures, (latents.shape[-2], latents.shape[-1]))
    known = latents.permute(0, 2, 3, 1).reshape(-1, latents.shape[1])
    known = torch.nn.functional.pad(known, (0, 1), value=1.0)
    colours = shrunk.permute(0, 2, 3, 1).reshape(-1, 3)
    return torch.tensor(np.linalg.lstsq(known.numpy(), colours.numpy(), rcond=None)[0])


def _seen(vae: Any, picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A picture's latents as the denoiser works on them, and what the VAE makes of them, both (1, channels, h, w)."""
    is_timed = _is_timed(vae)
    pixels = picture.to(vae.device, vae.dtype)
    found = vae.encode(pixels.unsqueeze(2) if is_timed else pixels)
    raw = found.latent_dist.mean if hasattr(found, "latent_dist") else found.latent
    latents, made = _normal(vae, raw), vae.decode(raw).sample
    if is_timed:
        latents, made = latents.squeeze(2), made.squeeze(2)
    return latents.float().cpu(), made.float().cpu()


def _is_timed(vae: Any) -> bool:
    """Whether it is one of videos, for which a picture is one of one frame: its convolutions have three dimensions."""
    return any(weight.dim() == 5 for weight in vae.encoder.parameters())


def _normal(vae: Any, raw: torch.Tensor) -> torch.Tensor:
    """As every family's pipeline has it, from the figures that its VAE's configuration names."""
    shape = (1, -1, *(1,) * (raw.dim() - 2))
    mean, std = (
        torch.tensor(vae.config.get(name) or [neutral], device=raw.device, dtype=raw.dtype).view(shape)
        for name, neutral in (("latents_mean", 0.0), ("latents_std", 1.0))
    )
    centre = mean + (vae.config.get("shift_factor") or 0.0)
    return (raw - centre) * (vae.config.get("scaling_factor") or 1.0) / std


def _smooth_pictures(vae: Any) -> torch.Tensor:
    """Of as many colours as they have latents."""
    coarse = torch.rand(_SAMPLES, 3, _SAMPLE_SIDE, _SAMPLE_SIDE, generator=torch.Generator().manual_seed(0))
    factor: int = getattr(vae, "spatial_compression_ratio", 8)
    return torch.nn.functional.interpolate(coarse, scale_factor=factor, mode="bicubic").clamp(0, 1) * 2 - 1


def _encoded(picture: Image.Image) -> bytes:
    scale = _SIDE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    file = io.BytesIO()
    picture.resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", quality=70)
    return file.getvalue()
