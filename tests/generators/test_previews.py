"""Previews: a picture's latents, seen through the fitted map, look like the picture."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, QwenImagePipeline
from PIL import Image

from generators import embedded, previews
from tests.generators import tiny


def vae() -> Any:
    folder = embedded.locate(embedded.TINY_EMOJI, Path())
    return AutoencoderKL.from_pretrained(folder, subfolder="vae", torch_dtype=torch.float32)


def test_a_trained_vaes_latents_show_their_colours() -> None:
    encoder = vae()
    previewer = previews.fit(encoder)
    assert previewer is not None
    halves = torch.ones(1, 3, 128, 128)
    halves[:, 1:, :, :64] = -1  # the left half red, the right one white
    with torch.inference_mode():
        latents = encoder.encode(halves).latent_dist.mean
    assert previewer.suits(latents)
    shown = np.asarray(Image.open(io.BytesIO(previewer.jpeg(latents[0])))).astype(int)
    red, white = shown[:, 20:100].mean((0, 1)), shown[:, 156:236].mean((0, 1))
    assert red[0] - red[1] > 100
    assert white.min() > 180


MEAN, STD = (
    [0.3 * number * (-1) ** number for number in range(16)],
    [0.5 + 0.2 * number for number in range(16)],
)


def column(numbers: list[float]) -> torch.Tensor:
    return torch.tensor(numbers).view(1, -1, 1, 1)


@pytest.mark.parametrize(
    ("vae", "scaled"),
    [  # of SD1.5, of SD3 and Flux, of PixArt's size, of Sana, of Qwen-Image; as their pipelines scale latents
        (lambda: tiny.plain_vae(4), lambda raw: raw * 0.18215),
        (lambda: tiny.plain_vae(16, shift=0.1), lambda raw: (raw - 0.1) * 0.18215),
        (lambda: tiny.plain_vae(4, blocks=4), lambda raw: raw * 0.18215),
        (lambda: tiny.coarse_vae(32), lambda raw: raw * 0.4),
        (
            lambda: tiny.video_vae(16, latents_mean=MEAN, latents_std=STD),
            lambda raw: (raw - column(MEAN)) / column(STD),
        ),
    ],
)
def test_a_preview_is_nearer_to_what_the_vae_makes_than_any_other_map_of_its_channels(
    vae: Callable[[], Any], scaled: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    made = vae()
    previewer = previews.fit(made)
    assert previewer is not None
    raw, decoded = seen(made)
    latents = scaled(raw)
    assert previewer.suits(latents)
    wanted = torch.nn.functional.adaptive_avg_pool2d(decoded, latents.shape[-2:]).permute(0, 2, 3, 1)

    def error(shift: int) -> float:
        shown = torch.stack([previewer.colours(each.roll(shift, 0)) for each in latents])
        return float((shown - wanted).square().mean())

    own, *others = [error(shift) for shift in range(latents.shape[1])]
    plain = float((wanted - wanted.mean((0, 1, 2))).square().mean())
    assert own < min(*others, plain)


@torch.inference_mode()
def seen(vae: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents of four pictures as the VAE has them, and what it makes of them."""
    size = 8 * getattr(vae, "spatial_compression_ratio", 8)
    coarse = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    pictures = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic")
    if hasattr(vae, "temperal_downsample"):
        raw = vae.encode(pictures.unsqueeze(2)).latent_dist.mean
        return raw[:, :, 0], vae.decode(raw).sample[:, :, 0]
    raw = vae.encode(pictures)[0]
    raw = raw if isinstance(raw, torch.Tensor) else raw.mean
    return raw, vae.decode(raw).sample


def test_a_vae_that_makes_no_numbers_or_no_latents_has_none() -> None:
    broken = vae()
    with torch.no_grad():
        broken.encoder.conv_in.weight.fill_(float("nan"))
    assert previews.fit(broken) is None
    assert previews.fit(torch.nn.Identity()) is None
    assert previews.fit(None) is None


class Packing:
    vae_scale_factor = 8
    _unpack_latents = staticmethod(QwenImagePipeline._unpack_latents)


def test_packed_latents_are_unpacked_and_strange_ones_left_alone() -> None:
    previewer = previews.fit(vae())
    assert previewer is not None
    packed = torch.zeros(1, 16, 16)
    assert previews.unpacked(object(), packed, 64, 64) is packed
    assert previews.unpacked(Packing(), packed, 72, 80) is packed
    assert previews.unpacked(Packing(), packed, 64, 64).shape == (1, 4, 8, 8)
    assert not previewer.suits(packed)
    assert not previewer.suits(torch.zeros(1, 16, 16, 16))
