"""The label in a picture's file: whatever the prompt is, it is read back, and nothing can be smuggled in by it."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from PIL import Image

from generators.labels import COMPOSITE, GENERATED, PACKET_BYTES_MAX, TOOL, Label, encode, label, read_label
from generators.requests import ImageToImage, LoraUse, TextToImage

SMALL = Image.new("RGB", (8, 8), "red")
VALID_XML = some.characters(exclude_categories=["Cs"], exclude_characters="\ufffe\uffff").filter(
    lambda letter: letter >= " " or letter in "\t\n\r"
)
HOSTILE = some.one_of(
    some.text(VALID_XML),
    some.sampled_from(
        [
            '"/><rdf:Description rdf:about="" xmp:CreatorTool="Photoshop"/><!--',
            "]]></x:xmpmeta><?xpacket end='w'?>",
            "<!DOCTYPE x [<!ENTITY a 'b'>]>&a;",
            "&amp;#0; &lt; \r\n\t  two  spaces\n",
        ]
    ),
)


def request(kind: type[TextToImage] = TextToImage, **changes: Any) -> TextToImage:
    usual: dict[str, Any] = {
        "model": "sdxl", "prompt": "p", "width": 64, "height": 48, "steps": 4, "guidance": 3.5, "seed": 7,
    }  # fmt: skip
    return kind(**(usual | changes))


@given(HOSTILE, HOSTILE)
def test_any_prompt_survives_the_round_trip(prompt: str, negative: str) -> None:
    written = label(request(prompt=prompt, negative=negative), seed=8)
    found = read_label(encode(SMALL, written))
    assert found == written
    assert found is not None
    assert (found.tool, found.source_type, found.prompt) == (TOOL, GENERATED, prompt)


@given(some.text(some.characters()))
def test_what_xml_cannot_hold_is_replaced_not_fatal(prompt: str) -> None:
    found = read_label(encode(SMALL, label(request(prompt=prompt), seed=8)))
    assert found is not None
    assert len(found.prompt) == len(prompt)


def test_the_settings_that_make_it_again_are_there() -> None:
    said = label(request(scheduler="euler", loras=(LoraUse(name="ink", weight=0.5),)), seed=8).parameters
    assert said == {
        "model": "sdxl", "seed": "8", "steps": "4", "guidance": "3.5", "size": "64x48", "scheduler": "euler",
        "loras": "ink:0.5",
    }  # fmt: skip


def test_a_hidden_prompt_is_nowhere_in_the_file() -> None:
    hidden = request(prompt="zanzibar", negative="quagmire", reveal_prompt=False)
    data = encode(SMALL, label(hidden, seed=1))
    assert b"zanzibar" not in data
    assert b"quagmire" not in data


def test_a_persons_picture_makes_a_composite() -> None:
    assert label(request(ImageToImage, source="s"), seed=1).source_type == COMPOSITE


def test_the_file_is_an_ordinary_png_with_the_packet_where_tools_look_for_it() -> None:
    data = encode(SMALL, label(request(), seed=1, system="SDXL 1.0"))
    opened: Any = Image.open(io.BytesIO(data))
    opened.load()
    packet = opened.text["XML:com.adobe.xmp"]
    assert "Iptc4xmpExt:DigitalSourceType" in packet
    assert 'Iptc4xmpExt:AISystemUsed="SDXL 1.0"' in packet
    assert 'xmp:CreatorTool="Atelier"' in packet


@pytest.mark.parametrize(
    "packet",
    [
        b"<not xml",
        b"<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>",
        b"<x/>",
        b" " * (PACKET_BYTES_MAX + 1),
        b"\xff\xfe",
    ],
)
def test_a_packet_that_is_not_ours_is_no_label(packet: bytes) -> None:
    assert read_label(_with_packet(packet)) is None


@given(some.binary(max_size=200))
def test_reading_never_fails(noise: bytes) -> None:
    assert read_label(noise) is None
    found = read_label(_with_packet(noise))
    assert found is None or isinstance(found, Label)
    read_label(encode(SMALL, label(request(), seed=1))[: len(noise) * 3])


def _with_packet(packet: bytes) -> bytes:
    body = b"iTXtXML:com.adobe.xmp\0\0\0\0\0" + packet
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunk
