"""Random models to measure on: a tiny one for CPUs, and denoisers and decoders of the real shapes for GPUs.

Text encoders have the real widths but one layer: their outputs are cached in service and are not what is measured.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import torch
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, T5Config, T5EncoderModel

from tests.generators import tiny

NAMES = ("tiny", "sdxl", "sd3", "flux")
library: Any = diffusers


def build(name: str, device: str) -> Any:
    """A pipeline on `device`: float32 on the CPU, else bfloat16."""
    if name == "tiny":
        with tempfile.TemporaryDirectory() as folder:
            tiny.sd15(Path(folder))
            pipeline = library.DiffusionPipeline.from_pretrained(folder, low_cpu_mem_usage=False)
    else:
        with torch.device(device):
            pipeline = {"sdxl": _sdxl, "sd3": _sd3, "flux": _flux}[name]()
    pipeline.to(device, torch.float32 if device == "cpu" else torch.bfloat16)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def step(pipeline: Any, side: int, rows: int) -> Callable[[], Any]:
    """One forward of the denoiser for `rows` rows, as the pipeline would call it."""
    caught: list[tuple[Any, dict[str, Any]]] = []
    name = "unet" if hasattr(pipeline, "unet") else "transformer"
    denoiser = getattr(pipeline, name)
    handle = denoiser.register_forward_pre_hook(
        lambda module, args, kwargs: caught.append((args, kwargs)), with_kwargs=True
    )
    pipeline(
        prompt=["a red apple"] * rows, width=side, height=side, num_inference_steps=1,
        guidance_scale=3.5 if name == "transformer" and "Flux" in type(pipeline).__name__ else 1.0,
        output_type="latent",
    )  # fmt: skip
    handle.remove()
    args, kwargs = caught[0]
    return lambda: denoiser(*args, **kwargs)


def _sdxl() -> Any:
    unet = library.UNet2DConditionModel(
        sample_size=128, block_out_channels=(320, 640, 1280), layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10), attention_head_dim=(5, 10, 20), cross_attention_dim=2048,
        use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
    )  # fmt: skip
    return library.StableDiffusionXLPipeline(
        vae=_vae(4), unet=unet, scheduler=library.EulerDiscreteScheduler(), text_encoder=_clip(768),
        tokenizer=tiny._tokenizer(), text_encoder_2=_clip(1280, projected=True), tokenizer_2=tiny._tokenizer(),
        add_watermarker=False,
    )  # fmt: skip


def _sd3() -> Any:
    transformer = library.SD3Transformer2DModel(
        sample_size=128, num_layers=24, attention_head_dim=64, num_attention_heads=24, joint_attention_dim=4096,
        caption_projection_dim=1536, pooled_projection_dim=2048, pos_embed_max_size=192,
    )  # fmt: skip
    return library.StableDiffusion3Pipeline(
        vae=_vae(16), transformer=transformer, scheduler=library.FlowMatchEulerDiscreteScheduler(shift=3.0),
        text_encoder=_clip(768, projected=True), tokenizer=tiny._tokenizer(),
        text_encoder_2=_clip(1280, projected=True), tokenizer_2=tiny._tokenizer(), text_encoder_3=_t5(),
        tokenizer_3=tiny.byte_tokenizer(),
    )  # fmt: skip


def _flux() -> Any:
    return library.FluxPipeline(
        vae=_vae(16), transformer=library.FluxTransformer2DModel(guidance_embeds=True),
        scheduler=library.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True), text_encoder=_clip(768),
        tokenizer=tiny._tokenizer(), text_encoder_2=_t5(), tokenizer_2=tiny.byte_tokenizer(),
    )  # fmt: skip


def _vae(channels: int) -> Any:
    return library.AutoencoderKL(
        latent_channels=channels, block_out_channels=(128, 256, 512, 512), layers_per_block=2,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        sample_size=1024, scaling_factor=0.13025, shift_factor=0.0,
    )  # fmt: skip


def _clip(width: int, *, projected: bool = False) -> Any:
    config = CLIPTextConfig(
        vocab_size=3506, hidden_size=width, intermediate_size=width, num_hidden_layers=2, num_attention_heads=8,
        max_position_embeddings=77, projection_dim=width, bos_token_id=3504, eos_token_id=3505, pad_token_id=3505,
    )  # fmt: skip
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)


def _t5() -> Any:
    return T5EncoderModel(
        T5Config(vocab_size=300, d_model=4096, d_kv=64, d_ff=1024, num_layers=1, num_heads=8)
    )
