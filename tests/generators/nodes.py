"""A Ray cluster on this machine, whose nodes come and go as a test says."""

from __future__ import annotations

import os
from typing import Any

from tests.postgres import free_port

STORE_BYTES = 80 << 20  # the least that Ray takes
ENVIRON = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray's name for: stay on the loopback
    "RAY_gcs_rpc_server_reconnect_timeout_s": "8",  # so long nodes and drivers live without a head; usually 60
    "RAY_health_check_initial_delay_ms": "500",
    "RAY_health_check_period_ms": "500",  # a dead node is noticed in 3 s; usually 15
}


class Nodes:
    """A head and nodes of one device each. For the main thread: Ray sets signal handlers."""

    def __init__(self, count: int) -> None:
        os.environ |= ENVIRON
        self._port = free_port()
        self._nodes: list[Any] = []
        self._start(count)

    def _start(self, count: int) -> None:
        from ray.cluster_utils import Cluster as LocalCluster

        head = {
            "num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE_BYTES,
            "gcs_server_port": self._port,
        }  # fmt: skip
        self._local: Any = LocalCluster(initialize_head=True, head_node_args=head)
        for _ in range(count):
            self.add()

    @property
    def address(self) -> str:
        return str(self._local.address)

    def add(self) -> None:
        self._nodes.append(self._local.add_node(num_cpus=2, object_store_memory=STORE_BYTES))

    @property
    def count(self) -> int:
        return len(self._nodes)

    def kill(self, host: str = "") -> None:
        """The node whose devices' names begin with `host`; the oldest if that is not said."""
        node = next(node for node in self._nodes if host.endswith(node.node_id[:6]) or not host)
        self._nodes.remove(node)
        self._local.remove_node(node, allow_graceful=False)

    def kill_head(self) -> None:
        """The others notice, and give up in the end."""
        self._local.remove_node(self._local.head_node, allow_graceful=False)

    def revive(self) -> None:
        """A new head in the old one's place, which knows nothing of it, and as many nodes as there were."""
        lost, self._nodes = self._nodes, []
        for node in lost:
            node.kill_all_processes(check_alive=False, allow_graceful=False)
        self._start(len(lost))

    def close(self) -> None:
        self._local.shutdown()
