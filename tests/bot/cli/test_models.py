"""Models as the operator sees them, and adding real ones: small, with random weights, run in a real worker."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

from bot import catalogue
from bot.config import ConfigError, ModelEntry
from bot.settings import load
from generators import shelf
from generators.models import Model
from storage import records
from tests.bot.cli.conftest import Atelier
from tests.bot.cli.test_doctor import spoil
from tests.generators.conftest import folder

__all__ = ["folder"]
Folder = Callable[[str], Path]

CARD = """---
license: other
license_name: tiny-community  # as its page says
tags:
- a
---
# Tiny
"""


def test_the_list_says_what_each_takes_here(atelier: Atelier, tmp_path: Path) -> None:
    assert atelier("models", "list").out == atelier("models").out
    spoil(
        f"sqlite:///{tmp_path}/data/atelier.db",
        lambda session: records.learn(session, "tiny", {"": 1_000_000}),
    )
    head, tiny, smol = atelier("models").out.splitlines()
    assert head.split() == [
        "name",
        "kind",
        "title",
        "size",
        "licence",
        "commercial",
        "limits",
        "credits",
        "seconds",
    ]
    assert "24 MB" in tiny
    assert tiny.endswith("  0.3")
    assert smol.endswith("  8.0 (guess)")


def test_a_picture_model_is_tried_and_appended(atelier: Atelier, folder: Folder, tmp_path: Path) -> None:
    model = tmp_path / "a model"
    shutil.copytree(folder("sd15"), model)
    (model / "README.md").write_text(CARD)
    said = atelier("models", "add", "my-sd", "a model", "--steps", 2, "--write", ATELIER_POOL_DEVICES="cpu")
    assert said.code == 0, said.err
    assert "licence   tiny-community" in said.out
    assert "measured on this CPU" in said.out
    printed = tomllib.loads(said.out[said.out.index("[models.") : said.out.index("\nAppended")])
    entry = load(tmp_path / "config.toml", {}).models["my-sd"]
    assert printed["models"]["my-sd"]["seconds"] == entry.seconds > 0
    assert (entry.kind, entry.source, entry.steps, entry.plans) == ("image", str(model), 2, ("free",))
    assert entry.width % entry.multiple == 0
    assert "my-sd" in atelier("models").out
    assert "tiny" in atelier("models").out
    assert "already" in atelier("models", "add", "my-sd", "a model").complaint


def test_a_text_model_is_tried(atelier: Atelier, folder: Folder) -> None:
    said = atelier("models", "add", "wee", folder("llama"), "--licence", "MIT", "--commercial")
    assert said.code == 0, said.err
    entry = tomllib.loads(said.out[said.out.index("[models.") :])["models"]["wee"]
    assert (entry["kind"], entry["licence"], entry["commercial"]) == ("text", "MIT", True)
    assert "100 tokens" in said.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("x", "nowhere"), "no folder nowhere"),
        (("x", "owner/name"), "--kind image or --kind text"),
        (("x", "empty"), "neither model_index.json"),
        (("x", "pickled"), "pickle"),
        (("X y", "empty"), "small letters"),
        (("tiny", "empty"), "a model tiny already"),
        (("x", "empty", "--kind", "imgae"), "--kind is image or text"),
        (("x", "empty", "--size", "big"), "1024x1024"),
        (("x", "cut"), "half downloaded"),
    ],
)
def test_what_cannot_be_a_model_is_refused_before_a_worker_starts(
    atelier: Atelier, folder: Folder, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    (tmp_path / "empty").mkdir()
    shutil.copytree(folder("llama"), tmp_path / "pickled")
    (tmp_path / "pickled/model.safetensors").rename(tmp_path / "pickled/pytorch_model.bin")
    shutil.copytree(folder("llama"), tmp_path / "cut")
    weights = tmp_path / "cut/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert words in atelier("models", "add", *arguments).complaint


def test_a_model_that_does_not_fit_is_one_sentence(atelier: Atelier, folder: Folder) -> None:
    said = atelier("models", "add", "x", folder("llama"), ATELIER_POOL_MEMORY_GB="0.00001")
    assert said.code == 2
    assert "atelier: x needs" in said.err
    assert "Traceback" not in said.err


# --- the entry in config.toml -------------------------------------------------------------------------------


def entry(**changes: object) -> ModelEntry:
    usual: dict[str, object] = {"name": "x", "kind": "image", "source": "o/n", "plans": ("free",)}
    return ModelEntry(**(usual | changes))  # type: ignore[arg-type]


def test_a_block_reads_back_as_what_it_was(tmp_path: Path) -> None:
    odd = entry(
        title='a "b" \\ 漢字 \x7f\n',
        loras={"ink": 'x"/y'},
        guidance=4.5,
        steps=3,
        width=64,
        height=64,
        seconds=1e-05,
    )
    (tmp_path / "c.toml").write_text("[models.tiny]\n[models.smol]\n" + catalogue.block(odd))
    assert load(tmp_path / "c.toml", {}).models["x"] == odd


def test_writing_keeps_the_rest_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("# mine\n[web]\nport = 9 # nine\n")
    path.chmod(0o640)
    (tmp_path / "link.toml").symlink_to(path)
    catalogue.write(tmp_path / "link.toml", entry(), {})
    assert path.read_text().startswith(
        "# mine\n[web]\nport = 9 # nine\n\n[models.tiny]\n[models.smol]\n\n[models.x]\n"
    )
    assert (path.stat().st_mode & 0o777, (tmp_path / "link.toml").is_symlink()) == (0o640, True)
    catalogue.write(path, entry(name="y"), {})
    assert set(load(path, {}).models) == {"tiny", "smol", "x", "y"}
    with pytest.raises(ConfigError, match="stands in"):
        catalogue.write(path, entry(), {})


def test_an_entry_that_would_break_the_file_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("# mine\n")
    with pytest.raises(ConfigError, match="commercial"):
        catalogue.write(path, entry(plans=()), {})
    assert path.read_text() == "# mine\n"
    assert [each.name for each in tmp_path.iterdir()] == ["c.toml"]


# --- what lies on the shelf ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        (CARD, "tiny-community"),
        ("---\nlicense: apache-2.0\n---\n", "apache-2.0"),
        ("---\nlicense: 'mit'\n---", "mit"),
        ("---\nlicense: other\n---\n", ""),
        ("license: mit\n", ""),
        ("", ""),
        ("---\n", ""),
        ("---\ntext: |\n  license: no\n---\n", ""),
    ],
)
def test_the_licence_is_what_the_card_says(tmp_path: Path, card: str, licence: str) -> None:
    (tmp_path / "README.md").write_text(card)
    assert shelf.licence(tmp_path) == licence
    (tmp_path / "LICENSE.txt").touch()
    assert shelf.licence(tmp_path) == (licence or "see LICENSE.txt")


@pytest.mark.parametrize(
    ("family", "steps", "multiple"), [("sd15", 25, 8), ("sdxl", 30, 8), ("sd3", 28, 8), ("flux", 28, 16)]
)
def test_a_pictures_own_size_and_steps(folder: Folder, family: str, steps: int, multiple: int) -> None:
    own = shelf.own(folder(family))
    assert (own.steps, own.multiple) == (steps, multiple)
    assert own.width == own.height
    assert own.width % multiple == 0
    assert own.width**2 <= shelf.PIXELS_MAX


def test_a_damaged_index_is_guessed_at_not_trusted(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    for text in (
        "{",
        "[]",
        json.dumps({"sample_size": "x"}),
        json.dumps({"sample_size": 10**9}),
        '{"sample_size": []}',
    ):
        (tmp_path / "unet/config.json").write_text(text)
        (tmp_path / "model_index.json").write_text(text)
        assert shelf.own(tmp_path) == shelf.Own()


def test_a_downloaded_hub_id_is_found_in_the_hubs_cache(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    model = Model(name="x", kind="text", source="owner/name")
    assert shelf.place(model) is None
    home = tmp_path / "models--owner--name"
    shutil.copytree(folder("llama"), home / "snapshots/abc")
    (home / "refs").mkdir()
    (home / "refs/main").write_text("abc")
    assert shelf.place(model) == home / "snapshots/abc"
    assert shelf.kind("owner/name") == "text"
    size = shelf.memory_bytes(model, "cpu")
    weights = load_file(home / "snapshots/abc/model.safetensors")
    assert size == 4 * sum(each.size for each in weights.values())
    assert shelf.memory_bytes(model, "cuda:0") == size // 2
    save_file(weights, home / "snapshots/abc/model.safetensors")
    assert shelf.fault(model) == ""
