"""Previews: a picture's latents, seen through the fitted map, look like the picture."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from PIL import Image

from generators import embedded, previews


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


def test_a_vae_that_makes_no_numbers_or_no_latents_has_none(folder: Callable[[str], Path]) -> None:
    broken = vae()
    with torch.no_grad():
        broken.encoder.conv_in.weight.fill_(float("nan"))
    assert previews.fit(broken) is None
    assert previews.fit(AutoencoderTiny()) is None
    assert previews.fit(None) is None


def test_packed_and_strange_latents_are_left_alone() -> None:
    previewer = previews.fit(vae())
    assert previewer is not None
    packed = torch.zeros(1, 256, 64)
    assert previews.unpacked(object(), packed, 128, 128) is packed
    assert not previewer.suits(packed)
    assert not previewer.suits(torch.zeros(1, 16, 16, 16))
