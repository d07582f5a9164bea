"""The verdict finds what is wrong, one thing at a time, in evidence that is otherwise right."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.agent import fold
from tests.chaos.evidence import Evidence, Input
from tests.chaos.verdict import judge

W0, W1 = 100, 101


def evidence() -> Evidence:
    """Two keys with three inputs each, calls a second apart, no fault."""
    inputs = [Input(f"f-{line}", f"k{line % 2}", "f", line) for line in range(6)]
    outputs: list[dict[str, Any]] = []
    ledger: list[dict[str, Any]] = []
    folded = {"k0": "", "k1": ""}
    for number, one in enumerate(inputs):
        outputs.append({"kind": "early", "key": one.key, "name": one.name, "drawn": [one.name]})
        folded[one.key] = fold(folded[one.key], one.name)
        answer = {"kind": "answer", "key": one.key, "name": one.name, "count": number // 2, "fold": folded[one.key]}
        outputs.append({**answer, "drawn": [one.name] * 2})
        for step, action in enumerate(["assess", "assess", "answer"]):
            ledger.append(begin(one.name, action, step % 2, at=1_000.0 + 10 * number + step, run=number // 2))
    return Evidence(inputs=inputs, outputs=outputs, ledger=ledger)


def begin(name: str, action: str, step: int, *, at: float, run: int, pid: int = W0, attempt: int = 1) -> dict[str, Any]:
    call = {"what": "begin", "at": at, "pid": pid, "call": f"{name} {action} {step} {run}", "task": "main"}
    work = {"input": name, "action": action, "run": run, "invocation": f"{name} {action} {run}", "attempt": attempt}
    return {**call, "step": step, **work}


def broken(changed: Evidence) -> str:
    return "\n".join(judge(changed).broken)


def again(action: str, step: int, *, at: float, pid: int = W1) -> Evidence:
    """The first input's call is made again."""
    right = evidence()
    return replace(right, ledger=[*right.ledger, begin("f-0", action, step, at=at, run=0, pid=pid, attempt=2)])


def test_what_is_right_is_not_reproached() -> None:
    verdict = judge(evidence())
    assert verdict.broken == []
    assert verdict.counts["inputs"] == 6
    assert verdict.counts["calls"] == 18


def test_a_lost_and_a_doubled_output_are_told_apart() -> None:
    right = evidence()
    assert "inputs have no early output: 1: f-0" in broken(replace(right, outputs=right.outputs[1:]))
    doubled = replace(right, outputs=[*right.outputs, right.outputs[-1]])
    assert "inputs have more than one answer output: 1: f-5" in broken(doubled)


def test_an_event_that_was_sent_by_two_attempts_comes_out_once() -> None:
    changed = replace(again("assess", 1, at=1_001.8), worker_deaths=[(W0, 1_001.5)])
    verdict = judge(changed)
    assert verdict.broken == []
    assert verdict.counts["events before an await that were sent again"] == 1
    doubled = replace(changed, outputs=[*changed.outputs, changed.outputs[0]])
    assert "inputs have more than one early output: 1: f-0" in broken(doubled)


def test_an_answer_meant_for_another_input_shows() -> None:
    right = evidence()
    crossed = [{**right.outputs[1], "drawn": ["f-0", "f-4"]}, *right.outputs[:1], *right.outputs[2:]]
    assert "answer outputs hold what was drawn for other inputs: 1" in broken(replace(right, outputs=crossed))


def test_memory_that_lost_an_update_shows() -> None:
    right = evidence()
    changed = [{**output, "fold": "0"} if output["name"] == "f-2" else output for output in right.outputs]
    assert "memory of key k0 is no fold over its inputs from f-2 on" in broken(replace(right, outputs=changed))
    changed = [{**output, "count": 0} if output["name"] == "f-2" else output for output in right.outputs]
    assert "key k0 has counted [0, 0, 2]" in broken(replace(right, outputs=changed))


def test_inputs_of_a_file_that_changed_places_show() -> None:
    right = evidence()
    inputs = [replace(right.inputs[0], line=9), *right.inputs[1:]]
    assert "key k0: line 2 of f came after line 9" in broken(replace(right, inputs=inputs))


def test_a_call_made_again_without_any_death_shows() -> None:
    assert "although nothing died" in broken(again("answer", 0, at=1_005.0))


def test_the_last_call_may_be_made_again_after_its_worker_died() -> None:
    # The answer is the last call of its input: nothing says that it was recorded.
    changed = replace(again("answer", 0, at=1_005.0), worker_deaths=[(W0, 1_004.0)])
    verdict = judge(changed)
    assert verdict.broken == []
    assert verdict.counts["last calls made again after a death"] == 1
    # Another worker's death is no reason.
    assert "although nothing died" in broken(replace(changed, worker_deaths=[(W1, 1_004.0)]))


def test_a_recorded_call_may_not_be_made_again_after_one_side_died() -> None:
    for step in (0, 1):
        changed = again("assess", step, at=1_005.0)
        assert "recorded calls were made again: 1" in broken(replace(changed, worker_deaths=[(W0, 1_004.0)]))
        assert "recorded calls were made again: 1" in broken(replace(changed, losses=[1_004.0]))


def test_a_recorded_call_is_lost_only_with_both_sides_and_before_a_checkpoint() -> None:
    changed = replace(again("assess", 0, at=1_009.0), worker_deaths=[(W0, 1_004.0)], losses=[1_007.0])
    assert broken(changed) == ""
    early = replace(changed, checkpoints=[(1_000.5, 1_006.0)])
    assert broken(early) == ""
    covering = replace(changed, checkpoints=[(1_005.0, 1_006.0)])
    assert "recorded calls were made again: 1" in broken(covering)


def test_no_recorded_call_is_lost_with_a_store() -> None:
    changed = replace(again("assess", 0, at=1_009.0), worker_deaths=[(W0, 1_004.0)], losses=[1_007.0], has_store=True)
    assert "recorded calls were made again: 1" in broken(changed)
    # What was not recorded may be made again with it too.
    last = replace(again("answer", 0, at=1_005.0), worker_deaths=[(W0, 1_004.0)], has_store=True)
    assert broken(last) == ""


def test_a_record_that_was_lost_is_made_anew_by_a_call_that_may_be_the_last_one_of_another_death() -> None:
    changed = replace(again("assess", 0, at=1_009.0), worker_deaths=[(W0, 1_004.0), (W1, 1_010.0)], losses=[1_007.0])
    third = begin("f-0", "assess", 0, at=1_011.0, run=0, pid=W1 + 1, attempt=3)
    verdict = judge(replace(changed, ledger=[*changed.ledger, third]))
    assert verdict.broken == []
    assert verdict.counts["last calls made again after a death"] == 1


def test_the_death_of_another_worker_is_no_reason_to_make_recorded_calls_again() -> None:
    """Whoever stood in for it has the record, and lives."""
    changed = replace(again("assess", 0, at=1_009.0), losses=[1_007.0], checkpoints=[(999.0, 999.5)])
    for died_at in (1_000.0, 1_005.0):
        other = replace(changed, worker_deaths=[(W1 + 1, died_at)])
        assert "recorded calls were made again: 1" in broken(other)


NOTICED = "org.apache.flink.util.FlinkException: An OperatorEvent from an OperatorCoordinator to a task was lost.\n\tat"
IN_A_TASK = "\tat org.apache.flink.runtime.taskmanager.Task.doRun(Task.java:775)"
LOST = f"…RemoteTransportException: Connection unexpectedly closed by remote task manager 'tm1'.\n{IN_A_TASK}"
OURS = f"java.lang.NullPointerException\n{IN_A_TASK}"


def test_restarts_for_no_reason_and_dead_letters_show() -> None:
    assert broken(replace(evidence(), losses=[5.0], job_failures=[(6.0, LOST), (6.1, NOTICED)])) == ""
    late = replace(evidence(), losses=[5.0], job_failures=[(6.0, LOST), (50.0, LOST)])
    assert "although no TaskManager was lost, at: 1: 50.0" in broken(late)
    ours = replace(evidence(), losses=[5.0], job_failures=[(6.0, NOTICED), (6.5, OURS)])
    assert "although no TaskManager was lost, at: 1: 6.5 (java.lang.NullPointerException)" in broken(ours)
    assert "inputs were given up: 1" in broken(replace(evidence(), dead_letters=[{"input": "f-0"}]))


def test_a_worker_that_left_in_good_order_is_no_reason_to_make_its_calls_again() -> None:
    changed = again("answer", 0, at=1_005.0)
    assert "although nothing died" in broken(replace(changed, worker_exits=[(W0, 1_004.0)]))
    assert "although nothing died" in broken(replace(changed, orphan_exits=[(W0, 1_004.0)]))


def test_records_go_with_an_orphan_but_not_with_a_worker_that_was_told_to_leave() -> None:
    changed = replace(again("assess", 0, at=1_009.0), losses=[1_007.0])
    assert "recorded calls were made again: 1" in broken(replace(changed, worker_exits=[(W0, 1_004.0)]))
    verdict = judge(replace(changed, orphan_exits=[(W0, 1_004.0)]))
    assert verdict.broken == []
    assert verdict.counts["recorded calls made again, because worker and TaskManager died"] == 1
    # Without the loss the job has what the orphan said.
    assert "recorded calls were made again: 1" in broken(replace(changed, losses=[], orphan_exits=[(W0, 1_004.0)]))


def test_one_idempotency_key_for_two_calls_shows() -> None:
    right = evidence()
    ledger = [*right.ledger[:-1], {**right.ledger[-1], "call": right.ledger[0]["call"]}]
    assert "idempotency keys stand for two calls: 1" in broken(replace(right, ledger=ledger))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("call", "calls have more than one idempotency key: 1"),
        ("invocation", "invocations have more than one id: 1"),
    ],
)
def test_a_call_that_is_made_again_under_another_name_shows_though_its_worker_has_died(name: str, said: str) -> None:
    changed = replace(again("answer", 0, at=1_005.0), worker_deaths=[(W0, 1_004.0)])
    assert broken(changed) == ""
    *earlier, last = changed.ledger
    assert said in broken(replace(changed, ledger=[*earlier, {**last, name: "another"}]))


def test_a_call_made_again_under_another_name_is_made_again_all_the_same() -> None:
    *earlier, last = again("answer", 0, at=1_005.0).ledger
    renamed = replace(evidence(), ledger=[*earlier, {**last, "call": "another", "invocation": "another"}])
    assert "although nothing died" in broken(renamed)


def test_with_a_store_a_call_is_recorded_when_the_action_has_its_answer() -> None:
    changed = replace(again("answer", 0, at=1_005.0), worker_deaths=[(W0, 1_004.0)], has_store=True)
    assert broken(changed) == ""
    returned = {**begin("f-0", "answer", 0, at=1_003.0, run=0), "what": "returned"}
    known = replace(changed, ledger=[*changed.ledger, returned])
    assert "recorded calls were made again: 1" in broken(known)
    # At level checkpoint the action gets it at once, and the record follows.
    assert broken(replace(known, has_store=False)) == ""


def test_the_last_call_of_a_worker_that_was_given_up_may_be_made_again_once_the_job_went_elsewhere() -> None:
    changed = again("answer", 0, at=1_005.0)
    assert broken(replace(changed, given_up=[(W0, 1_004.0, 1_014.0)])) == ""
    assert "although nothing died" in broken(replace(changed, given_up=[(W0, 1_006.0, 1_014.0)]))
    assert "although nothing died" in broken(replace(changed, given_up=[(W1, 1_004.0, 1_014.0)]))
    # What was recorded is in the job's hands.
    recorded = again("assess", 0, at=1_005.0)
    assert "recorded calls were made again: 1" in broken(replace(recorded, given_up=[(W0, 1_004.0, 1_014.0)]))


def test_a_worker_that_was_given_up_may_begin_calls_of_attempts_that_are_over_until_it_has_noticed() -> None:
    changed = replace(again("answer", 0, at=1_005.0), worker_deaths=[(W0, 1_004.0)])
    late = begin("f-0", "answer", 0, at=1_007.0, run=0, pid=W0 + 7, attempt=1)
    orphaned = replace(changed, ledger=[*changed.ledger, late])
    assert "although nothing died" in broken(orphaned)
    verdict = judge(replace(orphaned, given_up=[(W0 + 7, 1_004.0, 1_008.0)]))
    assert verdict.broken == []
    assert verdict.counts["calls that a worker began after it had been given up"] == 1
    assert "although nothing died" in broken(replace(orphaned, given_up=[(W0 + 7, 1_004.0, 1_006.0)]))
    # The newest attempt is nobody's orphan.
    newest = replace(changed, ledger=[*changed.ledger, {**late, "attempt": 3}])
    assert "although nothing died" in broken(replace(newest, given_up=[(W0 + 7, 1_004.0, 1_008.0)]))


def test_what_no_fault_accounts_for_shows() -> None:
    assert "no fault accounts for: 1: worker w-1 (pid 7) died" in broken(
        replace(evidence(), complaints=["worker w-1 (pid 7) died: exit code 1"])
    )
