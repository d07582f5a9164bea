"""Whether calls were made again that should not have been: judged from the ledger of what was really called.

- A call has one idempotency key and its invocation one id, whoever makes it, however often; and no two calls share one.
- A call is made again only when something died under it, and never once it was recorded. A task makes its next call
  when the one before is recorded, so the next call's beginning is the evidence; with a store the call's own answer is,
  for the action gets it no sooner. Records may be lost only when both who has them have died: the worker, and the
  TaskManager before a checkpoint covered them. What became of other workers is no excuse: the restored job asks whoever
  holds them. With a store they are not lost, whoever dies.
- A worker that the job could not reach for its linger time and a grace is as good as dead to the job, and is not: until
  it has noticed, it may go on with attempts that were begun elsewhere by then. Those lines are an orphan's.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.chaos.evidence import Evidence

# How far apart two clocks of this machine may see one event: a process is noticed to be gone a little later.
_SLACK_SECONDS = 0.3

Line = Mapping[str, Any]


class Call(NamedTuple):
    """A call as the agent knows it, which is asked for none of the names that are under test."""

    input: str
    run: int
    action: str
    task: str
    step: int


@dataclass(frozen=True)
class Calls:
    """Offenders by the promise that they break, and what may be counted."""

    broken: Mapping[str, Sequence[str]]
    counts: Mapping[str, int]


def judge_calls(evidence: Evidence) -> Calls:
    """Look at each call that was made more than once."""
    ledger, orphans = _without_orphans(evidence)
    begun: dict[Call, list[Line]] = defaultdict(list)
    for line in ledger:
        if line["what"] == "begin":
            begun[_call(line)].append(line)
    recorded = _recorded(ledger, evidence.has_store)
    needless, forgotten, excused, last = [], [], 0, 0
    for call, lines in begun.items():
        for line, again in itertools.pairwise(lines):
            # Of this time: what was recorded of an earlier one is lost, or there had not been this one.
            recorded_at = next((at for at in recorded[call] if line["at"] < at < again["at"]), None)
            if recorded_at is not None:
                ends = _uncovered_ends(evidence, line["at"], again["at"], recorded_at)
                if evidence.has_store:
                    forgotten.append(_told(line, again))
                elif ends and _is_gone(evidence.record_holders_gone, line, again):
                    excused += 1
                else:
                    forgotten.append(_told(line, again))
            elif _died(evidence, line, again):
                last += 1
            else:
                needless.append(_told(line, again))
    broken = {
        "recorded calls were made again": forgotten,
        "calls were made again although nothing died under them": needless,
        **_judge_names(evidence.ledger),
    }
    counts = {
        "calls": len(begun),
        "events before an await that were sent again": _sent_again(begun.values()),
        "last calls made again after a death": last,
        "recorded calls made again, because worker and TaskManager died": excused,
        "calls that a worker began after it had been given up": orphans,
    }
    return Calls(broken, counts)


def _judge_names(ledger: Iterable[Line]) -> dict[str, list[str]]:
    begun = [line for line in ledger if line["what"] == "begin"]
    invocations = [(_call(line)[:3], line["invocation"]) for line in begun]
    calls = [(_call(line), line["call"]) for line in begun]
    return {
        "invocations have more than one id": _with_several(invocations),
        "calls have more than one idempotency key": _with_several(calls),
        "idempotency keys stand for two calls": _with_several([(key, call) for call, key in calls]),
    }


def _with_several(pairs: Iterable[tuple[Hashable, Hashable]]) -> list[str]:
    found: dict[Hashable, set[Hashable]] = defaultdict(set)
    for one, other in pairs:
        found[one].add(other)
    return [f"{one}: {sorted(map(str, others))}" for one, others in found.items() if len(others) > 1]


def _without_orphans(evidence: Evidence) -> tuple[list[Line], int]:
    """The ledger in the order of time, and how many calls are left out: a worker that was given up began them as an
    attempt that was over."""
    newest: dict[tuple[Any, ...], int] = defaultdict(int)
    lines, orphans = [], 0
    for line in sorted(evidence.ledger, key=lambda line: float(line["at"])):
        invocation = _call(line)[:3]
        newest[invocation] = max(newest[invocation], line["attempt"])
        if line["attempt"] < newest[invocation] and any(
            pid == line["pid"] and since < line["at"] < until + _SLACK_SECONDS
            for pid, since, until in evidence.given_up
        ):
            orphans += line["what"] == "begin"
        else:
            lines.append(line)
    return lines, orphans


def _sent_again(calls: Iterable[Sequence[Line]]) -> int:
    """At least so many: an attempt that makes the second call of `assess` has sent the early output before it."""
    return sum(len(lines) - 1 for lines in calls if (lines[0]["action"], lines[0]["step"]) == ("assess", 1))


def _call(line: Line) -> Call:
    return Call(line["input"], line["run"], line["action"], line["task"], line["step"])


def _recorded(ledger: Iterable[Line], has_store: bool) -> dict[Call, list[float]]:
    """When it was evident that a call is recorded: its task, or the run's next action, made another call, or it was
    answered by way of the store. Ascending."""
    found: dict[Call, list[float]] = defaultdict(list)
    assessed: dict[tuple[str, int], set[Call]] = defaultdict(set)
    for line in ledger:
        if line["action"] == "assess":
            assessed[line["input"], line["run"]].add(_call(line))
    for line in ledger:
        call = _call(line)
        if line["what"] == "returned":
            if has_store:
                found[call].append(line["at"])
            continue
        for step in range(call.step):
            found[call._replace(step=step)].append(line["at"])
        if call.action == "answer":
            for earlier in assessed[call.input, call.run]:
                found[earlier].append(line["at"])
    for times in found.values():
        times.sort()
    return found


def _died(evidence: Evidence, line: Line, again: Line) -> bool:
    """Whether the worker that made the call, or the job's task, ended between the two, or the job had given it up."""
    return (
        _is_gone(evidence.worker_deaths, line, again)
        or any(line["at"] - _SLACK_SECONDS < at < again["at"] + _SLACK_SECONDS for at in evidence.task_ends)
        or any(
            pid == line["pid"] and line["at"] < until + _SLACK_SECONDS and since < again["at"]
            for pid, since, until in evidence.given_up
        )
    )


def _is_gone(workers: Iterable[tuple[int, float]], line: Line, again: Line) -> bool:
    """Whether the worker that made the call is one of these, gone between the two."""
    return any(
        pid == line["pid"] and line["at"] - _SLACK_SECONDS < at < again["at"] + _SLACK_SECONDS for pid, at in workers
    )


def _uncovered_ends(evidence: Evidence, begun_at: float, again_at: float, recorded_at: float) -> list[float]:
    """When the job's tasks ended between the two, without a checkpoint to come back to that had the record."""
    return [
        at
        for at in evidence.task_ends
        if begun_at < at < again_at + _SLACK_SECONDS
        and not any(recorded_at < triggered and completed < at for triggered, completed in evidence.checkpoints)
    ]


def _told(line: Line, again: Line) -> str:
    return (
        f"{line['input']} {line['action']} {line['task']} {line['step']} (call {line['call'][:8]}, run {line['run']}) "
        f"by {line['pid']} at {line['at']:.3f} as attempt {line['attempt']}, "
        f"again by {again['pid']} at {again['at']:.3f} as attempt {again['attempt']}"
    )
