"""The hub alone: tasks that break, cheat, or are let go do no harm to the others, and leave nothing behind."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from generators import hardware
from generators.hub import DECODED_ROWS, DECODED_ROWS_MAX, Ended, Failure, Hub, Loras, Task
from generators.profiles import Profiles
from generators.requests import LoraUse
from generators.shell import Proxy


class UNet2DConditionModel(torch.nn.Linear):
    """Of a name whose calls are joined. Doubles what it is given; dislikes some of it."""

    dtype, device = torch.float32, torch.device("cpu")

    def __init__(self) -> None:
        super().__init__(1, 1)
        self.rows: list[int] = []

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        self.rows.append(len(sample))
        if (sample == 13).any():
            raise ValueError("13")
        if len(sample) > 4 or (sample == 99).any():
            raise torch.OutOfMemoryError("CUDA out of memory")
        assert not torch.is_grad_enabled()
        return sample * 2


class Reader(torch.nn.Linear):
    """A text encoder: says three times what it reads, where the mask lets it; does not fit in the first `tries`."""

    dtype, device = torch.float32, torch.device("cpu")

    def __init__(self, tries: int = 0) -> None:
        super().__init__(1, 1)
        self.read: list[list[int]] = []
        self.tries = tries

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        self.read.append(input_ids[0].tolist())
        if len(self.read) <= self.tries:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return input_ids * attention_mask * 3


class Rig:
    def __init__(self, folder: Path) -> None:
        self.relieved: list[bool] = []
        self.hub = Hub(
            device="cpu", profiles=Profiles(folder, "x"), rows=16, adapt=lambda loras: None,
            relieve=lambda: bool(self.relieved and self.relieved.pop()), beat=lambda rows: None,
        )  # fmt: skip
        self.model = UNet2DConditionModel()
        self.proxy = Proxy("unet", self.model, self.hub)
        self.seconds = 0.0

    def add(self, work: Callable[[], Any], loras: Loras = ()) -> Task:
        task = Task(work, size=(8, 8), loras=loras, charge=self._charge)
        self.hub.add(task)
        return task

    def reading(self, reader: Reader, *words: int, mask: int = 1, loras: Loras = ()) -> Task:
        """What becomes of some words."""
        proxy, ids = Proxy("text_encoder", reader, self.hub), torch.tensor([words])
        return self.add(lambda: proxy(ids, attention_mask=ids * 0 + mask)[0].tolist(), loras)

    def steps(self, value: float, count: int = 3) -> Task:
        """A pipeline in small: each step's output is the next one's input."""

        @torch.no_grad()
        def work() -> float:
            sample = torch.full((1, 2), value)
            for step in range(count):
                sample = self.proxy(sample, torch.tensor(step))
            return float(sample[0, 0])

        return self.add(work)

    def run(self, turns: int = 30) -> dict[Task, Any]:
        ended: list[Ended] = []
        for _ in range(turns):
            ended += self.hub.turn()
        return {each.task: each.output for each in ended}

    def _charge(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_tasks_share_forwards_and_one_that_comes_later_joins_at_the_next(rig: Rig) -> None:
    first = rig.steps(1.0, 4)
    rig.hub.turn()
    second = rig.steps(5.0, 2)
    assert rig.run() == {first: 16.0, second: 20.0}
    assert rig.model.rows == [1, 2, 2, 1]


def test_one_that_breaks_a_shared_forward_fails_alone(rig: Rig) -> None:
    guilty, others = rig.steps(13.0), [rig.steps(1.0), rig.steps(2.0)]
    ended = rig.run()
    assert [ended[each] for each in others] == [8.0, 16.0]
    assert ended[guilty].code == "internal"
    assert "ValueError" in ended[guilty].message
    assert "13" not in ended[guilty].message.split(":")[0]


def test_one_that_raises_between_forwards_fails_alone(rig: Rig) -> None:
    def work() -> None:
        rig.proxy(torch.ones(1, 2), torch.tensor(1))
        raise ZeroDivisionError

    guilty, other = rig.add(work), rig.steps(1.0)
    ended = rig.run()
    assert ended[other] == 8.0
    assert ended[guilty].code == "internal"


def test_what_does_not_fit_together_is_made_in_smaller_pieces(rig: Rig) -> None:
    tasks = [rig.steps(float(value)) for value in range(1, 7)]
    ended = rig.run()
    assert [ended[task] for task in tasks] == [8.0 * value for value in range(1, 7)]
    assert rig.model.rows[0] == 6
    assert max(rig.model.rows[1:]) == 2  # a power of two that is no more than half


def test_only_what_does_not_fit_alone_fails_and_not_before_memory_was_asked_for(rig: Rig) -> None:
    rig.relieved = [True]
    big, other = rig.steps(99.0), rig.steps(1.0)
    ended = rig.run()
    assert ended[big] == Failure("out_of_memory", "")
    assert ended[other] == 8.0
    assert not rig.relieved


def test_one_that_changes_the_mode_of_all_fails_and_the_mode_is_restored(rig: Rig) -> None:
    def work() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rig.proxy(torch.ones(1, 2), torch.tensor(1))

    cheat, other = rig.add(work), rig.steps(1.0)
    ended = rig.run()
    assert ended[cheat].code == "internal"
    assert ended[other] == 8.0
    assert torch.is_grad_enabled()
    assert not torch.is_autocast_enabled("cpu")


def test_one_that_is_let_go_is_gone_at_once_with_all_it_held(rig: Rig) -> None:
    held: list[weakref.ref[torch.Tensor]] = []
    cleaned: list[str] = []

    def work() -> None:
        mine = torch.ones(1, 2)
        held.append(weakref.ref(mine))
        try:
            while True:
                rig.proxy(mine, torch.tensor(1))
        finally:
            cleaned.append("up")
            rig.proxy(mine, torch.tensor(1))  # nobody may hold up its own end

    task, other = rig.add(work), rig.steps(1.0)
    rig.hub.turn()
    rig.hub.drop(task)
    assert task.dead
    assert cleaned == ["up"]
    del task
    gc.collect()
    assert held[0]() is None
    assert list(rig.run().values()) == [8.0]
    assert not other.dead or rig.model.rows[-1] == 1
    assert torch.is_grad_enabled()


def test_the_seconds_of_all_tasks_are_those_that_were_spent(rig: Rig) -> None:
    import time

    genuine = rig.model.forward

    def slow(sample: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        time.sleep(0.01)
        return genuine(sample, timestep)

    rig.model.forward = slow  # type: ignore[method-assign]
    for value in range(1, 4):
        rig.steps(float(value))
    began = time.monotonic()
    rig.run(turns=5)
    assert rig.seconds == pytest.approx(time.monotonic() - began, rel=0.2)


@pytest.mark.parametrize("tries", [1, 3])
def test_words_that_many_share_and_that_do_not_fit_are_read_when_memory_is_freed(
    rig: Rig, tries: int
) -> None:
    rig.relieved = [True] * tries
    reader, step = Reader(tries), rig.steps(1.0)
    readers = [rig.reading(reader, 1, 2) for _ in range(2)]
    assert rig.run() == {readers[0]: [3, 6], readers[1]: [3, 6], step: 8.0}
    assert not rig.relieved


def test_words_that_never_fit_fail_those_that_wrote_them(rig: Rig) -> None:
    reader, step = Reader(tries=99), rig.steps(1.0)
    readers = [rig.reading(reader, 1, 2) for _ in range(2)]
    out = Failure("out_of_memory", "")
    assert rig.run() == {readers[0]: out, readers[1]: out, step: 8.0}


def test_equal_words_are_read_once_even_by_those_that_come_much_later(rig: Rig) -> None:
    reader = Reader()
    for _ in range(3):
        task = rig.reading(reader, 1, 2)
        assert rig.run(turns=3) == {task: [3, 6]}
    assert reader.read == [[1, 2]]


def test_equal_words_of_another_mask_or_lora_are_others(rig: Rig) -> None:
    reader, style = Reader(), LoraUse(name="style")
    said = {rig.reading(reader, 1, 2): [3, 6], rig.reading(reader, 1, 2, mask=0): [0, 0]}
    said |= {
        rig.reading(reader, 1, 2, loras=each): [3, 6]
        for each in ((style,), (LoraUse(name="style", weight=0.5),))
    }
    assert rig.run() == said
    assert len(reader.read) == 4


def test_each_pays_for_its_rows(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(10_000))
    monkeypatch.setattr("generators.hub.time.monotonic", lambda: float(next(ticks)))
    paid = {"one": 0.0, "three": 0.0}

    def add(name: str, rows: int) -> None:
        def charge(seconds: float) -> None:
            paid[name] += seconds

        work = lambda: rig.proxy(torch.ones(rows, 2), torch.tensor(1))  # noqa: E731
        rig.hub.add(Task(work, size=(8, 8), loras=(), charge=charge))

    add("one", 1)
    add("three", 3)
    rig.run(turns=1)
    begun = {
        "one": 2.0,
        "three": 2.0,
    }  # by the clock that ticks at each look: two resumptions of one second each
    assert {name: paid[name] - begun[name] for name in paid} == {"one": 0.25, "three": 0.75}


def test_a_decoding_holds_so_many_pictures_at_most(rig: Rig) -> None:
    sizes: list[int] = []

    class AutoencoderKL(Reader):
        def decode(self, z: torch.Tensor) -> tuple[torch.Tensor]:
            sizes.append(len(z))
            return (z * 2,)

    proxy = Proxy("vae", AutoencoderKL(), rig.hub)
    tasks = [rig.add(lambda: float(proxy.decode(torch.ones(1, 2))[0][0, 0])) for _ in range(20)]
    assert rig.run() == dict.fromkeys(tasks, 2.0)
    assert sizes[0] == DECODED_ROWS
    assert max(sizes) <= DECODED_ROWS_MAX


def test_an_error_on_a_device_that_is_dead_is_nobodys_and_ends_the_turn(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "works", lambda device: False)
    rig.steps(13.0)
    with pytest.raises(ValueError, match="13"):
        rig.run()
