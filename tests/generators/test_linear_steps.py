"""The fast path of samplers: a step by learnt numbers is the library's own step, or the library steps itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import diffusers
import pytest
import torch

from generators import linear_steps, schedulers
from generators.linear_steps import SCHEDULES_MAX, Tables

library: Any = diffusers
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
LINEAR = ("ddim", "euler", "heun", "dpm++2m", "dpm++2m_karras")
OTHERS = sorted(set(schedulers.NAMES) - {*LINEAR, "pndm"})


def sd15(**changes: Any) -> Any:
    return library.DDIMScheduler(**BETAS, clip_sample=False, steps_offset=1, **changes)


def flow() -> Any:
    return library.FlowMatchEulerDiscreteScheduler(shift=3.0)


def pndm() -> Any:
    """Stable Diffusion's own: its Runge-Kutta start left out."""
    return library.PNDMScheduler(**BETAS, skip_prk_steps=True, steps_offset=1)


def drawn(
    scheduler: Any, *, steps: int = 9, first: int = 0, kind: torch.dtype = torch.float32
) -> torch.Tensor:
    """The latents after all steps with a model that answers with something curved, from step `first`."""
    scheduler.set_timesteps(steps)
    if first and hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first)
    chance = torch.Generator().manual_seed(4)
    latents = getattr(scheduler, "init_noise_sigma", 1.0) * torch.randn((1, 4, 6, 6), generator=chance).to(
        kind
    )
    scales = hasattr(scheduler, "scale_model_input")
    takes = inspect.signature(scheduler.step).parameters
    how = {"generator": torch.Generator().manual_seed(5)} if "generator" in takes else {}
    for time in scheduler.timesteps[first:]:
        scaled: torch.Tensor = scheduler.scale_model_input(latents, time) if scales else latents
        answer = torch.sin(scaled + time / 999).to(kind)
        latents = scheduler.step(answer, time, latents, **how, return_dict=False)[0]
        assert latents.dtype == kind
    return latents.float()


def quickened(scheduler: Any, tables: Tables) -> Any:
    linear_steps.quicken(scheduler, tables)
    return scheduler


def close(one: torch.Tensor, other: torch.Tensor, within: float = 1e-5) -> bool:
    return bool((one - other).abs().max() <= within * other.abs().max())


KINDS: list[tuple[str, Callable[[], Any]]] = [
    *((name, lambda name=name: schedulers.of_name(sd15(), name)) for name in LINEAR),
    ("v-prediction", lambda: sd15(prediction_type="v_prediction")),
    ("flow", flow),
    ("pndm", pndm),
]


@pytest.mark.parametrize("make", [make for _, make in KINDS], ids=[name for name, _ in KINDS])
@pytest.mark.parametrize("first", [0, 4])
def test_a_sampler_without_noise_steps_by_a_table(make: Callable[[], Any], first: int) -> None:
    tables: Tables = {}
    quick = drawn(quickened(make(), tables), first=first)
    assert [table is not None for table in tables.values()] == [True]
    assert close(quick, drawn(make(), first=first))


@pytest.mark.parametrize("name", OTHERS)
def test_all_others_step_as_ever(name: str) -> None:
    tables: Tables = {}
    quick = drawn(quickened(schedulers.of_name(sd15(), name), tables))
    assert [table is not None for table in tables.values()] == [False]
    assert (quick == drawn(schedulers.of_name(sd15(), name))).all()


@pytest.mark.parametrize("changes", [{"clip_sample": True}, {"thresholding": True}])
def test_what_bends_its_latents_is_no_sum(changes: dict[str, bool]) -> None:
    scheduler = library.DDIMScheduler(**BETAS, **({"clip_sample": False} | changes))
    scheduler.set_timesteps(5)
    assert linear_steps.learnt(scheduler, 0) is None


def test_asking_for_noise_is_no_plain_step() -> None:
    tables: Tables = {}
    scheduler = quickened(sd15(), tables)
    scheduler.set_timesteps(5)
    latents = torch.ones(1, 4, 2, 2)
    noisy, plain = (
        scheduler.step(latents, scheduler.timesteps[0], latents, eta=eta, return_dict=False)[0]
        for eta in (0.7, 0.0)
    )
    assert not tables
    assert not close(noisy, plain)


def test_half_precision_is_as_close_as_it_can_be() -> None:
    quick = drawn(quickened(flow(), {}), kind=torch.bfloat16)
    assert close(quick, drawn(flow(), kind=torch.bfloat16), within=0.02)


def test_latents_may_be_changed_between_steps() -> None:
    """As inpainting does, which puts the picture back outside the mask."""

    def mended(scheduler: Any) -> torch.Tensor:
        scheduler.set_timesteps(8)
        latents = torch.linspace(-1, 1, 64).view(1, 4, 4, 4)
        for time in scheduler.timesteps:
            latents = scheduler.step(latents.cos(), time, latents, return_dict=False)[0]
            latents[:, :, :2] = float(time) / 999
        return latents

    make = KINDS[3][1]
    assert close(mended(quickened(make(), {})), mended(make()))


@pytest.mark.parametrize("name", ["euler", "dpm++2m"])
def test_the_scheduler_knows_how_far_it_is(name: str) -> None:
    """Inpainting puts noise of the next step's time on the picture, and asks it for that."""

    def told(scheduler: Any) -> list[torch.Tensor]:
        scheduler.set_timesteps(7)
        scheduler.set_begin_index(3)
        latents = torch.ones(1, 4, 2, 2)
        found: list[torch.Tensor] = []
        for time in scheduler.timesteps[3:-1]:
            scheduler.scale_model_input(latents, time)
            scheduler.step(latents, time, latents, return_dict=False)
            found.append(scheduler.add_noise(latents, -latents, scheduler.timesteps[:1]))
        return found

    make = lambda: schedulers.of_name(sd15(), name)  # noqa: E731
    quick, stock = told(quickened(make(), {})), told(make())
    assert all(torch.equal(one, other) for one, other in zip(quick, stock, strict=True))


def test_learning_leaves_the_scheduler_as_it_was() -> None:
    scheduler = schedulers.of_name(sd15(), "dpm++2m")
    scheduler.set_timesteps(6)
    before = repr(scheduler.__dict__)
    assert linear_steps.learnt(scheduler, 0)
    assert repr(scheduler.__dict__) == before


def test_a_table_is_learnt_once_for_all_pictures_of_a_schedule() -> None:
    tables: Tables = {}
    for steps in (5, 6, 5, 6):
        drawn(quickened(sd15(), tables), steps=steps)
    assert len(tables) == 2


def test_schedules_without_number_do_not_fill_the_memory() -> None:
    tables: Tables = dict.fromkeys(range(SCHEDULES_MAX))
    drawn(quickened(sd15(), tables))
    assert len(tables) == 1
