"""The number of rows that a forward has in service: found in spite of noise, again when the machine changes."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from generators.knee import LATER, PATIENCE, Knee
from generators.profiles import Profiles

Curve = Callable[[int], float]


def free_until(rows: int) -> Curve:
    """Up to so many rows a forward takes one second, then as much longer as it is wider."""
    return lambda asked: max(1.0, asked / rows)


def serve(knee: Knee, seconds: Curve, *, forwards: int, seed: int = 0, noise: float = 0.0) -> set[int]:
    """A busy device: every forward is full. Of ten forwards some are disturbed. The caps that were seen last."""
    chance, seen = random.Random(seed), list[int]()
    for _ in range(forwards):
        seen.append(knee.cap)
        slower = 1 + (chance.expovariate(1) * noise if chance.random() < 0.3 else 0)
        knee.note(knee.cap, seconds(knee.cap) * slower)
    return set(seen[-10:])


@pytest.mark.parametrize(("start", "knee"), [(8, 32), (8, 16), (8, 2), (64, 4), (2, 64), (1, 8), (6, 4)])
def test_from_anywhere_it_comes_to_the_knee_and_stays(start: int, knee: int) -> None:
    found = Knee(start, 64)
    serve(found, free_until(knee), forwards=300)
    assert found.rows == knee
    assert serve(found, free_until(knee), forwards=LATER // 2) == {knee}


@pytest.mark.parametrize("seed", range(20))
def test_a_machine_that_others_disturb_does_not_mislead_it_for_long(seed: int) -> None:
    found = Knee(8, 64)
    serve(found, free_until(16), forwards=20 * LATER, seed=seed, noise=2.0)
    assert found.rows == 16


def test_it_looks_again_so_it_follows_a_machine_that_changes() -> None:
    found = Knee(8, 64)
    serve(found, free_until(32), forwards=300)
    serve(found, free_until(4), forwards=6 * LATER)
    assert found.rows == 4
    serve(found, free_until(16), forwards=6 * LATER)
    assert found.rows == 16


def test_it_looks_rarely() -> None:
    found, other = Knee(16, 64), 0
    serve(found, free_until(16), forwards=300)
    for _ in range(10 * LATER):
        other += found.cap != 16
        found.note(found.cap, free_until(16)(found.cap))
    assert 0 < other < 0.03 * 10 * LATER


def test_a_gain_between_the_two_bounds_changes_nothing() -> None:
    def slightly(rows: int) -> float:
        return rows**0.8  # a doubling brings 15 % more rows a second

    for start in (4, 16):
        found = Knee(start, 64)
        serve(found, slightly, forwards=3 * LATER)
        assert found.rows == start


def test_a_trial_that_forwards_never_fill_ends_without_a_change() -> None:
    found = Knee(8, 64)
    while found.cap == 8:
        found.note(8, 1.0)
    for _ in range(PATIENCE):
        found.note(6, 1.0)
    assert (found.cap, found.rows) == (8, 8)


def test_what_cannot_be_had_in_smaller_pieces_is_not_held_to_them() -> None:
    """A guided picture has two rows, so forwards of one never happen."""
    found = Knee(2, 2)
    caps = [found.cap for _ in range(3 * LATER) if found.note(2, 1.0) in (True, False)]
    assert caps.count(1) <= 3 * PATIENCE
    assert found.rows == 2


def test_never_beyond_its_bounds_nor_what_memory_bears() -> None:
    found = Knee(8, 32)
    seen = serve(found, lambda rows: 1.0, forwards=2000)
    assert seen == {32}
    found.limit(12)
    assert serve(found, lambda rows: 1.0, forwards=2000) == {8}


class TestProfiles:
    def learn(self, profiles: Profiles) -> None:
        for _ in range(400):
            rows = profiles.cap("unet 64x64", 4)
            profiles.note("unet 64x64", rows, free_until(16)(rows))

    def test_a_size_nobody_knows_starts_as_told_and_what_is_learnt_is_for_one_size(
        self, tmp_path: Path
    ) -> None:
        profiles = Profiles(tmp_path, "model on device")
        assert profiles.cap("unet 64x64", 4) == 4
        self.learn(profiles)
        assert profiles.cap("unet 64x64", 4) == 16
        assert profiles.cap("unet 128x128", 4) == 4
        assert profiles.cap("vae.decode 64x64", 8, 2) == 2

    def test_the_next_start_begins_where_this_one_ends(self, tmp_path: Path) -> None:
        self.learn(Profiles(tmp_path, "model on device"))
        assert Profiles(tmp_path, "model on device").cap("unet 64x64", 4) == 16
        assert Profiles(tmp_path, "another model").cap("unet 64x64", 4) == 4

    def test_running_out_of_memory_halves_and_the_next_start_knows(self, tmp_path: Path) -> None:
        profiles = Profiles(tmp_path, "model on device")
        assert profiles.cap("unet", 8) == 8
        profiles.ran_out("unet", 8)
        assert profiles.cap("unet", 8) == 4
        assert Profiles(tmp_path, "model on device").cap("unet", 8) == 4
        profiles.ran_out("unet", 1)
        assert profiles.cap("unet", 8) == 1

    def test_a_damaged_or_foreign_file_is_measured_anew(self, tmp_path: Path) -> None:
        self.learn(Profiles(tmp_path, "mine"))
        (file,) = (tmp_path / "profiles").iterdir()
        whole = file.read_bytes()
        for content in (whole[:-5], b"", b"[]", msgspec.json.encode({"subject": "other", "sizes": {}})):
            file.write_bytes(content)
            assert Profiles(tmp_path, "mine").cap("unet 64x64", 8) == 8
        file.write_bytes(whole)
        assert Profiles(tmp_path, "mine").cap("unet 64x64", 8) == 16

    def test_without_a_disk_it_works_and_forgets(self, tmp_path: Path) -> None:
        (tmp_path / "profiles").write_text("a file is in the way")
        profiles = Profiles(tmp_path, "mine")
        self.learn(profiles)
        assert profiles.cap("unet 64x64", 8) == 16
