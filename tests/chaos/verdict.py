"""Whether a job kept its promises, judged from what went in, what was committed, and the ledger.

Promises (CORRECTNESS.md, "Invariants for the simulation", 1, 2, 3, 5 and 9):

- every input has exactly one early output and one answer in the committed files, and nothing else is there, though
  the early one is sent before an await, and sent again by each attempt that gets there;
- the memory of a key is one fold over its inputs, and lines of one file come in their order;
- no input is answered with what was drawn for another;
- a call is made again only when something died under it, and never once it was recorded. A task makes its next call
  when the one before is recorded, so the next call's beginning is the evidence. Records may be lost only when both
  who has them have died: the worker, and the TaskManager before a checkpoint covered them. What became of other
  workers is no excuse: the restored job asks whoever holds them. With a store they are not lost, whoever dies;
- the job restarts only when a TaskManager is lost, for a failure that says so, and no input is given up.

What a fault ended has died. A worker that left as it was told (a reload) excuses nothing: it stays until all that it
has is safe. One that left because a fault had taken its supervisor finishes what it does, so that nothing is made again
under it either; but nobody can ask it for its records any more.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.agent import fold

# How far apart two clocks of this machine may see one event: a process is noticed to be gone a little later.
_SLACK_SECONDS = 0.3
# Within this time after it was killed or stopped, the JobManager has noticed that a TaskManager is gone.
_NOTICED_SECONDS = 15.0
_SHOWN = 5
# The JobManager has many words for a TaskManager that it cannot reach. What a task has thrown is of a loss only if it
# says so; anything else is ours.
_THROWN_IN_A_TASK = "org.apache.flink.runtime.taskmanager.Task."
_NAMES_A_LOSS = re.compile(
    r"(?i)task ?manager.*(no longer reachable|timed out|lost|unexpectedly closed|disconnect|terminat|shut)"
    r"|(no longer reachable|unreachable|timed out|unexpectedly closed|connection).*task ?(manager|executor)"
    r"|task ?executor.*(unreachable|timed out|has no more allocated slots|shutting down)"
)


@dataclass(frozen=True)
class Input:
    """A line of a file: its name, its key, and where it stands."""

    name: str
    key: str
    file: str
    line: int


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Times are seconds of the wall clock."""

    inputs: Sequence[Input]
    outputs: Sequence[Mapping[str, Any]]
    dead_letters: Sequence[Mapping[str, Any]] = ()
    ledger: Sequence[Mapping[str, Any]] = ()
    worker_deaths: Sequence[tuple[int, float]] = ()
    """Of a fault: process id, and when it was seen to be gone."""
    orphan_exits: Sequence[tuple[int, float]] = ()
    """Those that left in good order because a fault had killed their supervisor."""
    worker_exits: Sequence[tuple[int, float]] = ()
    """All others: they left as they were told, which is no reason to make anything again."""
    job_failures: Sequence[tuple[float, str]] = ()
    """When Flink failed the job over, and the stack trace of why."""
    losses: Sequence[float] = ()
    """When tasks ended because a TaskManager was killed, or was stopped for so long that it counts as lost."""
    checkpoints: Sequence[tuple[float, float]] = ()
    """Triggered, completed."""
    has_store: bool = False
    """Calls are recorded outside of all that dies."""

    @property
    def task_ends(self) -> list[float]:
        """When tasks of the job ended, whatever the reason."""
        return [*self.losses, *(at for at, _ in self.job_failures)]

    @property
    def record_holders_gone(self) -> list[tuple[int, float]]:
        """Workers that cannot be asked for their records any more although no checkpoint may have had them."""
        return [*self.worker_deaths, *self.orphan_exits]


@dataclass
class Verdict:
    """What was broken, and what may be counted."""

    broken: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, promise: str, offenders: Iterable[object]) -> None:
        """Nothing if there are no offenders."""
        found = list(offenders)
        if found:
            more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            self.broken.append(f"{promise}: {len(found)}: " + "; ".join(map(str, found[:_SHOWN])) + more)


def judge(evidence: Evidence) -> Verdict:
    """Check every promise."""
    verdict = Verdict()
    _judge_outputs(evidence, verdict)
    _judge_memory(evidence, verdict)
    _judge_calls(evidence, verdict)
    verdict.add("inputs were given up", evidence.dead_letters)
    # Flink may fail a job over more than once for one loss: it deploys to the dead TaskManager again until it notices.
    needless = [
        f"{at} ({stack.splitlines()[0]})"
        for at, stack in evidence.job_failures
        if not _is_of_a_loss(stack) or not any(0 < at - loss < _NOTICED_SECONDS for loss in evidence.losses)
    ]
    verdict.add("the job failed although no TaskManager was lost, at", needless)
    runs = defaultdict(set)
    for line in evidence.ledger:
        runs[line["input"]].add(line["run"])
    verdict.counts |= {
        "inputs": len(evidence.inputs),
        "checkpoints": len(evidence.checkpoints),
        "worker deaths": len(evidence.worker_deaths),
        "workers that left after their supervisor was killed": len(evidence.orphan_exits),
        "workers that left as they were told": len(evidence.worker_exits),
        "job restarts": len(evidence.job_failures),
        "inputs that came back as another run": sum(1 for numbers in runs.values() if len(numbers) > 1),
    }
    return verdict


def _is_of_a_loss(stack: str) -> bool:
    return _THROWN_IN_A_TASK not in stack or _NAMES_A_LOSS.search(stack.splitlines()[0]) is not None


# ---- committed outputs ----


def _judge_outputs(evidence: Evidence, verdict: Verdict) -> None:
    given = Counter(one.name for one in evidence.inputs)
    for kind in ("early", "answer"):
        outputs = [output for output in evidence.outputs if output["kind"] == kind]
        told = Counter(output["name"] for output in outputs)
        verdict.add(f"inputs have no {kind} output", sorted((given - told).elements()))
        verdict.add(f"inputs have more than one {kind} output", sorted((told - given).elements()))
        crossed = [output for output in outputs if any(drawn != output["name"] for drawn in output["drawn"])]
        verdict.add(f"{kind} outputs hold what was drawn for other inputs", crossed)


# ---- memory ----


def _judge_memory(evidence: Evidence, verdict: Verdict) -> None:
    inputs = {one.name: one for one in evidence.inputs}
    by_key: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for output in evidence.outputs:
        if output["kind"] == "answer" and output["name"] in inputs:
            by_key[output["key"]].append(output)
    for key, answers in sorted(by_key.items()):
        answers.sort(key=lambda answer: int(answer["count"]))
        if [answer["count"] for answer in answers] != list(range(len(answers))):
            verdict.broken.append(f"key {key} has counted {[answer['count'] for answer in answers]}")
            continue
        _judge_fold(key, answers, verdict)
        last: dict[str, int] = {}
        for one in [inputs[answer["name"]] for answer in answers]:
            if one.key != key:
                verdict.broken.append(f"input {one.name} of key {one.key} was answered as one of {key}")
            if last.get(one.file, -1) >= one.line:
                verdict.broken.append(f"key {key}: line {one.line} of {one.file} came after line {last[one.file]}")
            last[one.file] = one.line


def _judge_fold(key: str, answers: Sequence[Mapping[str, Any]], verdict: Verdict) -> None:
    folded = ""
    for answer in answers:
        folded = fold(folded, answer["name"])
        if folded != answer["fold"]:
            verdict.broken.append(f"memory of key {key} is no fold over its inputs from {answer['name']} on")
            return


# ---- the ledger ----


def _judge_calls(evidence: Evidence, verdict: Verdict) -> None:
    begun: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for line in evidence.ledger:
        if line["what"] == "begin":
            begun[line["call"]].append(line)
    recorded = _recorded(evidence.ledger)
    needless, forgotten, excused, last = [], [], 0, 0
    for call, lines in begun.items():
        lines.sort(key=lambda line: float(line["at"]))
        for line, again in itertools.pairwise(lines):
            # Of this time: what was recorded of an earlier one is lost, or there had not been this one.
            recorded_at = next((at for at in recorded[_place(line)] if line["at"] < at < again["at"]), None)
            if recorded_at is not None:
                ends = _uncovered_ends(evidence, line["at"], again["at"], recorded_at)
                if evidence.has_store:
                    forgotten.append(_told(call, line, again))
                elif ends and _is_gone(evidence.record_holders_gone, line, again):
                    excused += 1
                else:
                    forgotten.append(_told(call, line, again))
            elif _died(evidence, line, again):
                last += 1
            else:
                needless.append(_told(call, line, again))
    verdict.add("recorded calls were made again", forgotten)
    verdict.add("calls were made again although nothing died under them", needless)
    names = {line["call"]: line["input"] for line in evidence.ledger}
    strangers = [line for line in evidence.ledger if names[line["call"]] != line["input"]]
    verdict.add("idempotency keys stand for two inputs", strangers)
    verdict.counts |= {
        "calls": len(begun),
        "events before an await that were sent again": _sent_again(begun.values()),
        "last calls made again after a death": last,
        "recorded calls made again, because worker and TaskManager died": excused,
    }


def _sent_again(calls: Iterable[Sequence[Mapping[str, Any]]]) -> int:
    """At least so many: an attempt that makes the second call of `assess` has sent the early output before it."""
    return sum(len(lines) - 1 for lines in calls if (lines[0]["action"], lines[0]["step"]) == ("assess", 1))


Place = tuple[str, str, int]


def _place(line: Mapping[str, Any]) -> Place:
    return (line["invocation"], line["task"], line["step"])


def _recorded(ledger: Sequence[Mapping[str, Any]]) -> dict[Place, list[float]]:
    """When it was evident that a call is recorded: its task, or the run's next action, made another call. Ascending."""
    found: dict[Place, list[float]] = defaultdict(list)
    assessed: dict[tuple[str, int], set[Place]] = defaultdict(set)
    for line in ledger:
        if line["action"] == "assess":
            assessed[line["input"], line["run"]].add(_place(line))
    for line in ledger:
        if line["what"] != "begin":
            continue
        for step in range(line["step"]):
            found[line["invocation"], line["task"], step].append(line["at"])
        if line["action"] == "answer":
            for place in assessed[line["input"], line["run"]]:
                found[place].append(line["at"])
    for times in found.values():
        times.sort()
    return found


def _died(evidence: Evidence, line: Mapping[str, Any], again: Mapping[str, Any]) -> bool:
    """Whether the worker that made the call, or the job's task, ended between the two."""
    return _is_gone(evidence.worker_deaths, line, again) or any(
        line["at"] - _SLACK_SECONDS < at < again["at"] + _SLACK_SECONDS for at in evidence.task_ends
    )


def _is_gone(workers: Iterable[tuple[int, float]], line: Mapping[str, Any], again: Mapping[str, Any]) -> bool:
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


def _told(call: str, line: Mapping[str, Any], again: Mapping[str, Any]) -> str:
    return (
        f"{line['input']} {line['action']} {line['task']} {line['step']} (call {call[:8]}, run {line['run']}) "
        f"by {line['pid']} at {line['at']:.3f} as attempt {line['attempt']}, "
        f"again by {again['pid']} at {again['at']:.3f} as attempt {again['attempt']}"
    )
