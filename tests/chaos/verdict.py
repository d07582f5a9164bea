"""Whether a job kept its promises, judged from what went in, what was committed, and the ledger.

Promises (CORRECTNESS.md, "Invariants for the simulation", 1, 2, 3, 5 and 9):

- every input has exactly one early output and one answer in the committed files, and nothing else is there, though
  the early one is sent before an await, and sent again by each attempt that gets there;
- the memory of a key is one fold over its inputs, and lines of one file come in their order;
- no input is answered with what was drawn for another;
- a call is made again only when something died under it, under the same names, and never once it was recorded
  (`calls.py`);
- the job restarts only when a TaskManager is lost, for a failure that says so, and no input is given up;
- no process ends that no fault has ended, and no log speaks of a defect.

What a fault ended has died. A worker that left as it was told (a reload) excuses nothing: it stays until all that it
has is safe. One that left because a fault had taken its supervisor finishes what it does, so that nothing is made again
under it either; but nobody can ask it for its records any more.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.agent import fold
from tests.chaos.calls import judge_calls
from tests.chaos.evidence import Evidence

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
    calls = judge_calls(evidence)
    for promise, offenders in calls.broken.items():
        verdict.add(promise, offenders)
    verdict.add("inputs were given up", evidence.dead_letters)
    verdict.add("no fault accounts for", evidence.complaints)
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
    verdict.counts = {
        **calls.counts,
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
