"""Step-level batching: whatever shares its forwards, every picture is the one that the stock pipeline makes of it."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import diffusers
import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from generators import image, schedulers, source
from generators.engine import Host
from generators.image_call import fitted
from generators.job import Job
from generators.messages import Cancelled, Failed, FromWorker, Progress, Result, Submit
from generators.models import Model
from generators.pipelines import accepted
from generators.requests import ImageToImage, Inpaint, TextToImage
from tests.generators.conftest import FAMILIES, worker_settings

Folder = Callable[[str], Path]
Pixels = np.ndarray[Any, Any]
CLOSE = 1e-5

MIXED = [
    {"steps": 4, "guidance": 3.0},
    {"steps": 7, "guidance": 5.0, "negative": "grey, blurry", "prompt": "a blue house"},
    {"steps": 5, "guidance": 1.0, "prompt": "two dogs"},
    {"steps": 9, "guidance": 7.5, "prompt": "a lighthouse at dusk over a very long and stormy sea of night"},
    {"steps": 6, "guidance": 2.0, "width": 32, "height": 48},
]


def request(number: int, **changes: Any) -> TextToImage:
    usual: dict[str, Any] = {
        "model": "m", "prompt": "a red apple", "width": 48, "height": 32, "steps": 4, "guidance": 3.0,
        "seed": 100 + number,
    }  # fmt: skip
    return TextToImage(**(usual | changes))


def starting(kind: type[ImageToImage], plain: TextToImage, strength: float) -> ImageToImage:
    return kind(**msgspec.structs.asdict(plain), source="s", strength=strength)


@lru_cache
def png() -> bytes:
    """Of many colours, transparent in the middle."""
    noise = np.random.default_rng(5).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).resize((64, 48), Image.Resampling.BICUBIC).convert("RGBA")
    picture.paste((0, 0, 0, 0), (16, 8, 48, 40))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


class Studio:
    """An engine on one tiny model: what its pipelines returned, to the last bit, and what it said."""

    def __init__(self, folder: Path, cache: Path, **entry: Any) -> None:
        self.host = Host(worker_settings(cache=str(cache), batch_max=8))
        self.folder = folder
        self.runner = image.load(Model(name="m", kind="image", source=str(folder), **entry), self.host)
        self.heard: list[FromWorker] = []
        self.drawn: dict[str, Pixels] = {}
        self.rows: list[int] = []
        develop = self.runner._develop

        def recorded(row: Any, output: Any) -> None:
            self.drawn[f"{row.job.id}.{row.index}"] = output.images[0]
            develop(row, output)

        self.runner._develop = recorded  # type: ignore[method-assign]
        joined = self.runner._hub._joined

        def counted(calls: Sequence[Any]) -> Any:
            self.rows.append(sum(call.rows for call in calls) if calls[0].is_step else 0)
            return joined(calls)

        self.runner._hub._joined = counted  # type: ignore[method-assign]

    def job(self, name: str, wanted: TextToImage) -> Job:
        inputs = {"s": png()} if isinstance(wanted, ImageToImage) else {}
        return Job(Submit(job=name, request=wanted, inputs=inputs), self.heard.append)

    def run(self, *jobs: Job) -> None:
        for job in jobs:
            self.runner.begin(job)
        while self.runner.jobs():
            self.runner.step()

    def ending(self, job: Job) -> Result | Failed | Cancelled:
        (ending,) = [
            event
            for event in self.heard
            if isinstance(event, Result | Failed | Cancelled) and event.job == job.id
        ]
        return ending


@pytest.fixture(scope="module")
def studio(folder: Folder, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Studio]:
    @lru_cache
    def made(family: str) -> Studio:
        return Studio(folder(family), tmp_path_factory.mktemp("cache"))

    return made


@lru_cache
def stock(folder: Path, kind: type[TextToImage]) -> Any:
    library: Any = diffusers
    pipeline = library.DiffusionPipeline.from_pretrained(folder)
    if kind is ImageToImage:
        pipeline = library.AutoPipelineForImage2Image.from_pipe(pipeline)
    if kind is Inpaint:
        pipeline = library.AutoPipelineForInpainting.from_pipe(pipeline)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.__dict__["original"] = pipeline.scheduler
    return pipeline


def by_the_book(folder: Path, wanted: TextToImage) -> Pixels:
    """What the untouched pipeline makes of a request."""
    pipeline = stock(folder, type(wanted))
    pipeline.scheduler = schedulers.of_name(pipeline.__dict__["original"], wanted.scheduler)
    options: dict[str, Any] = {"negative_prompt": wanted.negative, "guidance_scale": wanted.guidance}
    if "Qwen" in type(pipeline).__name__:
        options = {"negative_prompt": wanted.negative or " ", "true_cfg_scale": wanted.guidance}
    if "Flux" in type(pipeline).__name__:
        options = {"guidance_scale": wanted.guidance}
    if isinstance(wanted, ImageToImage):
        picture, mask = source.cut_out(png())
        options |= {"image": fitted(picture, wanted), "strength": wanted.strength}
        if isinstance(wanted, Inpaint):
            options |= {"mask_image": fitted(mask, wanted)}
    if "width" in accepted(pipeline):
        options |= {"width": wanted.width, "height": wanted.height}
    generator = torch.Generator().manual_seed(wanted.seed)
    output = pipeline(
        prompt=wanted.prompt,
        num_inference_steps=wanted.steps,
        generator=generator,
        output_type="np",
        **options,
    )
    return output.images[0]


def check(studio: Studio, jobs: Sequence[Job]) -> None:
    for job in jobs:
        assert isinstance(studio.ending(job), Result), studio.ending(job)
        assert isinstance(job.request, TextToImage)
        difference = np.abs(studio.drawn[f"{job.id}.0"] - by_the_book(studio.folder, job.request)).max()
        assert difference < CLOSE, (job.request, difference)


@pytest.mark.parametrize("family", FAMILIES)
def test_unlike_requests_share_forwards_and_each_equals_itself_alone(
    family: str, studio: Callable[[str], Studio]
) -> None:
    at = studio(family)
    wanted = [request(number, **changes) for number, changes in enumerate(MIXED)]
    jobs = [at.job(f"text{number}", each) for number, each in enumerate(wanted)]
    at.rows.clear()
    at.run(*jobs)
    check(at, jobs)
    assert max(at.rows) >= (4 if family in ("flux", "qwen") else 7)


@pytest.mark.parametrize("family", [each for each in FAMILIES if each not in ("pixart", "sana")])
def test_so_does_what_starts_from_a_picture(family: str, studio: Callable[[str], Studio]) -> None:
    at = studio(family)
    wanted: list[TextToImage] = [
        starting(ImageToImage, request(number, **changes), 0.4 + 0.2 * number)
        for number, changes in enumerate(MIXED[:4])
    ]
    jobs = [at.job(f"from{number}", each) for number, each in enumerate([*wanted, request(9)])]
    at.run(*jobs)
    check(at, jobs)


@pytest.mark.parametrize("family", ["sd15", "sdxl", "sd3", "flux", "qwen"])
def test_so_does_what_redraws_a_part(family: str, studio: Callable[[str], Studio]) -> None:
    at = studio(family)
    wanted: list[TextToImage] = [
        starting(Inpaint, request(number, **changes), 1.0 - 0.3 * number)
        for number, changes in enumerate(MIXED[:3])
    ]
    jobs = [at.job(f"part{number}", each) for number, each in enumerate([*wanted, request(9)])]
    at.run(*jobs)
    check(at, jobs)


@pytest.mark.parametrize("family", ["pixart", "sana"])
def test_families_without_a_pipeline_for_it_start_from_a_picture_too(
    family: str, studio: Callable[[str], Studio]
) -> None:
    at = studio(family)
    little, much = (starting(ImageToImage, request(1, steps=10), strength) for strength in (0.1, 0.9))
    jobs = [at.job("little", little), at.job("much", much), at.job("text", request(2))]
    at.rows.clear()
    at.run(*jobs)
    assert len(at.rows) > 0
    alone = at.job("alone", little)
    at.run(alone)
    assert np.abs(at.drawn["little.0"] - at.drawn["alone.0"]).max() < CLOSE
    steps = {
        job.id: max(e.step for e in at.heard if isinstance(e, Progress) and e.job == job.id) for job in jobs
    }
    assert steps == {"little": 1, "much": 9, "text": 4}


@pytest.mark.parametrize("family", ["pixart", "sana"])
def test_and_redraw_a_part_of_one(family: str, studio: Callable[[str], Studio]) -> None:
    at = studio(family)
    wanted = [starting(Inpaint, request(number, steps=4), 1.0 - 0.5 * number) for number in range(2)]
    jobs = [at.job(f"part{number}", each) for number, each in enumerate(wanted)]
    at.run(*jobs, at.job("text", request(2)))
    before, mask = (np.asarray(fitted(each, wanted[0])) for each in source.cut_out(png()))
    for job, each in zip(jobs, wanted, strict=True):
        at.run(at.job(f"{job.id}alone", each))
        assert np.abs(at.drawn[f"{job.id}.0"] - at.drawn[f"{job.id}alone.0"]).max() < CLOSE
        ending = at.ending(job)
        assert isinstance(ending, Result)
        after = np.asarray(Image.open(io.BytesIO(ending.artifacts[0].data)))
        assert (after == before)[mask == 0].all()
        assert (after != before)[mask == 255].any()


@pytest.mark.parametrize("family", ["pixart", "sana"])
def test_what_is_kept_is_the_pictures_own_in_the_last_latents_too(
    family: str, studio: Callable[[str], Studio], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the new part would not fit to what is around it."""
    at, empty = studio(family), Image.new("L", (48, 32), "black")
    monkeypatch.setattr(image, "_start", lambda job, request: (fitted(picture, request), empty))
    for name, colour in (("red", "red"), ("blue", "blue")):
        picture = Image.new("RGB", (48, 32), colour)
        for prompt in ("a house", "two dogs"):
            at.run(at.job(f"{name} {prompt}", starting(Inpaint, request(1, prompt=prompt), 1.0)))
    assert np.abs(at.drawn["red a house.0"] - at.drawn["red two dogs.0"]).max() < CLOSE
    assert np.abs(at.drawn["red a house.0"] - at.drawn["blue a house.0"]).max() > 100 * CLOSE


def test_a_size_that_no_profile_knows_is_drawn_beside_those_that_are_known(
    folder: Folder, tmp_path: Path
) -> None:
    at = Studio(folder("sd15"), tmp_path)
    at.run(*[at.job(f"usual{number}", request(number, steps=30)) for number in range(16)])
    known = at.runner._hub.cap("unet", (48, 32))
    jobs = [at.job(f"new{number}", request(number, width=24, height=88)) for number in range(3)]
    assert at.runner._hub.cap("unet", (24, 88)) == 2 * at.host.settings.batch_max
    at.run(at.job("usual", request(7)), *jobs)
    check(at, jobs)
    assert at.runner._hub.cap("unet", (48, 32)) == known


Move = tuple[str, int]
MOVES = st.lists(
    st.tuples(st.sampled_from(["join", "cancel", "step"]), st.integers(0, len(MIXED) - 1)), max_size=14
)


@pytest.mark.parametrize("family", ["sd15", "sd3", "flux"])
def test_whoever_joins_or_leaves_when_ever_changes_nobodys_picture(
    family: str, studio: Callable[[str], Studio]
) -> None:
    at = studio(family)
    numbers = iter(range(10_000))

    @given(moves=MOVES)
    @settings(max_examples=12, deadline=None, derandomize=True, database=None)
    def holds(moves: list[Move]) -> None:
        jobs: list[Job] = []
        for move, which in moves:
            if move == "join":
                jobs.append(at.job(f"move{next(numbers)}", request(which, **MIXED[which])))
                at.runner.begin(jobs[-1])
            elif move == "cancel" and jobs:
                jobs[which % len(jobs)].cancelled = True
            at.runner.step()
        at.run()
        stayed = [job for job in jobs if not job.cancelled]
        left = [job for job in jobs if job.cancelled and f"{job.id}.0" not in at.drawn]
        assert all(isinstance(at.ending(job), Cancelled) for job in left)
        for job in stayed:
            assert isinstance(job.request, TextToImage)
            assert np.abs(at.drawn[f"{job.id}.0"] - alone(at.folder, job.request)).max() < CLOSE
        assert not at.runner._tasks
        assert not at.runner._hub._waiting

    holds()


alone = lru_cache(by_the_book)
