"""Measures real jobs on a MiniCluster against real servers, and prints the figures beside those to be reached.

    python benchmarks/run.py                     all cases, three runs each (some 20 minutes)
    python benchmarks/run.py --quick             one short run each (some 4 minutes)
    python benchmarks/run.py trivial memory      only these
    python benchmarks/run.py --against FILE      also the ratio to a saved run

A throughput is the median of two-second windows over all runs, after a warm-up; in brackets the lowest and the highest.
Nothing here fails for being slow: machines differ, and so do their neighbours. How fast this one was, a yardstick
beside each figure says.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cases import CASES, Case, Figure
from peer import measure_peer
from processes import (
    BUILD,
    ROOT,
    BenchmarkError,
    Server,
    build_java,
    busy_seconds_of_machine,
    cold_pyflink_seconds,
    run_java,
    yardstick_ms,
)
from reconnect import kill_worker, parts_of_reconnect

_TARGET = f"{ROOT}/benchmarks/agents.py:agents"
_QUICK = {"warm_up_ms": 6_000, "windows": 3, "window_ms": 2_000}

_READY = Figure(name="ready", title="server process to ready", unit="s", better="lower", reach=0.4, prototype="0.1")
_COLD = Figure(
    name="cold", title="python job.py to first output", unit="s", better="lower", reach=10.0, embedded_peer="12.8"
)

Values = dict[str, list[float]]


def main() -> int:
    options = _options()
    chosen = [case for case in CASES if not options.cases or case.name in options.cases]
    print("building", flush=True)
    class_path = build_java(only_look=options.no_build)
    values: Values = defaultdict(list)
    failures: dict[str, str] = {}
    for case in chosen:
        for run in range(1 if options.quick else options.runs):
            print(f"{case.name}, run {run + 1}", flush=True)
            yardstick = yardstick_ms()
            try:
                _measure(case, class_path, options, values)
            except BenchmarkError as error:
                failures[case.name] = str(error)
                print(f"  FAILED {error}", flush=True)
            values[f"{case.name}_yardstick"] += [yardstick, yardstick_ms()]
    if not options.cases or "cold" in options.cases:
        _measure_cold(options, values, failures)
    peer = None if options.no_peer else measure_peer()
    report = _report(options, values, failures, peer)
    path = _save(report)
    _print(report, _load(options.against))
    print(f"\nsaved: {path.relative_to(ROOT)}")
    return 1 if failures else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(case.name for case in CASES)}, cold; default all")
    parser.add_argument("--quick", action="store_true", help="one short run of each case")
    parser.add_argument("--runs", type=int, default=3, help="runs of each case (default 3)")
    parser.add_argument("--workers", type=int, default=1, help="processes of the server (default 1)")
    parser.add_argument("--parallelism", type=int, default=1, help="of the job (default 1)")
    parser.add_argument("--against", metavar="FILE", help="a saved run to compare with")
    parser.add_argument("--no-peer", action="store_true", help="do not run PyFlink's own function beside")
    parser.add_argument("--no-build", action="store_true", help="run what was compiled last")
    parser.add_argument("--java-option", action="append", default=[], help="for the JVM, such as a profiler's")
    parser.add_argument("--server-command", default="", help="runs the server under a command, such as a profiler")
    return parser.parse_args()


# ---- measuring


def _measure(case: Case, class_path: str, options: argparse.Namespace, values: Values) -> None:
    arguments: dict[str, object] = {"measure": case.measure, "warm_up_ms": case.warm_up_ms, **case.job}
    if options.quick and case.measure != "RECONNECT":
        arguments |= _QUICK
    arguments |= {"agent": case.agent, "parallelism": options.parallelism}
    command = tuple(options.server_command.split())
    with Server(_TARGET, workers=options.workers, command=command) as server:
        values["ready"].append(server.seconds_to_ready)
        arguments["endpoint"] = server.endpoint
        begin = busy_begin = 0.0
        killed: dict[str, float] = {}
        windows = 0
        for said in run_java(class_path, arguments, jvm_options=tuple(options.java_option)):
            match said["event"]:
                case "window_begin":
                    if case.reloads and windows % 3 == 1:
                        server.reload()
                    begin, busy_begin = server.cpu_seconds(), busy_seconds_of_machine()
                    killed = kill_worker(server) if case.measure == "RECONNECT" else {}
                case "window_end":
                    said["server_cpu_seconds"] = round(server.cpu_seconds() - begin, 2)
                    busy = busy_seconds_of_machine() - busy_begin
                    said["others_cpu_seconds"] = round(busy - said["server_cpu_seconds"] - said["jvm_cpu_seconds"], 2)
                    if killed:
                        said |= parts_of_reconnect(killed, said.pop("gap_ends"))
                    _take_window(case, said, values, windows)
                    windows += 1
                case "savepoint":
                    values[f"{case.name}_savepoint"].append(said["ms"])
            print(f"  {json.dumps(said)[:230]}", flush=True)
        if case.reloads:
            _take_reloads(server.reloads(), (windows + 1) // 3, values)


def _take_reloads(done: int, asked_for: int, values: Values) -> None:
    if done != asked_for:
        raise BenchmarkError(f"{done} reloads of {asked_for} have come to their end: see {BUILD / 'server.log'}")
    during, usual = (statistics.median(values[name]) for name in ("reload_p99", "reload_usual_p99"))
    values["reload_ratio"].append(during / usual)


def _take_window(case: Case, window: dict[str, Any], values: Values, number: int) -> None:
    values[f"{case.name}_checkpoint"] += window.get("checkpoints_ms", [])
    values["others_cores"].append(window["others_cpu_seconds"] / window["seconds"])
    match case.measure:
        case "THROUGHPUT":
            outputs = window["outputs"]
            values[case.name].append(outputs / window["seconds"])
            both_sides = window["server_cpu_seconds"] + window["jvm_cpu_seconds"]
            values[f"{case.name}_cpu"].append(both_sides / max(outputs, 1) * 1e6)
            values[f"{case.name}_server_cpu"].append(window["server_cpu_seconds"] / max(outputs, 1) * 1e6)
            values[f"{case.name}_server_cores"].append(window["server_cpu_seconds"] / window["seconds"])
            values[f"{case.name}_jvm_cores"].append(window["jvm_cpu_seconds"] / window["seconds"])
        case "LATENCY" if case.reloads:
            kind = ("reload_usual_p99", "reload_p99", "reload_after_p99")[number % 3]
            values[kind].append(window["p99_us"] / 1e3)
        case "LATENCY":
            for percentile in ("p50", "p99"):
                values[f"{case.name}_{percentile}"].append(window[f"{percentile}_us"] / 1e3)
        case "BURST":
            values[case.name].append(window["seconds"])
        case "RECONNECT":
            for part in ("reconnect", "reconnect_dead", "reconnect_serving", "reconnect_output"):
                values[part].append(window[part])


def _measure_cold(options: argparse.Namespace, values: Values, failures: dict[str, str]) -> None:
    for run in range(1 if options.quick else options.runs):
        print(f"cold, run {run + 1}", flush=True)
        try:
            with Server(_TARGET) as server:
                values["cold"].append(cold_pyflink_seconds(server.endpoint))
        except BenchmarkError as error:
            failures["cold"] = str(error)
            print(f"  FAILED {error}", flush=True)


# ---- reporting


def _report(
    options: argparse.Namespace, values: Values, failures: dict[str, str], peer: list[float] | None
) -> dict[str, Any]:
    measured = {name: _summary(series) for name, series in values.items() if series}
    if peer:
        measured["peer"] = _summary(peer)
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "options": {"quick": options.quick, "workers": options.workers, "parallelism": options.parallelism},
        "failures": failures,
        "measured": measured,
    }


def _summary(series: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(series), "low": min(series), "high": max(series), "count": len(series)}


def _save(report: dict[str, Any]) -> Path:
    BUILD.mkdir(parents=True, exist_ok=True)
    path = BUILD / f"{report['date'].replace(':', '')}.json"
    path.write_text(json.dumps(report, indent=2))
    return path


def _load(path: str | None) -> dict[str, Any]:
    return json.loads(Path(path).read_text())["measured"] if path else {}


def _print(report: dict[str, Any], earlier: dict[str, Any]) -> None:
    measured = report["measured"]
    titles = ("370 B in, 300 B out, 1,000 keys", "measured", "reach", "", "peer*", "prototype*", "machine**")
    print("\n{:50} {:>34} {:>8} {:>7} {:>12} {:>9} {:>9}".format(*titles))
    for case in CASES:
        yardstick = measured.get(f"{case.name}_yardstick")
        for figure in case.figures:
            if figure.name in measured:
                print(_row(figure, measured[figure.name], earlier.get(figure.name), yardstick))
    for figure in (_READY, _COLD):
        if figure.name in measured:
            print(_row(figure, measured[figure.name], earlier.get(figure.name), None))
    for name in ("trivial", "memory", "rocksdb"):
        if f"{name}_server_cores" in measured:
            server, jvm = (measured[f"{name}_{side}_cores"]["median"] for side in ("server", "jvm"))
            per_input = measured[f"{name}_server_cpu"]["median"]
            print(f"{name}: cores used: server {server:.2f}, JVM {jvm:.2f}; server {per_input:.1f} us per input")
    if "durable_cpu" in measured and "checkpointed_cpu" in measured:
        _print_cost_of_durable_call(measured)
    if "others_cores" in measured:
        others = measured["others_cores"]
        print(f"cores used meanwhile by neither side: {others['median']:.2f} (up to {others['high']:.2f})")
    if "peer" in measured:
        rate = measured["peer"]["median"]
        print(f"PyFlink's own KeyedProcessFunction (process mode), run beside: {rate:,.0f} inputs/s", end="")
        print(f"; here {measured['trivial']['median'] / rate:.1f} times that" if "trivial" in measured else "")
    for name, why in report["failures"].items():
        print(f"FAILED {name}: {why}")
    print("* measured once on a like machine, quoted: agents in CPython inside the TaskManager; a throw-away prototype")
    print("** ms that a fixed piece of work took around the case's runs: when it doubles, so does all else")


def _print_cost_of_durable_call(measured: dict[str, Any]) -> None:
    def us(name: str) -> tuple[float, float]:
        both, server = measured[f"{name}_cpu"]["median"], measured[f"{name}_server_cpu"]["median"]
        return server, both - server

    (server, jvm), (server_before, jvm_before) = us("durable"), us("checkpointed")
    print(
        f"one durable call per action: {(server + jvm) / (server_before + jvm_before):.1f} times the CPU of none "
        f"(server {server:.1f} us against {server_before:.1f}, JVM {jvm:.1f} against {jvm_before:.1f})"
    )


def _row(
    figure: Figure,
    summary: dict[str, float],
    earlier: dict[str, float] | None,
    yardstick: dict[str, float] | None,
) -> str:
    median = summary["median"]
    reach, verdict = "-", ""
    if figure.reach is not None:
        ratio = median / figure.reach if figure.better == "higher" else figure.reach / median
        reach, verdict = _number(figure.reach), "reached" if ratio >= 1 else f"{ratio:.0%}"
    spread = f"{_number(median)} {figure.unit} ({_number(summary['low'])}-{_number(summary['high'])})"
    row = f"{figure.title:50} {spread:>34} {reach:>8} {verdict:>7} "
    row += f"{figure.embedded_peer:>12} {figure.prototype:>9}"
    if yardstick:
        row += f"   {yardstick['low']:.1f}-{yardstick['high']:.1f}"
    if earlier:
        faster = median / earlier["median"] if figure.better == "higher" else earlier["median"] / median
        row += f"   x{faster:.2f} against the saved run"
    return row


def _number(value: float) -> str:
    if value >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    sys.exit(main())
