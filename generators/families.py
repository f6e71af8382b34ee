"""What is known of the families of picture models: how they differ where no signature or configuration tells.

A new family is one entry of `FAMILIES`. One that has none works too, slower and never wrong: its calls are not
joined. What a pipeline says itself is read from it instead: how it is guided (`image_call`), how much it reads
(`reading`), how its latents are packed and what they look like (`previews`).

Knows only names of classes, so that the bot can ask too: imports neither torch nor diffusers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from generators.requests import ImageToImage, Inpaint, TextToImage


@dataclass(frozen=True, kw_only=True)
class Joining:
    """How the calls of a denoiser are joined along the batch. `alike`: arguments that say the same for every row of
    one picture size, and so have no batch; `masked`: the one of words as long as a prompt, whose mask has its name."""

    alike: frozenset[str] = frozenset()
    masked: str = ""


PLAIN = Joining()


@dataclass(frozen=True, kw_only=True)
class Family:
    """`denoiser` and `decoder` are the classes of its parts that treat the rows of a batch apart; "": none that is
    known to. `steps`, `guidance` and `multiple`, of a picture's sides, are what it was made for; `distilled` are the
    steps and guidance of its kin whose denoiser has no guidance embedded."""

    denoiser: str = ""
    joining: Joining = PLAIN
    decoder: str = ""
    steps: int = 28
    guidance: float = 5.0
    distilled: tuple[int, float] | None = None
    multiple: int = 8
    starts_late: bool = False  # has no pipeline that starts from a picture, but can be made to: see `starts`
    lacks: frozenset[type[TextToImage]] = frozenset()  # kinds of request that none of its pipelines takes


UNKNOWN = Family()
_FROM_WORDS_ONLY: frozenset[type[TextToImage]] = frozenset({ImageToImage, Inpaint})
_WHOLE_ONLY: frozenset[type[TextToImage]] = frozenset({Inpaint})
_PIXART = Family(
    denoiser="PixArtTransformer2DModel", decoder="AutoencoderKL", steps=20, guidance=4.5, starts_late=True
)
_FLUX = Family(
    denoiser="FluxTransformer2DModel", joining=Joining(alike=frozenset({"img_ids", "txt_ids"})),
    decoder="AutoencoderKL", steps=28, guidance=3.5, distilled=(4, 0.0), multiple=16,
)  # fmt: skip
_FLUX2 = Family(steps=28, guidance=3.5, distilled=(4, 0.0), multiple=16, lacks=_WHOLE_ONLY)
FAMILIES = {  # by the class of the pipeline that starts from words alone
    "StableDiffusionPipeline": Family(
        denoiser="UNet2DConditionModel", decoder="AutoencoderKL", steps=25, guidance=7.5
    ),
    "StableDiffusionXLPipeline": Family(
        denoiser="UNet2DConditionModel", decoder="AutoencoderKL", steps=30, guidance=6.0
    ),
    "StableDiffusion3Pipeline": Family(
        denoiser="SD3Transformer2DModel", decoder="AutoencoderKL", steps=28, guidance=3.5
    ),
    "FluxPipeline": _FLUX,
    "FluxKontextPipeline": replace(_FLUX, lacks=_WHOLE_ONLY),
    "Flux2Pipeline": _FLUX2,
    "Flux2KleinPipeline": _FLUX2,
    "PixArtAlphaPipeline": _PIXART,
    "PixArtSigmaPipeline": _PIXART,
    "SanaPipeline": Family(
        denoiser="SanaTransformer2DModel", decoder="AutoencoderDC", steps=20, guidance=4.5, starts_late=True
    ),
    "QwenImagePipeline": Family(
        denoiser="QwenImageTransformer2DModel", joining=Joining(masked="encoder_hidden_states"),
        decoder="AutoencoderKLQwenImage", steps=30, guidance=4.0,
    ),
    # known for little but what they lack
    "QwenImage21Pipeline": Family(steps=30, guidance=4.0, lacks=_FROM_WORDS_ONLY),
    "Kandinsky3Pipeline": Family(lacks=_WHOLE_ONLY),
    "LatentConsistencyModelPipeline": Family(lacks=_WHOLE_ONLY),
    **dict.fromkeys(
        (
            "AuraFlowPipeline", "ChromaPipeline", "CogView3PlusPipeline", "CogView4Pipeline", "GlmImagePipeline",
            "HunyuanDiTPipeline", "Ideogram4Pipeline", "Krea2Pipeline", "LuminaPipeline", "Lumina2Pipeline",
            "NucleusMoEImagePipeline", "OvisImagePipeline", "PRXPipeline",
        ),
        Family(lacks=_FROM_WORDS_ONLY),
    ),
}  # fmt: skip

DENOISERS = {family.denoiser: family.joining for family in FAMILIES.values() if family.denoiser}
DECODERS = frozenset(family.decoder for family in FAMILIES.values() if family.decoder) | {
    "AutoencoderTiny"  # may stand in for several families' own
}

# Of flat convolutions, most of which run faster with the channels of a pixel side by side.
CHANNELS_LAST = frozenset({"UNet2DConditionModel", "AutoencoderKL", "AutoencoderTiny", "AutoencoderDC"})


def of(pipeline: str) -> Family:
    """Of a pipeline's class."""
    return FAMILIES.get(pipeline, UNKNOWN)


def nearest(pipeline: str) -> Family:
    """Of a pipeline's class, else of the one that its name begins like: good enough to guess by."""
    kin = [name for name in FAMILIES if pipeline.startswith(name.removesuffix("Pipeline"))]
    return of(max(kin, key=len, default=""))
