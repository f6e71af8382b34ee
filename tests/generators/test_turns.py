"""Whose turn it is, how many rows a forward should have, and what is kept of words: the engine's decisions."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from generators.encodings import Encodings
from generators.profiles import Profiles
from generators.turns import AGE_TURNS, choose


@dataclass(frozen=True)
class Call:
    key: Hashable
    rows: int = 2
    is_step: bool = True
    since: int = 0


class TestTurns:
    def test_the_fullest_forward_goes_first_and_within_it_the_oldest(self) -> None:
        rare = Call("rare")
        common = [Call("common", since=at) for at in (3, 1, 2)]
        assert [call.since for call in choose([rare, *common], 3, lambda call: 4)] == [1, 2]

    def test_what_happens_once_goes_before_steps_but_steps_wait_a_few_turns_at_most(self) -> None:
        once, steps = Call("decode", is_step=False, since=5), [Call("step", since=4)] * 3
        assert choose([*steps, once], 5, lambda call: 8) == [once]
        assert choose([*steps, once], 4 + AGE_TURNS, lambda call: 8) == steps

    def test_one_that_is_wider_than_any_forward_goes_alone(self) -> None:
        assert choose([Call("a", rows=9), Call("a", rows=1)], 0, lambda call: 4) == [Call("a", rows=9)]
        assert not choose([], 0, lambda call: 4)

    @given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.integers(2, 8))
    @settings(derandomize=True, deadline=None, max_examples=60)
    def test_no_shape_starves(self, shapes: list[int], cap: int) -> None:
        """Everyone asks again as soon as served; whoever waits is served within a bounded number of turns."""
        waiting = [Call((shape, number), since=0) for number, shape in enumerate(shapes)]
        waiting = [Call(call.key[0], since=0) for call in waiting]  # type: ignore[index]
        for turn in range(1, 80):
            served = choose(waiting, turn, lambda call: cap)
            rest = [call for call in waiting if not any(call is each for each in served)]
            waiting = rest + [Call(call.key, since=turn) for call in served]
            assert max(turn - call.since for call in waiting) <= AGE_TURNS + 2 * len(shapes)


class TestProfiles:
    def test_a_size_nobody_knows_starts_as_told_then_grows_to_its_knee(self, tmp_path: Path) -> None:
        profiles = Profiles(tmp_path, "model on device")
        caps = [profiles.cap("unet 64x64", 4)]
        for _ in range(60):
            rows = profiles.cap("unet 64x64", 4)
            profiles.note("unet 64x64", rows, seconds=max(1.0, rows / 16))  # free until 16 rows, then linear
            caps.append(profiles.cap("unet 64x64", 4))
        assert list(dict.fromkeys(caps)) == [4, 8, 16, 32]
        assert caps[-1] == 16
        assert profiles.cap("unet 128x128", 4) == 4

    def test_where_sharing_gains_nothing_it_shrinks_as_smaller_ones_become_known(
        self, tmp_path: Path
    ) -> None:
        profiles = Profiles(tmp_path, "model on device")
        for rows in [2] * 10 + [4] * 10:
            profiles.note("unet", rows, seconds=float(rows))
        assert profiles.cap("unet", 8) == 2

    def test_running_out_of_memory_halves_and_the_next_start_knows(self, tmp_path: Path) -> None:
        profiles = Profiles(tmp_path, "model on device")
        profiles.ran_out("unet", 8)
        assert profiles.cap("unet", 8) == 4
        assert Profiles(tmp_path, "model on device").cap("unet", 8) == 4
        assert Profiles(tmp_path, "another model").cap("unet", 8) == 8
        profiles.ran_out("unet", 1)
        assert profiles.cap("unet", 8) == 1

    def test_a_damaged_or_foreign_file_is_measured_anew(self, tmp_path: Path) -> None:
        Profiles(tmp_path, "mine").ran_out("unet", 8)
        (file,) = (tmp_path / "profiles").iterdir()
        whole = file.read_bytes()
        for content in (whole[:-5], b"", b"[]", msgspec.json.encode({"subject": "other", "curves": {}})):
            file.write_bytes(content)
            assert Profiles(tmp_path, "mine").cap("unet", 8) == 8
        file.write_bytes(whole)
        assert Profiles(tmp_path, "mine").cap("unet", 8) == 4

    def test_without_a_disk_it_works_and_forgets(self, tmp_path: Path) -> None:
        (tmp_path / "profiles").write_text("a file is in the way")
        profiles = Profiles(tmp_path, "mine")
        profiles.ran_out("unet", 8)
        assert profiles.cap("unet", 8) == 4


def test_encodings_are_bounded_and_keep_what_is_used() -> None:
    kilobyte = torch.zeros(256)
    encodings = Encodings(bytes_max=3 * 1024)
    for key in "abc":
        encodings.keep(key, (kilobyte, None))
    assert encodings.get("a") is not None
    encodings.keep("d", {"hidden": [kilobyte]})
    assert [encodings.get(key) is not None for key in "abcd"] == [True, False, True, True]
    encodings.keep("huge", torch.zeros(10_000))
    assert encodings.get("huge") is None
