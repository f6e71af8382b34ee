"""The label inside every picture: an XMP packet that says it is AI-made, by what and with which settings.

Vocabulary: IPTC Photo Metadata 2025.1 (DigitalSourceType, AISystemUsed, AIPromptInformation) and xmp:CreatorTool;
our own namespace holds the settings that make the picture again. All values are attributes of one
rdf:Description: attributes keep line breaks, element text does not.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from xml.etree import ElementTree

import msgspec
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from generators.requests import ImageToImage, TextToImage

GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
TOOL = "Atelier"
PACKET_BYTES_MAX = 256 * 1024

_KEYWORD = "XML:com.adobe.xmp"
_X = "adobe:ns:meta/"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_XMP = "http://ns.adobe.com/xap/1.0/"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_OWN = "urn:atelier:parameters:1.0/"
_PREFIXES = {"x": _X, "rdf": _RDF, "xmp": _XMP, "Iptc4xmpExt": _IPTC, "atelier": _OWN}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """What a label says. `parameters`: model, seed, steps and so on, as text; `prompt` is empty if not revealed."""

    source_type: str
    tool: str
    system: str
    prompt: str = ""
    parameters: dict[str, str] = {}


def label(request: TextToImage, *, seed: int, system: str = "") -> Label:
    """The label of the picture that `request` makes with `seed`; `system` names the AI system, else the model."""
    return Label(
        source_type=COMPOSITE if isinstance(request, ImageToImage) else GENERATED,
        tool=TOOL,
        system=system or request.model,
        prompt=request.prompt if request.reveal_prompt else "",
        parameters=_parameters(request, seed),
    )


def encode(picture: Image.Image, what: Label) -> bytes:
    """The picture as PNG with its label."""
    info = PngInfo()
    info.add_itxt(_KEYWORD, packet(what))
    file = io.BytesIO()
    picture.save(file, "PNG", pnginfo=info, compress_level=4)
    return file.getvalue()


def packet(what: Label) -> str:
    """The XMP packet as XML text. What XML cannot carry (control characters) becomes U+FFFD."""
    for prefix, uri in _PREFIXES.items():
        ElementTree.register_namespace(prefix, uri)
    meta = ElementTree.Element(f"{{{_X}}}xmpmeta")
    description = ElementTree.SubElement(
        ElementTree.SubElement(meta, f"{{{_RDF}}}RDF"), f"{{{_RDF}}}Description", {f"{{{_RDF}}}about": ""}
    )
    for name, value in _attributes(what):
        description.set(name, _NOT_XML.sub("\ufffd", value))
    body = ElementTree.tostring(meta, encoding="unicode")
    return f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{body}<?xpacket end="r"?>'


def read_label(data: bytes) -> Label | None:
    """The label of a PNG, or None where there is none that can be read. Never decodes pixels."""
    raw = next(_packets(data), None)
    if raw is None or len(raw) > PACKET_BYTES_MAX or b"<!DOCTYPE" in raw:
        return None
    try:
        root = ElementTree.fromstring(raw)  # noqa: S314 - bounded, and no DOCTYPE means no entities
        found = root.find(f".//{{{_RDF}}}Description")
    except (ElementTree.ParseError, ValueError):
        return None
    return None if found is None else _label_of(found.attrib)


def _parameters(request: TextToImage, seed: int) -> dict[str, str]:
    said = {
        "model": request.model,
        "seed": str(seed),
        "steps": str(request.steps),
        "guidance": f"{request.guidance:g}",
        "size": f"{request.width}x{request.height}",
        "scheduler": request.scheduler,
        "loras": ", ".join(f"{use.name}:{use.weight:g}" for use in request.loras),
        "strength": f"{request.strength:g}" if isinstance(request, ImageToImage) else "",
        "negative": request.negative if request.reveal_prompt else "",
    }
    return {name: value for name, value in said.items() if value}


def _attributes(what: Label) -> Iterator[tuple[str, str]]:
    yield f"{{{_IPTC}}}DigitalSourceType", what.source_type
    yield f"{{{_XMP}}}CreatorTool", what.tool
    yield f"{{{_IPTC}}}AISystemUsed", what.system
    if what.prompt:
        yield f"{{{_IPTC}}}AIPromptInformation", what.prompt
    for name, value in what.parameters.items():
        yield f"{{{_OWN}}}{name}", value


def _label_of(attributes: dict[str, str]) -> Label:
    own = f"{{{_OWN}}}"
    return Label(
        source_type=attributes.get(f"{{{_IPTC}}}DigitalSourceType", ""),
        tool=attributes.get(f"{{{_XMP}}}CreatorTool", ""),
        system=attributes.get(f"{{{_IPTC}}}AISystemUsed", ""),
        prompt=attributes.get(f"{{{_IPTC}}}AIPromptInformation", ""),
        parameters={name[len(own) :]: value for name, value in attributes.items() if name.startswith(own)},
    )


def _packets(data: bytes) -> Iterator[bytes]:
    """The XMP of a PNG's uncompressed iTXt chunks: keyword NUL flag method language NUL translated NUL text."""
    opening = _KEYWORD.encode() + b"\0\0\0"
    for kind, body in _chunks(data):
        if kind == b"iTXt" and body.startswith(opening):
            yield body[len(opening) :].split(b"\0", 2)[-1]


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        return
    at = 8
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at + 8 : at + 8 + length]
        at += 12 + length
