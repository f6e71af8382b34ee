"""Which devices the nodes of a Ray cluster have. Pure; does not import Ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from generators.settings import Devices, workers_on_a_card


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One device of the cluster: `device` is torch's name on `node`; what it takes is `cpus` and `gpus`."""

    name: str
    node: str
    device: str
    cpus: float = 0.0
    gpus: float = 0.0


def places(nodes: Sequence[Mapping[str, Any]], wanted: Devices, share: float) -> tuple[Place, ...]:
    """The devices of the live ones among `nodes` (as `ray.nodes()` has them), each GPU in parts of `share`: as many
    as fit on one card, for Ray gives nobody parts of two.

    "auto": the GPUs of all nodes, or, where none has one, each node's CPUs as one device. `wanted` may name
    kinds instead: "cuda", "cpu".
    """
    alive = sorted((node for node in nodes if node["Alive"]), key=lambda node: node["NodeID"])
    gpus = [place for node in alive for place in _gpus(node, share)]
    cpus = [place for node in alive for place in _cpus(node)]
    if wanted == "auto":
        return tuple(gpus or cpus)
    return tuple((gpus if "cuda" in wanted else []) + (cpus if "cpu" in wanted else []))


def _gpus(node: Mapping[str, Any], share: float) -> list[Place]:
    """Ray shows each actor only its own card, so to torch all are the first one."""
    count = int(node["Resources"].get("GPU", 0)) * workers_on_a_card(share)
    return [
        Place(name=f"{_name(node)}/gpu:{slot}", node=node["NodeID"], device="cuda:0", gpus=share)
        for slot in range(count)
    ]


def _cpus(node: Mapping[str, Any]) -> list[Place]:
    if node["Resources"].get("CPU", 0) < 1:
        return []
    return [Place(name=f"{_name(node)}/cpu", node=node["NodeID"], device="cpu", cpus=1.0)]


def _name(node: Mapping[str, Any]) -> str:
    """Two nodes may be on one host, and a host comes back as another node."""
    return f"{node['NodeManagerHostname'][:30]}-{node['NodeID'][:6]}"
