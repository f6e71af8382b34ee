"""Real models of seven picture families and four of language, with random weights, small enough to be made on
the spot: a few hundred kilobytes each, saved as safetensors in the layout of their libraries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderDC,
    AutoencoderKL,
    AutoencoderKLQwenImage,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    SanaPipeline,
    SanaTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoTokenizer,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    Gemma2Config,
    Gemma2Model,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    T5Config,
    T5EncoderModel,
)

from generators import embedded

_TOKENIZER = embedded.locate(embedded.TINY_EMOJI, Path()) / "tokenizer"
_VOCABULARY = 3506
_BYTES: dict[str, Any] = {"vocab_size": 300, "bos_token_id": 256, "eos_token_id": 257, "pad_token_id": 257}
"""Of models that read what `byte_tokenizer` makes."""
_DECODER: dict[str, Any] = _BYTES | {
    "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4,
    "num_key_value_heads": 2,
}  # fmt: skip


def sd15(folder: Path) -> None:
    StableDiffusionPipeline(
        vae=plain_vae(4), unet=_unet(), scheduler=_ddim(), text_encoder=_clip(32), tokenizer=_tokenizer(),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(folder)  # fmt: skip


def sdxl(folder: Path) -> None:
    unet = _unet(
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 16,
    )
    StableDiffusionXLPipeline(
        vae=plain_vae(4), unet=unet, scheduler=_ddim(), text_encoder=_clip(16), tokenizer=_tokenizer(),
        text_encoder_2=_clip_projected(16), tokenizer_2=_tokenizer(), add_watermarker=False,
    ).save_pretrained(folder)  # fmt: skip


def sd3(folder: Path) -> None:
    torch.manual_seed(3)
    transformer = SD3Transformer2DModel(
        sample_size=32, patch_size=2, in_channels=16, num_layers=1, attention_head_dim=8, num_attention_heads=4,
        joint_attention_dim=32, caption_projection_dim=32, pooled_projection_dim=32, out_channels=16,
        pos_embed_max_size=32,
    )  # fmt: skip
    StableDiffusion3Pipeline(
        vae=plain_vae(16, shift=0.1), transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(),
        text_encoder=_clip_projected(16), tokenizer=_tokenizer(), text_encoder_2=_clip_projected(16),
        tokenizer_2=_tokenizer(), text_encoder_3=_t5(), tokenizer_3=byte_tokenizer(),
    ).save_pretrained(folder)  # fmt: skip


def flux(folder: Path) -> None:
    torch.manual_seed(4)
    transformer = FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16,
        num_attention_heads=2, joint_attention_dim=32, pooled_projection_dim=32, axes_dims_rope=(4, 4, 8),
        guidance_embeds=True,
    )  # fmt: skip
    FluxPipeline(
        vae=plain_vae(4, shift=0.1), transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(),
        text_encoder=_clip(32), tokenizer=_tokenizer(), text_encoder_2=_t5(), tokenizer_2=byte_tokenizer(),
    ).save_pretrained(folder)  # fmt: skip


def pixart(folder: Path) -> None:
    """Its pipeline draws in 256 x 256 whatever is asked for, and shrinks the picture."""
    torch.manual_seed(10)
    transformer = PixArtTransformer2DModel(
        sample_size=32, num_layers=1, patch_size=2, attention_head_dim=8, num_attention_heads=2, caption_channels=32,
        in_channels=4, cross_attention_dim=16, out_channels=8, norm_type="ada_norm_single",
        norm_elementwise_affine=False, norm_eps=1e-6,
    )  # fmt: skip
    PixArtSigmaPipeline(
        vae=plain_vae(4, blocks=4), transformer=transformer, scheduler=DPMSolverMultistepScheduler(),
        text_encoder=_t5(), tokenizer=byte_tokenizer(),
    ).save_pretrained(folder)  # fmt: skip


def sana(folder: Path) -> None:
    """Its pipeline draws in 512 x 512 whatever is asked for, and shrinks the picture."""
    torch.manual_seed(11)
    transformer = SanaTransformer2DModel(
        patch_size=1, in_channels=4, out_channels=4, num_layers=1, num_attention_heads=2, attention_head_dim=4,
        num_cross_attention_heads=2, cross_attention_head_dim=4, cross_attention_dim=8, caption_channels=32,
        sample_size=16,
    )  # fmt: skip
    SanaPipeline(
        vae=coarse_vae(4), transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(),
        tokenizer=byte_tokenizer(), text_encoder=_gemma(),
    ).save_pretrained(folder)  # fmt: skip


def qwen(folder: Path) -> None:
    torch.manual_seed(12)
    transformer = QwenImageTransformer2DModel(
        patch_size=2, in_channels=16, out_channels=4, num_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, axes_dims_rope=(4, 6, 6),
    )  # fmt: skip
    QwenImagePipeline(
        vae=video_vae(4, latents_mean=[0.0] * 4, latents_std=[1.0] * 4), transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(), tokenizer=byte_tokenizer(), text_encoder=_qwen_vl(),
    ).save_pretrained(folder)  # fmt: skip


def scribe(folder: Path) -> None:
    """A llama with room for what the bot says before a prompt."""
    llama(folder, context=2048)


def llama(folder: Path, context: int = 128) -> None:
    """Knows 256 bytes as tokens, with a chat template and a context of 128."""
    config = LlamaConfig(
        **_BYTES, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=context, initializer_range=0.2,
    )  # fmt: skip
    _save_language(folder, 5, LlamaForCausalLM, config)


def gpt2(folder: Path) -> None:
    """With learned positions, and attention of its own making."""
    config = GPT2Config(**_BYTES, n_embd=32, n_layer=2, n_head=2, n_positions=128, initializer_range=0.2)
    _save_language(folder, 10, GPT2LMHeadModel, config)


def mistral(folder: Path) -> None:
    """Sees the last 16 tokens only."""
    config = MistralConfig(
        **_BYTES, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, sliding_window=16, initializer_range=0.2,
    )  # fmt: skip
    _save_language(folder, 11, MistralForCausalLM, config)


def mamba(folder: Path) -> None:
    """Has no attention."""
    config = MambaConfig(
        **_BYTES, hidden_size=16, state_size=4, num_hidden_layers=1, tie_word_embeddings=False
    )
    _save_language(folder, 12, MambaForCausalLM, config)


def _save_language(folder: Path, seed: int, model: Callable[[Any], Any], config: Any) -> None:
    torch.manual_seed(seed)
    model(config).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)


def byte_tokenizer() -> Any:
    """One token a byte, so that every character beyond ASCII arrives in pieces."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: at for at, letter in enumerate(alphabet)} | {"<s>": 256, "</s>": 257}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token="</s>", model_max_length=64,
        chat_template="{% for m in messages %}{{ m.role[0] }}:{{ m.content }}\n{% endfor %}",
    )  # fmt: skip


def lora(pipeline_folder: Path, file: Path, seed: int = 6, *, parts: Sequence[str] = ("unet",)) -> None:
    """A LoRA for sd15's UNet, its text encoder or both, as peft and diffusers save it."""
    torch.manual_seed(seed)
    layers = {f"{part}_lora_layers": _adapter(pipeline_folder, part) for part in parts}
    StableDiffusionPipeline.save_lora_weights(file.parent, weight_name=file.name, **layers)


def _adapter(folder: Path, part: str) -> dict[str, Any]:
    from peft import LoraConfig, inject_adapter_in_model
    from peft.utils import get_peft_model_state_dict

    kind: Any = {"unet": UNet2DConditionModel, "text_encoder": CLIPTextModel}[part]
    targets = {"unet": ["to_q", "to_v"], "text_encoder": ["q_proj", "v_proj"]}[part]
    config = LoraConfig(r=2, target_modules=targets, init_lora_weights=False)
    return get_peft_model_state_dict(
        inject_adapter_in_model(config, kind.from_pretrained(folder, subfolder=part)), adapter_name="default"
    )


def plain_vae(channels: int, *, shift: float | None = None, blocks: int = 2) -> AutoencoderKL:
    torch.manual_seed(1)
    return AutoencoderKL(
        latent_channels=channels, block_out_channels=(8, 16, 16, 16)[:blocks], norm_num_groups=4, sample_size=64,
        down_block_types=("DownEncoderBlock2D",) * blocks, up_block_types=("UpDecoderBlock2D",) * blocks,
        shift_factor=shift,
    )  # fmt: skip


def coarse_vae(channels: int) -> AutoencoderDC:
    """Sana's: a latent stands for 32 x 32 pixels."""
    torch.manual_seed(15)
    blocks = 6  # one more than halvings of the size
    widths = (4, 4, 4, 4, max(4, channels // 4), channels)
    return AutoencoderDC(
        in_channels=3, latent_channels=channels, attention_head_dim=2, scaling_factor=0.4,
        encoder_block_types=("ResBlock",) * blocks, decoder_block_types=("ResBlock",) * blocks,
        encoder_block_out_channels=widths, decoder_block_out_channels=widths,
        encoder_qkv_multiscales=((),) * blocks, decoder_qkv_multiscales=((),) * blocks,
        encoder_layers_per_block=(1,) * blocks, decoder_layers_per_block=[1] * blocks, downsample_block_type="conv",
        upsample_block_type="interpolate", decoder_norm_types="rms_norm", decoder_act_fns="silu",
    )  # fmt: skip


def video_vae(
    channels: int, *, latents_mean: list[float], latents_std: list[float]
) -> AutoencoderKLQwenImage:
    """Qwen-Image's: a picture is a video of one frame."""
    torch.manual_seed(16)
    return AutoencoderKLQwenImage(
        base_dim=8, z_dim=channels, dim_mult=[1, 1, 1, 1], num_res_blocks=1, latents_mean=latents_mean,
        latents_std=latents_std,
    )  # fmt: skip


def _unet(**more: Any) -> UNet2DConditionModel:
    torch.manual_seed(2)
    return UNet2DConditionModel(
        sample_size=32, in_channels=4, out_channels=4, layers_per_block=1, block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=32, attention_head_dim=8, norm_num_groups=4, **more,
    )  # fmt: skip


def _ddim() -> DDIMScheduler:
    return DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1
    )


def _tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(_TOKENIZER)


def _t5() -> T5EncoderModel:
    torch.manual_seed(9)
    return T5EncoderModel(T5Config(vocab_size=300, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2))


def _gemma() -> Gemma2Model:
    torch.manual_seed(13)
    return Gemma2Model(Gemma2Config(**_DECODER, head_dim=8, query_pre_attn_scalar=8))


def _qwen_vl() -> Qwen2_5_VLForConditionalGeneration:
    torch.manual_seed(14)
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}
    vision = {
        "depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 32,
        "fullatt_block_indexes": [0],
    }  # fmt: skip
    config = Qwen2_5_VLConfig(text_config={**_DECODER, "rope_parameters": rope}, vision_config=vision)
    return Qwen2_5_VLForConditionalGeneration(config)


def _clip_config(width: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=_VOCABULARY, hidden_size=width, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=24, projection_dim=width, bos_token_id=3504, eos_token_id=3505,
        pad_token_id=3505,
    )  # fmt: skip


def _clip(width: int) -> CLIPTextModel:
    torch.manual_seed(7)
    return CLIPTextModel(_clip_config(width)).eval()


def _clip_projected(width: int) -> CLIPTextModelWithProjection:
    torch.manual_seed(8)
    return CLIPTextModelWithProjection(_clip_config(width)).eval()
