"""What jobs will take is learned from what jobs took."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from bot.jobs import pricing
from bot.jobs.learning import LATEST, Timings
from generators.requests import ImageToImage, Message, WriteText
from storage import records
from storage.database import Database
from tests.bot.jobs.world import apple, world

UNITS = pricing.units(apple())
SHAPE = pricing.shape(apple())


def learn(timings: Timings, *took: float, predicted: float = 1.0) -> dict[str, float]:
    """What is told in all, in seconds a job."""
    told: dict[str, int] = {}
    for each in took:
        told |= timings.learn(apple(), predicted_us=round(predicted * 1e6), took_us=round(each * 1e6))
    return {shape: round(unit * UNITS / 1e6, 2) for shape, unit in told.items()}


def test_the_first_job_counts_only_when_a_second_is_like_it() -> None:
    timings = Timings()
    assert learn(timings, 12.0) == {}
    assert learn(timings, 3.0) == {SHAPE: 3.0, "": 3.0}
    assert learn(Timings(), 12.0, 12.0) == {SHAPE: 12.0, "": 12.0}


@given(st.permutations([2.0] * 5 + [0.001, 50.0, 300.0, 4000.0]))
def test_four_outliers_among_nine_change_nothing(took: list[float]) -> None:
    assert learn(Timings(), *took, *[2.0] * LATEST)[""] == 2.0


def test_a_device_that_became_slower_is_believed_after_five_jobs() -> None:
    timings = Timings()
    learn(timings, *[2.0] * LATEST)
    assert learn(timings, *[5.0] * 4) == {}
    assert learn(timings, 5.0) == {SHAPE: 5.0, "": 5.0}


def test_what_hardly_changes_is_not_written_again() -> None:
    timings = Timings()
    learn(timings, *[2.0] * LATEST)
    assert learn(timings, *[2.05] * LATEST) == {}


def test_shapes_are_sizes_steps_and_tokens() -> None:
    fields = {name: getattr(apple(), name) for name in apple().__struct_fields__}
    text = WriteText(model="tiny", messages=(Message(role="user", content="hi"),), max_tokens=100)
    shapes = {
        pricing.shape(request)
        for request in (
            apple(), apple(width=1024), apple(steps=50), text, ImageToImage(**fields, source="s", strength=0.5),
        )
    }  # fmt: skip
    assert len(shapes) == 5
    assert pricing.shape(apple(seed=7, prompt="else", count=4, steps=21)) == SHAPE


async def test_the_shape_is_asked_first_then_the_model(database: Database) -> None:
    await database.run(records.learn, "m", {"": 7})
    assert await database.read(records.timing, "m", "a") == 7
    await database.run(records.learn, "m", {"a": 9, "": 8})
    assert await database.read(records.timing, "m", "a") == 9
    assert await database.read(records.timing, "m", "b") == 8
    assert await database.read(records.timing, "n", "a") is None
    assert await database.read(records.timings) == {"m": 8}


async def test_finished_jobs_teach_the_price_of_device_time(database_url: str, tmp_path: Path) -> None:
    async with world(database_url, tmp_path, ATELIER_PLANS_FREE_WAITING="9") as w:
        ann = await w.person()
        asked = [await w.submit(ann, f"{number}") for number in range(3)]
        assert asked[0].job.cost_us == 600_000  # the entry's guess; the scripted engine takes 0.2 s

        async def all_done() -> bool:
            return all([await w.delivered(each.job.id) for each in asked])

        await w.live(all_done)
        assert (await w.submit(ann, "later")).job.cost_us == 200_000
