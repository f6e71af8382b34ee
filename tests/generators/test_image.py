"""The picture engine on real pipelines: what is asked comes out, and nobody's job depends on its neighbours."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import diffusers
import msgspec
import numpy as np
import pytest
import torch
from PIL import Image

from generators import schedulers
from generators.engine import Host
from generators.image import ImageRunner
from generators.image_call import fitted
from generators.labels import COMPOSITE, GENERATED, read_label
from generators.messages import Cancelled, Failed, Progress, Result
from generators.models import Model
from generators.requests import ImageToImage, TextToImage
from tests.generators.conftest import FAMILIES, Bench, run, worker_settings

Folder = Callable[[str], Path]


def request(**changes: Any) -> TextToImage:
    usual: dict[str, Any] = {
        "model": "m", "prompt": "a red apple", "width": 64, "height": 48, "steps": 4, "guidance": 3.0, "seed": 7,
    }  # fmt: skip
    return TextToImage(**(usual | changes))


def from_picture(**changes: Any) -> ImageToImage:
    plain = msgspec.structs.asdict(request())
    return ImageToImage(**(plain | {"source": "s", "strength": 0.5} | changes))


def picture(colour: str = "orange", size: tuple[int, int] = (100, 80)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


def pixels(result: Any, index: int = 0) -> np.ndarray[Any, Any]:
    assert isinstance(result, Result), result
    return np.asarray(Image.open(io.BytesIO(result.artifacts[index].data))).astype(int)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """With a cache of its own: what one test teaches about memory is not for the next."""
    return Bench(Host(worker_settings(cache=str(tmp_path / "cache"))))


@pytest.fixture
def sd15(bench: Bench, folder: Folder) -> Any:
    return bench.load(Model(name="m", kind="image", source=str(folder("sd15"))))


@pytest.mark.parametrize("family", FAMILIES)
class TestEveryFamily:
    def test_draws_in_the_size_asked_for_and_says_how_far_it_is(
        self, family: str, bench: Bench, folder: Folder
    ) -> None:
        runner = bench.load(Model(name="m", kind="image", source=str(folder(family))))
        run(runner, [bench.job("a", request())])
        assert pixels(bench.ending("a")).shape == (48, 64, 3)
        steps = [event.step for event in bench.heard if isinstance(event, Progress)]
        assert steps == [0, 1, 2, 3, 4]
        assert runner.memory_bytes() > 10_000

    def test_refuses_a_size_that_it_cannot_draw_in(self, family: str, bench: Bench, folder: Folder) -> None:
        runner = bench.load(Model(name="m", kind="image", source=str(folder(family)), multiple=16))
        sizes = {"odd": (65, 48), "half": (64, 40), "none": (0, 48), "less than none": (-16, 48)}
        jobs = [bench.job(name, request(width=w, height=h)) for name, (w, h) in sizes.items()]
        run(runner, [*jobs, bench.job("neighbour", request())])
        for name in sizes:
            ending = bench.ending(name)
            assert isinstance(ending, Failed)
            assert (ending.code, "draws in multiples of 16 pixels" in ending.message) == ("bad_input", True)
        assert pixels(bench.ending("neighbour")).shape == (48, 64, 3)

    def test_starts_from_a_picture(self, family: str, bench: Bench, folder: Folder) -> None:
        runner = bench.load(Model(name="m", kind="image", source=str(folder(family))))
        run(runner, [bench.job("a", from_picture(), {"s": picture()})])
        assert pixels(bench.ending("a")).shape == (48, 64, 3)

    def test_one_that_starts_from_a_picture_is_the_same_in_company_and_alone(
        self, family: str, bench: Bench, folder: Folder
    ) -> None:
        runner = bench.load(Model(name="m", kind="image", source=str(folder(family))))
        mine, other = from_picture(), from_picture(prompt="a blue house", seed=99)
        run(
            runner,
            [bench.job("other", other, {"s": picture("navy")}), bench.job("mine", mine, {"s": picture()})],
        )
        run(runner, [bench.job("alone", mine, {"s": picture()})])
        assert np.abs(pixels(bench.ending("mine")) - pixels(bench.ending("alone"))).max() <= 1

    def test_previews_are_small_jpegs(self, family: str, bench: Bench, folder: Folder) -> None:
        run(
            bench.load(Model(name="m", kind="image", source=str(folder(family)))), [bench.job("a", request())]
        )
        shown = [event.preview for event in bench.heard if isinstance(event, Progress) and event.preview]
        assert len(shown) == 1  # after step 2 of 4: the last step's preview would be the picture itself
        width, height = Image.open(io.BytesIO(shown[0])).size
        assert width == 256
        assert abs(height - 192) < 10  # PixArt's own nearest shape is not quite the one asked for


def test_what_folds_pictures_is_laid_out_for_speed(sd15: ImageRunner) -> None:
    loaded = sd15._pipelines
    for part in (loaded.steps.conv_in, loaded.vae.decoder.conv_in):
        assert part.weight.is_contiguous(memory_format=torch.channels_last)


def test_count_makes_the_pictures_of_consecutive_seeds(bench: Bench, sd15: ImageRunner) -> None:
    run(sd15, [bench.job("three", request(count=3))])
    run(sd15, [bench.job("second", request(seed=8))])
    result = bench.ending("three")
    assert isinstance(result, Result)
    assert [artifact.seed for artifact in result.artifacts] == [7, 8, 9]
    assert np.abs(pixels(result, 1) - pixels(bench.ending("second"))).max() <= 1
    assert (pixels(result, 0) != pixels(result, 1)).any()


def test_more_pictures_than_a_forward_holds_take_turns(bench: Bench, sd15: ImageRunner) -> None:
    run(sd15, [bench.job("a", request(count=3)), bench.job("b", request(count=4, seed=50))])
    for name, count in (("a", 3), ("b", 4)):
        ending = bench.ending(name)
        assert isinstance(ending, Result)
        assert len(ending.artifacts) == count


@pytest.mark.parametrize("name", schedulers.NAMES)
def test_every_scheduler_draws(name: str, bench: Bench, sd15: ImageRunner) -> None:
    run(sd15, [bench.job("a", request(scheduler=name))])
    assert isinstance(bench.ending("a"), Result)


def test_a_scheduler_changes_the_picture_and_only_its_own(bench: Bench, sd15: ImageRunner) -> None:
    for job, scheduler in (("before", ""), ("other", "euler_a"), ("after", "")):
        run(sd15, [bench.job(job, request(scheduler=scheduler))])
    assert (pixels(bench.ending("before")) == pixels(bench.ending("after"))).all()
    assert (pixels(bench.ending("before")) != pixels(bench.ending("other"))).any()


def test_the_file_says_that_it_is_made_by_ai_and_how(bench: Bench, sd15: ImageRunner) -> None:
    run(sd15, [bench.job("a", request()), bench.job("secret", request(reveal_prompt=False))])
    run(sd15, [bench.job("from", from_picture(), {"s": picture()})])
    labels = []
    for name in ("a", "secret", "from"):
        ending = bench.ending(name)
        assert isinstance(ending, Result)
        labels.append(read_label(ending.artifacts[0].data))
    open_, secret, composite = labels
    assert open_ is not None
    assert secret is not None
    assert composite is not None
    assert (open_.source_type, open_.prompt, open_.parameters["seed"]) == (GENERATED, "a red apple", "7")
    assert secret.prompt == ""
    assert composite.source_type == COMPOSITE


def test_a_spoilt_source_fails_alone(bench: Bench, sd15: ImageRunner) -> None:
    good, cut = picture(), picture()[:60]
    run(sd15, [bench.job("good", from_picture(), {"s": good}), bench.job("bad", from_picture(), {"s": cut}),
              bench.job("none", from_picture())])  # fmt: skip
    assert isinstance(bench.ending("good"), Result)
    for name in ("bad", "none"):
        ending = bench.ending(name)
        assert isinstance(ending, Failed)
        assert ending.code == "bad_input"


def test_what_a_pipeline_insists_on_counts_too_where_the_entry_asks_for_less(
    bench: Bench, folder: Folder
) -> None:
    runner = bench.load(Model(name="m", kind="image", source=str(folder("sd3")), multiple=1))
    run(runner, [bench.job("a", request(width=62))])  # two pixels a latent, two latents a patch
    ending = bench.ending("a")
    assert isinstance(ending, Failed)
    assert (ending.code, "multiples of 4" in ending.message) == ("bad_input", True)


def test_a_source_is_cropped_never_stretched() -> None:
    wide = Image.new("RGB", (200, 50), "white")
    wide.paste("red", (75, 0, 125, 50))  # a square in the middle
    square = fitted(wide, request(width=64, height=64))
    assert square.size == (64, 64)
    for x in (2, 61):
        assert max(np.subtract(square.getpixel((x, 32)), (255, 0, 0))) < 16


def test_a_family_that_cannot_start_from_a_picture_says_so_whoever_is_at_work(
    bench: Bench, sd15: ImageRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(pipeline: Any) -> None:
        raise ValueError("AutoPipeline can't find a pipeline linked to it")

    monkeypatch.setattr(diffusers.AutoPipelineForImage2Image, "from_pipe", unknown)
    run(
        sd15,
        [
            bench.job("a", request()),
            bench.job("b", from_picture(), {"s": picture()}),
            bench.job("c", request()),
        ],
    )
    ending = bench.ending("b")
    assert isinstance(ending, Failed)
    assert (ending.code, ending.message) == ("model_unavailable", "m cannot start from a picture.")
    assert isinstance(bench.ending("a"), Result)
    assert isinstance(bench.ending("c"), Result)


def test_invalid_numbers_spoil_only_the_job_that_has_them(
    bench: Bench, sd15: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    unet = sd15._pipelines._text_to_image.unet
    genuine = unet.forward

    @wraps(genuine)
    def second_is_spoilt(sample: torch.Tensor, *rest: Any, **more: Any) -> Any:
        (output,) = genuine(sample, *rest, **more)
        return (torch.cat([output[:2], output[2:4] * float("nan"), output[4:]]),)

    monkeypatch.setattr(unet, "forward", second_is_spoilt)  # two rows a picture, for guidance
    run(sd15, [bench.job(name, request(seed=at)) for at, name in enumerate("abc")])
    endings = [bench.ending(name) for name in "abc"]
    assert [type(ending) for ending in endings] == [Result, Failed, Result]
    assert isinstance(endings[1], Failed)
    assert endings[1].code == "bad_output"


class TestOutOfMemory:
    @staticmethod
    def bears(runner: Any, rows: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """Make the UNet run out of memory above so many rows (twice the pictures, for guidance)."""
        unet, sizes = runner._pipelines._text_to_image.unet, []
        genuine = unet.forward

        @wraps(genuine)
        def forward(sample: torch.Tensor, *rest: Any, **more: Any) -> Any:
            sizes.append(len(sample) // 2)
            if len(sample) // 2 > rows:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return genuine(sample, *rest, **more)

        monkeypatch.setattr(unet, "forward", forward)
        return sizes

    def test_halves_the_forward_and_remembers(
        self, bench: Bench, sd15: ImageRunner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run(sd15, [bench.job(f"calm{at}", request(seed=at)) for at in range(4)])
        sizes = self.bears(sd15, 2, monkeypatch)
        for round_ in ("first", "second"):
            run(sd15, [bench.job(f"{round_}{at}", request(seed=at)) for at in range(4)])
        assert sizes.count(4) == 1  # learnt in the first round
        assert max(sizes[1:]) == 2
        for at in range(4):
            assert np.abs(pixels(bench.ending(f"second{at}")) - pixels(bench.ending(f"calm{at}"))).max() <= 1

    def test_one_picture_that_does_not_fit_alone_fails(
        self, bench: Bench, sd15: ImageRunner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.bears(sd15, 0, monkeypatch)
        run(sd15, [bench.job("a", request())])
        ending = bench.ending("a")
        assert isinstance(ending, Failed)
        assert ending.code == "out_of_memory"

    def test_other_models_give_way_first(
        self, bench: Bench, sd15: ImageRunner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.bears(sd15, 0, monkeypatch)

        def relieve() -> bool:
            monkeypatch.undo()
            return True

        bench.host.relieve = relieve
        run(sd15, [bench.job("a", request())])
        assert isinstance(bench.ending("a"), Result)


class TestCancel:
    def test_a_member_of_a_batch_leaves_at_its_next_step_with_its_share(
        self, bench: Bench, sd15: Any
    ) -> None:
        leaver, stayer = bench.job("leaver", request(count=2)), bench.job("stayer", request(seed=99))
        send = leaver.send

        def cancel_after_two(event: Any) -> None:
            send(event)
            leaver.cancelled |= isinstance(event, Progress) and event.step == 2

        leaver.send = cancel_after_two
        run(sd15, [leaver, stayer])
        ending = bench.ending("leaver")
        assert isinstance(ending, Cancelled)
        assert ending.share == 0.5
        assert ending.device_seconds > 0
        assert isinstance(bench.ending("stayer"), Result)
        after = bench.heard.index(ending)
        assert any(isinstance(event, Progress) and event.job == "stayer" for event in bench.heard[after:])

    def test_what_nobody_wants_takes_no_further_step(
        self, bench: Bench, sd15: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sizes = TestOutOfMemory.bears(sd15, 9, monkeypatch)
        job = bench.job("a", request(steps=50))
        send = job.send

        def cancel_when_it_runs(event: Any) -> None:
            send(event)
            job.cancelled |= isinstance(event, Progress) and event.step == 1

        job.send = cancel_when_it_runs
        run(sd15, [job])
        assert isinstance(bench.ending("a"), Cancelled)
        assert len(sizes) == 1
