"""Folders that must not be loaded: pickles, halves, strangers. Each is refused with a sentence that names it."""

from __future__ import annotations

import json
import shutil
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch

from generators import weights
from generators.engine import ModelUnavailable
from generators.models import Model
from generators.worker import Channel, Worker
from tests.generators.conftest import Bench, worker_settings

Folder = Callable[[str], Path]


@pytest.fixture
def copy(folder: Folder, tmp_path: Path) -> Callable[[str], Path]:
    return lambda name: Path(shutil.copytree(folder(name), tmp_path / name))


def refusal(bench: Bench, source: Path | str, kind: str = "image") -> str:
    with pytest.raises(ModelUnavailable) as refused:
        bench.load(Model(name="m", kind=kind, source=str(source)))  # type: ignore[arg-type]
    return str(refused.value)


@pytest.mark.parametrize("suffix", [".bin", ".ckpt", ".pt"])
def test_pickled_weights(suffix: str, copy: Callable[[str], Path], bench: Bench) -> None:
    model = copy("sd15")
    weight = next((model / "unet").glob("*.safetensors"))
    weight.rename(weight.with_suffix(suffix))
    assert "pickle" in refusal(bench, model)


def test_a_pickled_language_model(copy: Callable[[str], Path], bench: Bench) -> None:
    model = copy("llama")
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    assert "pickle" in refusal(bench, model, "text")


def test_a_missing_component(copy: Callable[[str], Path], bench: Bench) -> None:
    model = copy("sd15")
    shutil.rmtree(model / "vae")
    assert "incomplete" in refusal(bench, model)


def test_a_tokenizer_without_its_words(copy: Callable[[str], Path], bench: Bench) -> None:
    """Otherwise one is made up that knows none."""
    model = copy("sd15")
    (model / "tokenizer" / "tokenizer.json").unlink()
    (model / "tokenizer" / "vocab.json").unlink(missing_ok=True)
    assert "tokenizer has no vocabulary" in refusal(bench, model)
    shutil.rmtree(model / "tokenizer")
    assert "tokenizer has no vocabulary" in refusal(bench, model)


def test_weights_that_no_file_has(copy: Callable[[str], Path], bench: Bench) -> None:
    model = copy("sd15")
    file = next((model / "unet").glob("*.safetensors"))
    tensors = safetensors.torch.load_file(file)
    del tensors["conv_in.weight"]
    safetensors.torch.save_file(tensors, file)
    assert refusal(bench, model) == "m lacks weights of its unet: download it again."


def test_an_index_that_lists_nothing(copy: Callable[[str], Path], bench: Bench) -> None:
    model = copy("sd15")
    (model / "model_index.json").write_text("[]")
    assert "is damaged" in refusal(bench, model)


def test_a_file_that_is_cut_off(copy: Callable[[str], Path], bench: Bench) -> None:
    model = copy("sd15")
    weight = next((model / "unet").glob("*.safetensors"))
    data = weight.read_bytes()
    weight.write_bytes(data[:-1])
    assert "half downloaded" in refusal(bench, model)
    weight.write_bytes(data[:20])
    assert "not a whole safetensors" in refusal(bench, model)
    weight.write_bytes(b"<html>404</html>")
    assert "not a whole safetensors" in refusal(bench, model)


def test_a_link_to_what_was_not_downloaded(copy: Callable[[str], Path], bench: Bench) -> None:
    model = copy("sd15")
    weight = next((model / "unet").glob("*.safetensors"))
    weight.unlink()
    weight.symlink_to(model / "blobs" / "absent")
    assert "half downloaded" in refusal(bench, model)
    with pytest.raises(ModelUnavailable, match="half downloaded"):
        weights.elements(model)


def test_a_header_that_leaves_things_out(tmp_path: Path) -> None:
    for entry in ({"data_offsets": [0, 0]}, {"shape": [1]}, {"shape": ["x"], "data_offsets": [0, 0]}):
        raw = json.dumps({"a": entry}).encode()
        (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(raw)) + raw)
        with pytest.raises(ModelUnavailable, match="not a whole safetensors"):
            weights.elements(tmp_path)


def test_a_missing_shard(copy: Callable[[str], Path], bench: Bench) -> None:
    model = copy("llama")
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "model-00002-of-00002" in refusal(bench, model, "text")


def test_an_unknown_class(copy: Callable[[str], Path], bench: Bench) -> None:
    model = copy("sd15")
    index = json.loads((model / "model_index.json").read_text())
    (model / "model_index.json").write_text(json.dumps(index | {"_class_name": "TelepathyPipeline"}))
    assert "cannot be loaded" in refusal(bench, model)


def test_code_in_a_folder_is_never_run(copy: Callable[[str], Path], bench: Bench, tmp_path: Path) -> None:
    model = copy("sd15")
    trap = tmp_path / "sprung"
    (model / "trap.py").write_text(f"open({str(trap)!r}, 'w')\nclass Trap: pass\n")
    index = json.loads((model / "model_index.json").read_text())
    (model / "model_index.json").write_text(json.dumps(index | {"_class_name": ["trap", "Trap"]}))
    refusal(bench, model)
    assert not trap.exists()


def test_nothing_there(bench: Bench, tmp_path: Path) -> None:
    assert "no folder" in refusal(bench, tmp_path / "absent")
    assert "model_index.json" in refusal(bench, tmp_path)
    (tmp_path / "file.safetensors").write_bytes(b"x")
    assert "single file" in refusal(bench, tmp_path / "file.safetensors")
    assert "tiny-emoji" in refusal(bench, "embedded:nope")


def test_the_expected_size_comes_from_the_headers(bench: Bench, folder: Folder) -> None:
    for name in ("sd15", "flux"):
        runner = bench.load(Model(name="m", kind="image", source=str(folder(name))))
        assert weights.elements(folder(name)) * 4 == pytest.approx(runner.memory_bytes(), rel=0.05)
    writer = bench.load(Model(name="m", kind="text", source=str(folder("llama"))))
    assert (
        0 < weights.elements(folder("llama")) * 4 < writer.memory_bytes()
    )  # its cache of texts comes on top


def test_so_does_that_of_a_hub_id_whose_files_are_here(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with socket.socket() as unused:
        worker = Worker(Channel(unused), worker_settings())
    model = Model(name="m", kind="text", source="owner/name")
    assert worker.expected_bytes(model) == 0
    home = tmp_path / "models--owner--name"
    shutil.copytree(folder("llama"), home / "snapshots" / "abc")
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("abc")
    assert worker.expected_bytes(model) == 4 * weights.elements(folder("llama")) > 0
    (home / "snapshots" / "abc" / "model.safetensors").write_bytes(b"half")  # the hub will fetch it again
    assert worker.expected_bytes(model) == 0
