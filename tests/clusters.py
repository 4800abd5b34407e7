"""A real Redis Cluster on this machine: three nodes and a replica of each."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from tests.ports import free_port
from tests.waiting import eventually

ROOT = Path(__file__).parent.parent
# Where the hash tags of partitions 0 to 2 are (slots 15882, 11819, 7752): each gets a node.
_SLOTS = [(13_000, 16_383), (8_000, 12_999), (0, 7_999)]
_WATCHER = {"username": "watcher", "password": "WATCHER_PASSWORD"}


@dataclass
class Node:
    """One server of the cluster; partition i is on node i, whose replica is node i + 3."""

    port: int
    process: subprocess.Popen[bytes]

    def connect(self, **options: Any) -> Any:
        """A client that may do everything."""
        return redis.Redis(port=self.port, decode_responses=True, **_WATCHER, **options)

    def ask(self, *words: object) -> Any:
        """The answer to one command."""
        with self.connect() as client:
            return client.execute_command(*words)

    def leads(self) -> bool:
        """Whether it is no replica."""
        return bool(self.ask("ROLE")[0] == "master")


@contextmanager
def running_cluster(program: str, folder: Path, users: str) -> Iterator[list[Node]]:
    """The nodes, ready.

    Args:
        program: A redis-server.
        folder: Where they may write.
        users: Lines of an ACL file; `watcher`, who may do everything, is added.
    """
    acl = folder / "users.acl"
    acl.write_text(f"{users}user watcher on >{_WATCHER['password']} +@all ~* &*\n")
    with ExitStack() as stack:
        nodes = [_start(stack, program, folder, number, ["--aclfile", acl]) for number in range(6)]
        _join(nodes)
        yield nodes


def _start(stack: ExitStack, program: str, folder: Path, number: int, more: list[object]) -> Node:
    options: list[object] = ["--bind", "127.0.0.1", "--dir", folder, *_configured(), *more]
    options += ["--cluster-enabled", "yes", "--cluster-config-file", f"{number}.conf", "--cluster-port", free_port()]
    options += ["--cluster-node-timeout", 3000]
    options += ["--masteruser", _WATCHER["username"], "--masterauth", _WATCHER["password"]]
    log = stack.enter_context((folder / f"{number}.log").open("w"))
    words = [program, "--port", port := free_port(), "--repl-diskless-sync-delay", 0, *options]
    node = Node(port, subprocess.Popen(list(map(str, words)), stdout=log, stderr=log))
    stack.callback(node.process.wait, 20)
    stack.callback(node.process.kill)
    eventually(lambda: node.ask("PING"), 60, (redis.ConnectionError,))
    return node


def _configured() -> list[str]:
    """What the runbook says to configure."""
    section = (ROOT / "docs/operations.md").read_text().partition("## Redis Cluster")[2].partition("\n## ")[0]
    found = re.findall(r"`([a-z-]+) (\"\"|yes|no|swapdb)`", section)
    return [word for name, value in found for word in (f"--{name}", value.strip('"'))]


def _join(nodes: list[Node]) -> None:
    for number, node in enumerate(nodes):
        node.ask("CLUSTER SET-CONFIG-EPOCH", number + 1)
    for node in nodes[1:]:
        nodes[0].ask("CLUSTER MEET", "127.0.0.1", node.port, node.ask("CONFIG GET", "cluster-port")["cluster-port"])
    for node, slots in zip(nodes[:3], _SLOTS, strict=True):
        node.ask("CLUSTER ADDSLOTSRANGE", *slots)
    for node, leader in zip(nodes[3:], nodes[:3], strict=True):
        name = leader.ask("CLUSTER MYID")
        eventually(lambda node=node, name=name: name in str(node.ask("CLUSTER NODES")), 60)
        node.ask("CLUSTER REPLICATE", name)
    for node in nodes:
        eventually(lambda node=node: _knows_everybody(node), 60)
    for node in nodes[:3]:
        eventually(lambda node=node: node.ask("INFO", "replication").get("slave0", {}).get("state") == "online", 60)


def _knows_everybody(node: Node) -> bool:
    known = node.ask("CLUSTER INFO")
    return bool(known["cluster_state"] == "ok" and known["cluster_slots_ok"] == "16384")
