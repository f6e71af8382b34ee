"""Whether one request of ours is what Discord's OpenAPI description allows, and the limits that it leaves out.

The description is read from the folder that `ATELIER_WIRE_SPECS` names, else from `../shared/wire/specs`. Where it is
missing nothing is checked, and the summary of the tests says so.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

ROOT = Path(__file__).parents[3]
FOLDER = Path(os.environ.get("ATELIER_WIRE_SPECS") or ROOT.parent / "shared" / "wire" / "specs")
SPEC_FILE = FOLDER / "discord-openapi.json"
V2, TEXT_MAX, COMPONENTS_MAX, ROW_MAX = 1 << 15, 4000, 40, 5
# What the description lacks although Discord documents and takes it.
KNOWN = re.compile(r"attachments/\d+/(id: \d+ is not of type|(filename|description): unknown key)")
UNDESCRIBED = re.compile(r"GET /applications/\d+/skus$")
checked = 0  # requests, for the summary


class Spec:
    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.registry = Registry().with_resource(
            "spec", Resource.from_contents(document, default_specification=DRAFT202012)
        )
        shapes = [(re.sub(r"\{[^}]+\}", "[^/]+", path), path) for path in document["paths"]]
        self.paths = [
            (re.compile(f"^{shape}$"), path) for shape, path in sorted(shapes, key=lambda s: s[1].count("{"))
        ]

    def operation(self, method: str, path: str) -> tuple[str, dict[str, Any] | None]:
        """("", None) where there is no such path, (path, None) where it does not take the method."""
        found = ""
        for shape, template in self.paths:
            if shape.match(path):
                found = template
                if operation := self.document["paths"][template].get(method.lower()):
                    return template, operation
        return found, None

    def deref(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema:
            target: Any = self.document
            for part in schema["$ref"][2:].split("/"):
                target = target[part]
            schema = target
        return schema

    def validator(self, template: str, method: str, kind: str) -> jsonschema.Draft202012Validator:
        def escaped(part: str) -> str:
            return part.replace("~", "~0").replace("/", "~1").replace("{", "%7B").replace("}", "%7D")

        pointer = f"/paths/{escaped(template)}/{method.lower()}/requestBody/content/{escaped(kind)}/schema"
        return jsonschema.Draft202012Validator({"$ref": f"spec#{pointer}"}, registry=self.registry)

    def unknown(self, schema: dict[str, Any], value: Any, path: str = "") -> list[str]:
        """Keys that no alternative knows."""
        schema = self.deref(schema)
        if alternatives := schema.get("oneOf") or schema.get("anyOf"):
            fitting = [
                self.unknown(each, value, path)
                for each in alternatives
                if self._fits(self.deref(each), value)
            ]
            return min(fitting, key=len) if fitting else []
        if "allOf" in schema:
            return []
        if isinstance(value, dict) and "properties" in schema:
            return [
                problem
                for key, inner in value.items()
                for problem in (
                    self.unknown(schema["properties"][key], inner, f"{path}/{key}")
                    if key in schema["properties"]
                    else [f"{path}/{key}: unknown key"]
                )
            ]
        if isinstance(value, list) and "items" in schema:
            return [
                p for n, each in enumerate(value) for p in self.unknown(schema["items"], each, f"{path}/{n}")
            ]
        return []

    def _fits(self, schema: dict[str, Any], value: Any) -> bool:
        if schema.get("type") == "null":
            return value is None
        if "properties" not in schema:
            return True
        if not isinstance(value, dict):
            return False
        kind = schema["properties"].get("type")
        if kind is None or "type" not in value:
            return True
        kind = self.deref(kind)
        known = kind.get("enum") or [each["const"] for each in kind.get("oneOf", []) if "const" in each]
        return not known or value["type"] in known


@cache
def spec() -> Spec | None:
    return Spec(json.loads(SPEC_FILE.read_text())) if SPEC_FILE.exists() else None


def problems(
    method: str, path: str, body: Any, *, multipart: bool = False, query: dict[str, str] | None = None
) -> list[str]:
    """What is wrong with a request; empty when nothing is, or when it cannot be checked."""
    global checked
    known = spec()
    if known is None:
        return []
    checked += 1
    bare = re.sub(r"^/api(/v\d+)?", "", path.split("?")[0])
    template, operation = known.operation(method, bare)
    if operation is None and UNDESCRIBED.match(f"{method} {bare}"):
        return ["body not expected"] if body else []
    if operation is None:
        return [f"{method} {path}: not an operation of Discord's"]
    found = list(_limits(template, body)) if isinstance(body, dict) else []
    taken = {each["name"] for each in operation.get("parameters", []) if each["in"] == "query"}
    found += [f"?{name}: not a parameter here" for name in query or {} if name not in taken]
    content = operation.get("requestBody", {}).get("content")
    if content is None:
        return found + (["body not expected"] if body else [])
    if body is None:
        return found + (["body required"] if operation["requestBody"].get("required") else [])
    kind = (
        next((each for each in content if each.startswith("multipart")), "")
        if multipart
        else "application/json"
    )
    if kind not in content:
        return [*found, f"{kind or 'multipart'} is not taken here"]
    for error in known.validator(template, method, kind).iter_errors(body):
        found += [
            f"{'/'.join(map(str, leaf.absolute_path))}: {leaf.message[:120]}" for leaf in _leaves(error)
        ]
    found += known.unknown(content[kind]["schema"], body)
    return sorted({each for each in found if not KNOWN.search(each)})


def _leaves(error: Any) -> Iterator[Any]:
    """The deepest causes of an alternative's failure."""
    if not error.context:
        yield error
        return
    groups: dict[Any, list[Any]] = {}
    for cause in error.context:
        groups.setdefault(cause.schema_path[0], []).append(cause)

    def foreign(group: list[Any]) -> tuple[bool, int]:
        return any(c.validator in {"const", "enum", "type"} and len(c.path) <= 1 for c in group), len(group)

    for cause in min(groups.values(), key=foreign):
        yield from _leaves(cause)


def _limits(template: str, body: dict[str, Any]) -> Iterator[str]:
    """What the description does not say."""
    data = (body.get("data") or {}) if template.endswith("/callback") else body
    components = list(_walk(data.get("components")))
    ids = [each["custom_id"] for each in components if each.get("custom_id")]
    if len(ids) != len(set(ids)):
        yield "duplicate custom_id"
    for each in components:
        if each.get("type") == 2:
            yield from _button(each)
    if any(each.get("type") == 1 and len(each.get("components") or []) > ROW_MAX for each in components):
        yield "more than 5 buttons in a row"
    if data.get("flags", 0) & V2:
        if data.get("content") or data.get("embeds"):
            yield "content or embeds in a message of components"
        if sum(len(each.get("content", "")) for each in components if each.get("type") == 10) > TEXT_MAX:
            yield "more than 4000 characters of text"
        if len([each for each in components if "type" in each]) > COMPONENTS_MAX:
            yield "more than 40 components"
        if not data.get("components"):
            yield "an empty message"
    elif len(data.get("content") or "") > 2000:
        yield "more than 2000 characters of content"


def _button(button: dict[str, Any]) -> Iterator[str]:
    """Which keys go with a style: a premium button takes its label and price from the shop, a link asks nobody."""
    style, keys = button.get("style"), button.keys() - {"id", "disabled"}
    wanted = {5: {"label", "url"}, 6: {"sku_id"}}.get(style, {"label", "custom_id"})
    if keys != {"type", "style"} | wanted:
        yield f"a button of style {style} with {sorted(keys)}"


def _walk(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner)
