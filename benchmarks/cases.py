"""What is measured, and the figures that stand beside each measurement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["CASES", "Case", "Figure"]

RocksDb = "rocksdb"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number that a case yields.

    `reach` is what the project has set itself, None where it only wants to know. `embedded_peer` and `prototype` were
    measured once, on a like machine with two cores, and are quoted: Flink's agents in CPython inside the TaskManager,
    and this design's throw-away prototype.
    """

    name: str
    title: str
    unit: str
    better: Literal["higher", "lower"]
    reach: float | None
    embedded_peer: str = "-"
    prototype: str = "-"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One job on one server. `job` are arguments of the Java side's BenchCase."""

    name: str
    agent: str
    measure: Literal["THROUGHPUT", "LATENCY", "BURST", "CHECKPOINTS", "RECONNECT"]
    figures: tuple[Figure, ...]
    job: Mapping[str, object] = field(default_factory=dict)
    warm_up_ms: int = 12_000
    reloads: bool = False
    """Of three windows the first is as usual, in the second the server reloads, and the third is for what is late."""


def _rate(name: str, title: str, reach: float | None, peer: str, prototype: str) -> Figure:
    return Figure(
        name=name, title=title, unit="inputs/s", better="higher", reach=reach, embedded_peer=peer, prototype=prototype
    )


def _cpu(name: str) -> Figure:
    return Figure(
        name=f"{name}_cpu", title="  CPU per input, both sides", unit="us", better="lower", reach=20.0,
        embedded_peer="1,200-2,900", prototype="13-22",
    )  # fmt: skip


def _latency(
    name: str, rate: str, p50: float, p99: float, peer: tuple[str, str], prototype: tuple[str, str]
) -> tuple[Figure, ...]:
    return (
        Figure(name=f"{name}_p50", title=f"latency at {rate}, p50", unit="ms", better="lower", reach=p50,
               embedded_peer=peer[0], prototype=prototype[0]),
        Figure(name=f"{name}_p99", title=f"latency at {rate}, p99", unit="ms", better="lower", reach=p99,
               embedded_peer=peer[1], prototype=prototype[1]),
    )  # fmt: skip


CASES: tuple[Case, ...] = (
    Case(
        name="trivial", agent="trivial", measure="THROUGHPUT",
        figures=(_rate("trivial", "one async action that doesn't wait", 75_000, "1,300", "99,000"), _cpu("trivial")),
    ),
    Case(
        name="chain", agent="chain", measure="THROUGHPUT",
        figures=(_rate("chain", "two-step chain", 40_000, "850", "-"),),
    ),
    Case(
        name="memory", agent="memory", measure="THROUGHPUT",
        figures=(_rate("memory", "two short-term values written and read", 50_000, "970", "73,000"), _cpu("memory")),
    ),
    Case(
        name="profile", agent="profile", measure="THROUGHPUT", warm_up_ms=15_000,
        figures=(_rate("profile", "100 kB of memory per key, one field changed", 45_000, "780-1,290", "78,000"),),
    ),
    Case(
        name="rocksdb", agent="memory", measure="THROUGHPUT", job={"state": RocksDb, "checkpoint_ms": 1_000},
        figures=(
            _rate("rocksdb", "with memory, RocksDB, a checkpoint each second", 40_000, "-", "61,000"),
            Figure(name="rocksdb_checkpoint", title="  those checkpoints", unit="ms", better="lower", reach=1_000),
        ),
    ),
    Case(
        name="checkpointed", agent="trivial", measure="THROUGHPUT", job={"checkpoint_ms": 1_000},
        figures=(_rate("checkpointed", "one action, a checkpoint each second", None, "-", "-"),),
    ),
    Case(
        name="durable", agent="durable", measure="THROUGHPUT", job={"checkpoint_ms": 1_000},
        figures=(
            _rate("durable", "  the same with one durable call", None, "-", "-"),
            Figure(name="durable_checkpoint", title="  its checkpoints", unit="ms", better="lower", reach=1_000),
        ),
    ),
    Case(
        name="latency_50", agent="trivial", measure="LATENCY", warm_up_ms=20_000, job={"rate": 50, "window_ms": 10_000},
        figures=_latency("latency_50", "50/s", 2.0, 8.0, ("2,185", "3,289"), ("2.0", "5-17")),
    ),
    Case(
        name="latency_1000", agent="trivial", measure="LATENCY", job={"rate": 1_000, "window_ms": 5_000},
        figures=_latency("latency_1000", "1,000/s", 0.5, 4.0, ("-", "-"), ("0.4", "4")),
    ),
    Case(
        name="reload", agent="memory", measure="LATENCY", reloads=True, warm_up_ms=20_000,
        job={"rate": 1_000, "window_ms": 2_000, "windows": 60},
        figures=(
            Figure(name="reload_usual_p99", title="latency at 1,000/s with memory, p99", unit="ms", better="lower",
                   reach=4.0),
            Figure(name="reload_p99", title="  while the code is reloaded (20 times)", unit="ms", better="lower",
                   reach=8.0),
            Figure(name="reload_ratio", title="  the ratio of the two", unit="x", better="lower", reach=2.0),
        ),
    ),
    Case(
        name="wait_1000", agent="wait1", measure="BURST", job={"burst": 1_000, "keys": 1_000, "checkpoint_ms": 500},
        figures=(
            Figure(name="wait_1000", title="1,000 actions that each wait 1 s", unit="s", better="lower", reach=1.3,
                   embedded_peer="240: 61"),
        ),
    ),
    Case(
        name="wait_10000", agent="wait1", measure="BURST",
        job={"burst": 10_000, "keys": 10_000, "checkpoint_ms": 500},
        figures=(
            Figure(name="wait_10000", title="10,000 such", unit="s", better="lower", reach=2.0, prototype="1.9"),
            Figure(name="wait_10000_checkpoint", title="  the checkpoints meanwhile", unit="ms", better="lower",
                   reach=300, prototype="100-250"),
        ),
    ),
    Case(
        name="limit_unaligned", agent="wait5", measure="CHECKPOINTS", warm_up_ms=6_000,
        job={"checkpoint_ms": 1_000, "max_runs": 100, "window_ms": 4_000, "unaligned": "true"},
        figures=(
            Figure(name="limit_unaligned_checkpoint", title="checkpoint at the limit of runs (unaligned)", unit="ms",
                   better="lower", reach=100, prototype="14"),
            Figure(name="limit_unaligned_savepoint", title="  a savepoint then", unit="ms", better="lower", reach=1_000,
                   prototype="67"),
        ),
    ),
    Case(
        name="limit_aligned", agent="wait5", measure="CHECKPOINTS", warm_up_ms=6_000,
        job={"checkpoint_ms": 1_000, "max_runs": 100, "window_ms": 4_000, "unaligned": "false"},
        figures=(
            Figure(name="limit_aligned_checkpoint", title="checkpoint at the limit of runs (aligned)", unit="ms",
                   better="lower", reach=1_000),
        ),
    ),
    # Windows of 12 s: a worker that dies younger than 10 s for the second time is replaced after a pause.
    Case(
        name="reconnect", agent="trivial", measure="RECONNECT", job={"rate": 500, "window_ms": 12_000, "windows": 3},
        figures=(
            Figure(name="reconnect", title="kill -9 of the worker to the next output", unit="ms", better="lower",
                   reach=100, prototype="212-402"),
            Figure(name="reconnect_dead", title="  until the directory names it dead", unit="ms", better="lower",
                   reach=20),
            Figure(name="reconnect_serving", title="  until another one serves", unit="ms", better="lower", reach=40),
            Figure(name="reconnect_output", title="  connect, Hello, Welcome, Invoke, Result", unit="ms",
                   better="lower", reach=40),
        ),
    ),
)  # fmt: skip
