"""Diffusers at the edge: loading a stock pipeline, its siblings, schedulers and LoRAs. Untyped inside."""

from __future__ import annotations

import inspect
from functools import cache
from pathlib import Path
from typing import Any

import torch

from generators import families, hardware, schedulers, starts, weights
from generators.engine import LoraUnavailable, ModelUnavailable
from generators.models import Model
from generators.requests import ImageToImage, Inpaint, LoraUse, TextToImage

Loras = tuple[LoraUse, ...]
_CPU_WIDE = 256  # channels: on a CPU such UNets took 1.1 times as long channels last, narrower 0.9 to 0.98
Pipeline = Any  # diffusers.DiffusionPipeline: its classes share no typed call


class Pipelines:
    """One model's text-to-image pipeline, and the siblings that share its weights."""

    def __init__(self, text_to_image: Pipeline, model: Model) -> None:
        self._text_to_image = text_to_image
        self._siblings: dict[str, Pipeline] = {}
        self._model = model
        self._schedulers = schedulers.Schedulers(text_to_image.scheduler)
        self._adapters: dict[str, str] = {}  # LoRA -> the name that peft knows it by
        self._applied: Loras | None = ()  # None: nobody knows

    @property
    def vae(self) -> Any:
        return getattr(self._text_to_image, "vae", None)

    @property
    def denoiser(self) -> str:
        """The name of the part that is called in each step."""
        return "unet" if hasattr(self._text_to_image, "unet") else "transformer"

    @property
    def steps(self) -> Any:
        """The part itself."""
        return getattr(self._text_to_image, self.denoiser)

    def usual(self) -> TextToImage:
        """A picture of its own size in one step."""
        pipeline, model = self._text_to_image, self._model
        latents = getattr(pipeline, "default_sample_size", None) or self.steps.config.sample_size
        side = latents * pipeline.vae_scale_factor
        return TextToImage(
            model=model.name, prompt="", width=model.width or side, height=model.height or side, steps=1,
            guidance=model.guidance or 5.0, seed=0,
        )  # fmt: skip

    def memory_bytes(self) -> int:
        return sum(hardware.weight_bytes(part) for part in modules(self._text_to_image).values())

    def suiting(self, request: TextToImage) -> Pipeline:
        """Raises `ModelUnavailable` for a kind of request that the model's family knows no pipeline for."""
        match request:
            case ImageToImage() if starts.can_start_late(self._text_to_image):
                return self._text_to_image
            case Inpaint():
                return self._sibling("AutoPipelineForInpainting", "cannot redraw a part of a picture")
            case ImageToImage():
                return self._sibling("AutoPipelineForImage2Image", "cannot start from a picture")
            case _:
                return self._text_to_image

    def scheduler(self, name: str) -> Any:
        """A new one; an empty name means the model entry's, or the one it came with."""
        return self._schedulers.fresh(name or self._model.scheduler)

    def know(self, loras: Loras) -> None:
        """Load what is not yet loaded. Raises `ModelUnavailable`, and `MemoryError` if the device is too full."""
        for use in loras:
            if use.name not in self._adapters:
                self._adapters[use.name] = self._adapter(use.name)

    def adapt(self, loras: Loras) -> None:
        """Put on exactly these, which are known."""
        if loras == self._applied:
            return
        self._applied = None
        if loras:
            names = [self._adapters[use.name] for use in loras]
            self._text_to_image.enable_lora()
            self._text_to_image.set_adapters(names, adapter_weights=[use.weight for use in loras])
        else:
            self._text_to_image.disable_lora()
        self._applied = loras

    def _sibling(self, auto: str, lack: str) -> Pipeline:
        if auto not in self._siblings:
            import diffusers

            library: Any = diffusers
            try:
                sibling: Pipeline = getattr(library, auto).from_pipe(self._text_to_image)
            except Exception as error:  # whatever it misses: it reads no files
                raise ModelUnavailable(f"{self._model.name} {lack}.") from error
            sibling.set_progress_bar_config(disable=True)
            self._siblings[auto] = sibling
        return self._siblings[auto]

    def _adapter(self, lora: str) -> str:
        """A LoRA that is loaded and not put on. One that cannot be used leaves nothing behind."""
        source = self._model.loras.get(lora)
        if source is None:
            raise LoraUnavailable(f"{self._model.name} has no LoRA named {lora!r}.")
        if not hasattr(self._text_to_image, "load_lora_weights"):
            raise LoraUnavailable(f"{self._model.name} can use no LoRAs.")
        name, self._applied = f"lora{len(self._adapters)}", None
        try:
            self._load_lora(lora, _lora_place(source), name)
        except Exception:
            self._text_to_image.delete_adapters(name)
            raise
        finally:
            self._text_to_image.disable_lora()
            self._applied = ()
        return name

    def _load_lora(self, lora: str, place: dict[str, str], name: str) -> None:
        foreign = f"The LoRA {lora!r} is not for models like {self._model.name}."
        try:
            self._text_to_image.load_lora_weights(**place, adapter_name=name, use_safetensors=True)
        except Exception as error:
            if hardware.is_out_of_memory(error):
                raise MemoryError from None
            first = (str(error).splitlines() or [""])[0]
            is_foreign = isinstance(error, RuntimeError)  # its shapes are others
            broken = f"The LoRA {lora!r} of {self._model.name} cannot be used: {first[:200]}"
            raise LoraUnavailable(foreign if is_foreign else broken) from error
        known: dict[str, list[str]] = self._text_to_image.get_list_adapters()
        if not any(name in names for names in known.values()):  # diffusers leaves out what it does not know
            raise LoraUnavailable(foreign)


def load(model: Model, device: str, cache: Path) -> Pipelines:
    """Raises `ModelUnavailable`, and `MemoryError` if the device is too full."""
    source = weights.resolve(model, cache)
    if isinstance(source, Path):
        weights.check_pipeline(source)
    return Pipelines(placed(_read(model, source, device), device), model)


def placed(pipeline: Pipeline, device: str) -> Pipeline:
    """On its device, and in the form that is fastest there. Raises `MemoryError`."""
    try:
        pipeline.to(device)
        for part in modules(pipeline).values():
            if _folds_faster(part, device):
                part.to(memory_format=torch.channels_last)
    except torch.OutOfMemoryError as error:
        raise MemoryError(str(error)) from None
    _quicken_attention(pipeline)
    pipeline.set_progress_bar_config(disable=True)
    vae: Any = getattr(pipeline, "vae", None)
    if vae is not None and vae.dtype == torch.float16 and getattr(vae.config, "force_upcast", False):
        vae.to(torch.float32)  # once, not around each decoding: others may be using it then
    return pipeline


def modules(pipeline: Pipeline) -> dict[str, Any]:
    """The parts of a pipeline that are torch modules, by name."""
    return {name: part for name, part in pipeline.components.items() if isinstance(part, torch.nn.Module)}


def accepted(pipeline: Pipeline) -> dict[str, Any]:
    """The arguments that a pipeline's call takes, with their defaults."""
    return _accepted(pipeline.__class__)


@cache
def _accepted(kind: Any) -> dict[str, Any]:
    parameters = inspect.signature(kind.__call__).parameters
    return {name: parameter.default for name, parameter in parameters.items()}


def _read(model: Model, source: Path | str, device: str) -> Pipeline:
    import diffusers

    library: Any = diffusers
    options = {
        name: value for name, value in (("revision", model.revision), ("variant", model.variant)) if value
    }
    try:
        pipeline: Pipeline = library.DiffusionPipeline.from_pretrained(
            source, dtype=hardware.dtype(model, device), use_safetensors=True, **options
        )
    except (OSError, ValueError, AttributeError, ImportError, KeyError, TypeError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelUnavailable(f"{model.name} cannot be loaded: {first[:300]}") from error
    takes = accepted(pipeline)
    if "prompt" not in takes or takes.get("image", None) is inspect.Parameter.empty:
        raise ModelUnavailable(f"{model.name} is a {type(pipeline).__name__}: no text-to-image model.")
    for name, part in modules(pipeline).items():
        if any(weight.is_meta for weight in part.parameters()):
            raise ModelUnavailable(f"{model.name} lacks weights of its {name}: download it again.")
    return pipeline


def _folds_faster(part: Any, device: str) -> bool:
    """Whether its convolutions are faster with the channels of a pixel side by side."""
    kind = type(part).__name__
    if device == "cpu" and kind == "UNet2DConditionModel":
        return max(part.config.block_out_channels) < _CPU_WIDE
    return kind in families.CHANNELS_LAST


def _quicken_attention(pipeline: Pipeline) -> None:
    """At each call attention looks up what its processor takes, which is slower than the launch of it: the answer is
    put where Python looks first."""
    parts = modules(pipeline).values()
    kinds: set[Any] = {
        type(getattr(module, "processor", None)) for part in parts for module in part.modules()
    }
    for kind in kinds - {type(None)}:
        kind.__call__.__signature__ = inspect.signature(kind.__call__)


def _lora_place(source: str) -> dict[str, str]:
    """Only safetensors: a folder's only file, a file, or a hub id. Raises `LoraUnavailable`."""
    path = Path(source).expanduser()
    if path.is_file() and path.suffix == ".safetensors":
        try:
            weights.header(path)
        except ModelUnavailable as error:
            raise LoraUnavailable(str(error)) from None
        return {"pretrained_model_name_or_path_or_dict": str(path.parent), "weight_name": path.name}
    if path.is_dir():
        files = sorted(path.glob("*.safetensors"))
        if not files:
            raise LoraUnavailable(weights.without_weights(path))
        if len(files) > 1:
            raise LoraUnavailable(f"{path} should hold exactly one safetensors file; it holds {len(files)}.")
        return _lora_place(str(files[0]))
    if path.exists() or not weights.is_hub_id(source):
        raise LoraUnavailable(
            f"{path} is no {'safetensors file' if path.exists() else 'file, folder or hub id'}."
        )
    return {"pretrained_model_name_or_path_or_dict": source}
