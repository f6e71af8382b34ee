"""Which waiting jobs share a pass: alike in everything that a pipeline takes once, oldest first, bounded."""

from __future__ import annotations

from typing import Any

import pytest

from generators import batching
from generators.job import Job
from generators.messages import FromWorker, Submit
from generators.requests import ImageToImage, LoraUse, Message, TextToImage, WriteText

heard: list[FromWorker] = []


def job(name: str, *, alone: bool = False, **changes: Any) -> Job:
    usual: dict[str, Any] = {
        "model": "m", "prompt": name, "width": 64, "height": 64, "steps": 4, "guidance": 1.0, "seed": len(name),
    }  # fmt: skip
    kind = ImageToImage if "source" in changes else TextToImage
    return Job(Submit(job=name, request=kind(**(usual | changes)), alone=alone), heard.append)


def chosen(*waiting: Job, batch_max: int = 4) -> list[str]:
    return [each.id for each in batching.choose(waiting, "m", batch_max)]


def test_prompts_seeds_counts_and_sources_may_differ() -> None:
    assert chosen(job("a", negative="x"), job("bb", count=2, reveal_prompt=False)) == ["a", "bb"]
    assert chosen(job("a", source="x"), job("b", source="y")) == ["a", "b"]


@pytest.mark.parametrize(
    "other",
    [{"width": 128}, {"steps": 5}, {"guidance": 2.0}, {"scheduler": "euler"}, {"loras": (LoraUse(name="l"),)},
     {"source": "x"}, {"model": "other"}],
)  # fmt: skip
def test_nothing_else_may(other: dict[str, Any]) -> None:
    assert chosen(job("a"), job("b", **other), job("c")) == ["a", "c"]


def test_strength_counts_for_pictures_from_pictures() -> None:
    assert chosen(job("a", source="x"), job("b", source="x", strength=0.9)) == ["a"]


def test_a_batch_holds_so_many_pictures_but_always_the_oldest_job() -> None:
    assert chosen(*[job(name) for name in "abcdef"]) == ["a", "b", "c", "d"]
    assert chosen(job("a", count=3), job("b", count=2), job("c")) == ["a"]
    assert chosen(job("a", count=9), job("b")) == ["a"]


def test_one_that_is_to_run_alone_does() -> None:
    assert chosen(job("a", alone=True), job("b")) == ["a"]
    assert chosen(job("a"), job("b", alone=True), job("c")) == ["a", "c"]


def test_texts_run_one_by_one() -> None:
    said = WriteText(model="m", messages=(Message(role="user", content="x"),), max_tokens=1)
    texts = [Job(Submit(job=name, request=said), heard.append) for name in "ab"]
    texts[1] = Job(Submit(job="b", request=WriteText(**_fields(said))), heard.append)
    assert chosen(*texts) == ["a"]


def _fields(request: WriteText) -> dict[str, Any]:
    return {name: getattr(request, name) for name in request.__struct_fields__}
