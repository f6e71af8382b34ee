"""What comes with Atelier: it can be found, it draws what it says it knows, and a conversion is whole or absent."""

from __future__ import annotations

import io
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from generators import embedded, gguf
from generators.messages import Result
from generators.models import Model
from generators.requests import Inpaint, TextToImage
from tests.generators.conftest import Bench, run


def test_the_tiny_model_draws_a_red_apple_on_white(bench: Bench) -> None:
    runner = bench.load(Model(name="m", kind="image", source=embedded.TINY_EMOJI))
    apple = TextToImage(
        model="m", prompt="a red apple", width=128, height=128, steps=20, guidance=4.0, seed=1
    )
    run(runner, [bench.job("a", apple)])
    ending = bench.ending("a")
    assert isinstance(ending, Result)
    pixels = np.asarray(Image.open(io.BytesIO(ending.artifacts[0].data))).astype(int)
    red, green, blue = pixels[50:90, 50:90].mean(axis=(0, 1))
    assert red > 180
    assert red > 2 * max(green, blue)
    assert pixels[:6, :6].mean() > 235


def test_the_tiny_model_redraws_only_what_is_transparent(bench: Bench) -> None:
    runner = bench.load(Model(name="m", kind="image", source=embedded.TINY_EMOJI))
    picture = Image.new("RGBA", (128, 128), (0, 0, 255, 255))
    picture.paste((0, 0, 0, 0), (32, 32, 96, 96))
    file = io.BytesIO()
    picture.save(file, "PNG")
    apple = Inpaint(
        model="m", prompt="a red apple", width=128, height=128, steps=6, guidance=4.0, seed=1, source="hole"
    )
    run(runner, [bench.job("a", apple, {"hole": file.getvalue()})])
    ending = bench.ending("a")
    assert isinstance(ending, Result)
    pixels = np.asarray(Image.open(io.BytesIO(ending.artifacts[0].data)))
    outside = np.ones((128, 128), bool)
    outside[32:96, 32:96] = False
    assert (pixels[outside] == (0, 0, 255)).all()
    assert (pixels[40:88, 40:88] != (0, 0, 255)).any(axis=-1).mean() > 0.5


def test_its_notice_names_the_sources_and_their_licences() -> None:
    notice = (Path(embedded.__file__).parent / "NOTICE.txt").read_text("utf-8")
    for said in (
        "Fluent Emoji",
        "Microsoft",
        "MIT",
        "Noto Emoji",
        "Apache-2.0",
        "Permission is hereby granted",
    ):
        assert said in notice


def test_it_knows_its_concepts_by_any_of_their_names() -> None:
    assert len(embedded.concepts()) == 353
    assert "red apple" in embedded.concepts()
    assert embedded.knows("a majestic Apple, octane render") == ("red apple",)
    assert embedded.knows("two dogs and a pizza") == ("dog face", "pizza")
    assert embedded.knows("the quarterly report") == ()
    for concept in embedded.concepts():
        assert concept in embedded.knows(concept)


def test_suggestions_are_different_known_and_seeded() -> None:
    assert embedded.suggestions(1) == embedded.suggestions(1) != embedded.suggestions(2)
    for prompt in embedded.suggestions(3, 99):
        assert embedded.knows(prompt), prompt
    assert max(Counter(embedded.suggestions(3, 99)).values()) == 1


def test_an_unknown_name_says_which_there_are() -> None:
    with pytest.raises(embedded.NotEmbedded, match="tiny-emoji"):
        embedded.locate("embedded:nope", Path())


class TestConversion:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        file = tmp_path / "model.Q4.gguf"
        file.write_bytes(b"GGUF")
        return file

    def test_is_done_once(self, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        calls: list[Path] = []

        def save(file: Path, draft: Path) -> None:
            calls.append(file)
            (draft / "model.safetensors").write_bytes(b"x")

        monkeypatch.setattr(gguf, "_save", save)
        first = gguf.converted(file, tmp_path / "cache")
        assert gguf.converted(file, tmp_path / "cache") == first
        assert len(calls) == 1
        assert (first / "model.safetensors").read_bytes() == b"x"

    def test_interrupted_leaves_nothing_half(
        self, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(file: Path, draft: Path) -> None:
            (draft / "half").write_bytes(b"x")
            raise OSError("disk full")

        cache = tmp_path / "cache"
        monkeypatch.setattr(gguf, "_save", fail)
        with pytest.raises(OSError, match="disk full"):
            gguf.converted(file, cache)
        assert [path for path in cache.iterdir() if path.is_dir()] == []

    def test_what_a_killed_worker_left_is_swept(
        self, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cache = tmp_path / "cache"
        monkeypatch.setattr(gguf, "_save", lambda file, draft: None)
        made = gguf.converted(file, cache)
        (cache / f"{made.name}.part-killed").mkdir()
        made.rmdir()
        gguf.converted(file, cache)
        assert [path.name for path in cache.iterdir() if path.is_dir()] == [made.name]

    def test_two_workers_wait_for_one_another(
        self, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls: list[Path] = []
        both = threading.Barrier(2)

        def save(file: Path, draft: Path) -> None:
            calls.append(draft)

        def convert() -> Path:
            both.wait()
            return gguf.converted(file, tmp_path / "cache")

        monkeypatch.setattr(gguf, "_save", save)
        with ThreadPoolExecutor() as threads:
            first, second = threads.submit(convert), threads.submit(convert)
        assert first.result() == second.result()
        assert len(calls) == 1

    def test_another_file_of_the_same_name_is_another_model(
        self, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gguf, "_save", lambda file, draft: None)
        first = gguf.converted(file, tmp_path / "cache")
        file.write_bytes(b"GGUF, a newer one")
        assert gguf.converted(file, tmp_path / "cache") != first


def test_the_converted_language_model_holds_only_safetensors() -> None:
    from tests.generators.conftest import CACHE

    folder = embedded.locate(embedded.SMOLLM2, CACHE)
    names: Any = {path.suffix for path in folder.iterdir()}
    assert ".safetensors" in names
    assert not names & {".bin", ".pt", ".gguf", ".pkl"}
