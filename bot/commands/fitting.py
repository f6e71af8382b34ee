"""From a prompt to a request for pictures that the model and the plan allow. Pure: the seed comes from outside.

What a person left open is taken from the model's entry and made to fit; what they asked for is done or refused
with the limit, never changed behind their back (but for rounding a size to the model's grid).
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from bot.commands.prompt import Prompt
from bot.commands.refused import PromptError
from bot.config import ModelEntry, Plan, Style
from bot.jobs.limits import shaped
from bot.jobs.pricing import FALLBACK_PIXELS, FALLBACK_STEPS
from generators import scheduler_names
from generators.requests import ImageToImage, Inpaint, Kind, LoraUse, TextToImage

Size = tuple[int, int]

RATIO_MAX = 4.0
_TEXT_ONLY = {"kind": "--kind", "length": "--length", "tone": "--tone", "temperature": "--temperature"}


def choose_model(
    name: str, models: Mapping[str, ModelEntry], *, kind: Kind, plan: str, default: str
) -> ModelEntry:
    """The model that a prompt names, or the default. Raises PromptError for one that cannot be had here."""
    usable = open_to(plan, models, kind=kind)
    chosen = name or default
    if chosen in usable:
        return usable[chosen]
    found = models.get(chosen)
    code = "prompt-unknown-model" if found is None else "prompt-other-kind"
    if found is not None and found.kind == kind:
        code = "prompt-model-plan"
    raise unknown(code, "model", chosen, usable, suggest=found is None)


def fit(
    prompt: Prompt,
    model: ModelEntry,
    plan: Plan,
    *,
    seed: int,
    styles: Mapping[str, Style],
    source: str = "",
    source_size: Size | None = None,
    cut_out: bool = False,
    reveal_prompt: bool = True,
) -> TextToImage:
    """The request for this prompt; from a picture if `source` names one, of which only what is transparent is drawn
    if it is `cut_out`. Raises PromptError."""
    refuse_foreign(prompt, _TEXT_ONLY, "prompt-not-for-pictures")
    words, negative = _styled(prompt, styles)
    check_chars(prompt, model)
    width, height = _size(prompt, model, plan, source_size)
    request = TextToImage(
        model=model.name,
        prompt=words,
        negative=negative,
        width=width,
        height=height,
        steps=_steps(prompt, model, plan),
        guidance=model.guidance if prompt.guidance is None else prompt.guidance,
        seed=seed if prompt.seed is None else prompt.seed,
        count=_count(prompt, model, plan),
        scheduler=_scheduler(prompt, model),
        loras=_loras(prompt, model),
        reveal_prompt=reveal_prompt,
    )
    return _from_picture(request, prompt, model, source, cut_out=cut_out)


def refuse_foreign(prompt: Prompt, options: Mapping[str, str], code: str) -> None:
    """Raises PromptError for an option that means nothing for this kind of request."""
    for field, option in options.items():
        if getattr(prompt, field) not in (None, "", ()):
            raise PromptError(code, option=option)


def check_chars(prompt: Prompt, model: ModelEntry) -> None:
    """Raises PromptError for more words than the model reads."""
    if len(prompt.text) > model.prompt_chars_max:
        raise PromptError(
            "prompt-model-chars",
            model=title(model),
            limit=str(model.prompt_chars_max),
            count=str(len(prompt.text)),
        )


def check_limit(option: str, asked: int, *, model: ModelEntry, model_limit: int, plan_limit: int) -> None:
    """Raises PromptError for more than the model can, or than the plan allows where a higher one allows more."""
    if asked > min(model_limit, plan_limit):
        code = "prompt-plan-limit" if plan_limit < model_limit else "prompt-model-limit"
        limit = str(min(model_limit, plan_limit))
        raise PromptError(code, option=option, limit=limit, value=str(asked), model=title(model))


def open_to(plan: str, models: Mapping[str, ModelEntry], *, kind: Kind) -> dict[str, ModelEntry]:
    """The models of this kind that people on the plan may use."""
    return {
        name: model
        for name, model in models.items()
        if model.kind == kind and (not model.plans or plan in model.plans)
    }


def title(model: ModelEntry) -> str:
    """What people know the model as."""
    return model.title or model.name


def unknown(
    code: str, option: str, name: str, known: Mapping[str, object], *, suggest: bool = True
) -> PromptError:
    """The refusal of a name that is none of the `known`."""
    near = get_close_matches(name, list(known), n=1) if suggest else []
    suggestion = f"--{option} {near[0]}" if near else ""
    return PromptError(code, suggestion=suggestion, value=name, known=", ".join(known) or "–")


def _styled(prompt: Prompt, styles: Mapping[str, Style]) -> tuple[str, str]:
    """The words for the model and what it should leave out."""
    if not prompt.style:
        return prompt.text, prompt.negative
    if prompt.style not in styles:
        code = "prompt-unknown-style" if styles else "prompt-no-styles"
        raise unknown(code, "style", prompt.style, styles)
    style = styles[prompt.style]
    negatives = [part for part in (prompt.negative, style.negative) if part]
    return style.prompt.replace("{prompt}", prompt.text), ", ".join(negatives)


def _size(prompt: Prompt, model: ModelEntry, plan: Plan, source_size: Size | None) -> Size:
    limit = min(model.pixels_max, plan.pixels_max)
    if prompt.size:
        _check_pixels(prompt.size, model, plan)
        width, height = prompt.size
        return shaped(width / height, width * height, multiple=model.multiple, limit=limit)
    own = model.width * model.height or FALLBACK_PIXELS
    ratio = _ratio(prompt.aspect or source_size or (model.width or 1, model.height or model.width or 1))
    return shaped(ratio, min(own, limit), multiple=model.multiple, limit=limit)


def _check_pixels(size: Size, model: ModelEntry, plan: Plan) -> None:
    pixels, limit = size[0] * size[1], min(model.pixels_max, plan.pixels_max)
    if pixels > limit:
        raise PromptError(
            "prompt-plan-pixels" if plan.pixels_max < model.pixels_max else "prompt-model-pixels",
            model=title(model),
            limit=str(limit),
            count=str(pixels),
            value=f"{size[0]}x{size[1]}",
        )


def _ratio(shape: Size) -> float:
    return min(max(shape[0] / shape[1], 1 / RATIO_MAX), RATIO_MAX)


def _steps(prompt: Prompt, model: ModelEntry, plan: Plan) -> int:
    if prompt.steps is None:
        return min(model.steps or FALLBACK_STEPS, model.steps_max, plan.steps_max)
    check_limit("--steps", prompt.steps, model=model, model_limit=model.steps_max, plan_limit=plan.steps_max)
    return prompt.steps


def _count(prompt: Prompt, model: ModelEntry, plan: Plan) -> int:
    count = prompt.count or 1
    check_limit("--count", count, model=model, model_limit=model.count_max, plan_limit=plan.count_max)
    return count


def _scheduler(prompt: Prompt, model: ModelEntry) -> str:
    if prompt.scheduler and prompt.scheduler not in scheduler_names.NAMES:
        raise unknown("prompt-unknown-scheduler", "scheduler", prompt.scheduler, scheduler_names.NAMES)
    return prompt.scheduler or model.scheduler


def _loras(prompt: Prompt, model: ModelEntry) -> tuple[LoraUse, ...]:
    for name, _ in prompt.loras:
        if name not in model.loras:
            code = "prompt-unknown-lora" if model.loras else "prompt-no-loras"
            error = unknown(code, "lora", name, model.loras)
            error.values["model"] = title(model)
            raise error
    return tuple(LoraUse(name=name, weight=weight) for name, weight in prompt.loras)


def _from_picture(
    request: TextToImage, prompt: Prompt, model: ModelEntry, source: str, *, cut_out: bool
) -> TextToImage:
    if not source:
        refuse_foreign(prompt, {"strength": "--strength"}, "prompt-strength-alone")
        return request
    kind, usual = (Inpaint, 1.0) if cut_out else (ImageToImage, model.strength)
    strength = usual if prompt.strength is None else prompt.strength
    fields = {field: getattr(request, field) for field in request.__struct_fields__}
    return kind(**fields, source=source, strength=strength)
