"""One-line bugs of what the simulation does not run, and the tests that have to find them.

The simulation's own bugs are in `tests/simulation/bugs.py`. These are of the operator, which is Java and there a model,
or of the processes around a worker; numbers are those of the rules in `tests/simulation/README.md`.
"""

from __future__ import annotations

from dataclasses import dataclass

_JAVA = "flink_job/operator/src/main/java/io/flinkactions/operator"
_SERVER = "python_server/flink_actions/server"
_ENGINE = "python_server/flink_actions/engine"


@dataclass(frozen=True)
class Mutant:
    """A bug.

    Attributes:
        rule: Which one it breaks; 0: none of them, but what an author or people who run a server go by.
        name: What it does wrong.
        file: Path of the file, from the repository's root.
        old: Part of one of its lines, which occurs there once.
        new: What stands there instead; it still compiles.
        test: What has to fail then: pytest's `path::function`, or JUnit's `Class#method`, which may end in `*` or have
            no method.
    """

    rule: int
    name: str
    file: str
    old: str
    new: str
    test: str

    @property
    def is_java(self) -> bool:
        """Whether Maven runs the test, not pytest."""
        return ".py::" not in self.test


MUTANTS = (
    Mutant(
        0,
        "takes a crash loop for over while a worker lives between two deaths",
        f"{_SERVER}/restarts.py",
        "served_seconds.get(slot, 0.0) < _STABLE_SECONDS]",
        "slot not in served_seconds]",
        "tests/integration/test_worker_deaths.py::test_a_crash_loop_makes_the_server_unhealthy_and_backs_off",
    ),
    Mutant(
        0,
        "starts the next worker at once, however many have died",
        f"{_SERVER}/crew.py",
        "if self._has_failed or await self._is_leaving_within(pause):",
        "if self._has_failed or self.is_leaving:",
        "tests/integration/test_worker_deaths.py::test_a_crash_loop_makes_the_server_unhealthy_and_backs_off",
    ),
    Mutant(
        0,
        "runs more of an action at a time than its concurrency",
        "python_server/flink_actions/engine/places.py",
        "if not self._free:",
        "if self._free is None:",
        "tests/unit/engine/test_places.py::test_no_more_than_so_many_run_at_a_time_and_they_begin_in_order",
    ),
    Mutant(
        0,
        "makes up at once for all permits that nobody took",
        "python_server/flink_actions/engine/permits.py",
        "min(self._burst, self._ready + (now - self._counted_at) * self._per_second)",
        "self._ready + (now - self._counted_at) * self._per_second",
        "tests/unit/engine/test_permits.py::test_permits_come_evenly_spaced_and_after_a_pause_a_burst_at_once",
    ),
    Mutant(
        19,
        "counts the wait for a permit against the time limit",
        "python_server/flink_actions/engine/context.py",
        "self.time.begin_wait()",
        "self.time.begin()",
        "tests/unit/engine/test_permits.py::test_a_wait_is_no_part_of_the_time_limit",
    ),
    Mutant(
        1,
        "gives a call that is made again another idempotency key",
        "python_server/flink_actions/engine/durable.py",
        "key = idempotency_key(self._invocation.invocation_id, *equal, ordinal).hex()",
        "key = idempotency_key(self._invocation.invocation_id, *equal, ordinal + self._invocation.attempt).hex()",
        "DurableCallsTest#a_killed_worker_repeats_the_last_call_of_each_action_at_most_and_restarts_no_job",
    ),
    Mutant(
        2,
        "applies a Result to other memory than it was computed on",
        f"{_JAVA}/lane/Runs.java",
        "if (result.changesMemory() && !result.memoryBase().equals(lane.memoryVersion())) {",
        "if (result.changesMemory() && result.memoryBase() == null) {",
        "MemoryBasesTest",
    ),
    Mutant(
        6,
        "goes on applying Results behind the snapshot of a stop",
        f"{_JAVA}/ActionOperator.java",
        "if (isFrozen || isClosed) {",
        "if (isClosed) {",
        "CheckpointsAtTheLimitTest#results_that_come_while_the_job_stops_are_not_applied",
    ),
    Mutant(
        8,
        "raises its epoch though it was welcomed with the lower one",
        f"{_JAVA}/session/StartIdentity.java",
        "if (wasWelcomed) {",
        "if (wasWelcomed && known < 0) {",
        "StartIdentityTest",
    ),
    Mutant(
        7,
        "covers what left with a broken session and may never have arrived",
        f"{_SERVER}/operator_start.py",
        "return [*undelivered, *kept.take_back_from(self.scope, outgoing, first)]",
        "return list(undelivered)",
        "tests/unit/server/test_unapplied_results.py"
        "::test_nor_does_it_cover_what_was_too_much_to_be_remembered_by_the_session_that_broke",
    ),
    Mutant(
        7,
        "covers a Result that crossed the cancellation of its attempt",
        f"{_SERVER}/operator_start.py",
        "kept.set_apart(outcomes, self.scope.epoch)",
        "pass",
        "tests/unit/server/test_unapplied_results.py"
        "::test_a_result_that_crosses_the_cancellation_of_its_attempt_answers_the_next_one",
    ),
    Mutant(
        7,
        "forgets what came without a session and was not asked for",
        f"{_SERVER}/operator_start.py",
        "self.scope.kept.set_apart(unapplied, self.scope.epoch)",
        "pass",
        "tests/unit/server/test_unapplied_results.py"
        "::test_what_came_while_there_was_no_session_and_is_not_asked_for_answers_the_next_attempt",
    ),
    Mutant(
        5,
        "keeps memory in keyed state in BATCH",
        f"{_JAVA}/ActionOperator.java",
        "isBatch = FlinkInternals.holdsOneKeyOnly(backend);",
        "isBatch = false;",
        "BatchTest#batch_gives_what_streaming_gives_with_memory_and_two_steps_on_400_keys",
    ),
    Mutant(
        9,
        "lingers once more when it was stopped meanwhile",
        f"{_SERVER}/session.py",
        "self._heard_at = max(self._heard_at, self._lag.last_look)",
        "self._heard_at = self._loop.time()",
        "tests/unit/server/test_session.py::test_while_a_worker_is_stopped_the_linger_time_of_its_work_goes_by",
    ),
    Mutant(
        10,
        "closes resources before it says what it has not done",
        f"{_SERVER}/sessions.py",
        "await self._dispatcher.end_code(leaving.END_CODE_SECONDS)",
        "await self._dispatcher.close()",
        "tests/unit/server/test_drain.py::test_resources_that_hang_hold_up_neither_the_goodbye_nor_the_end",
    ),
    Mutant(
        10,
        "blames those it had for the end of a worker that left as it was told",
        f"{_SERVER}/worker_process.py",
        "if was_killed or self.has_left_as_told:",
        "if was_killed:",
        "tests/integration/test_lost_threads.py"
        "::test_a_worker_that_has_lost_half_of_its_threads_finishes_what_runs_and_is_replaced",
    ),
    Mutant(
        10,
        "accuses all in flight though the culprit is named",
        f"{_JAVA}/lane/Invokes.java",
        "if (isDead && (suspects == null || suspects.contains(invocation.idBytes()))) {",
        "if (isDead) {",
        "PoisonTest#of_a_thousand_only_the_one_that_kills_its_worker_is_dead_lettered*",
    ),
    Mutant(
        10,
        "names suspects though the event loop may have run another",
        f"{_SERVER}/black_box.py",
        "return _known(shown, place) if shown[0] != NOTHING else Suspects(place=place)",
        "return _known(shown, place)",
        "tests/unit/server/test_black_box.py::test_suspects_are_named_only_where_the_culprit_must_be_among_them",
    ),
    Mutant(
        10,
        "takes a death in quarantine for a lone one, whoever else was there",
        f"{_JAVA}/lane/Invokes.java",
        "if (quarantine.isTryingOne() && accused.size() == 1) {",
        "if (accused.size() == 1) {",
        "SuspectsTest#a_death_beside_another_suspect_is_no_lone_one_though_it_names_who_it_was",
    ),
    Mutant(
        12,
        "forgets the records that come with a first attempt",
        "python_server/flink_actions/wire/invocations.py",
        "own = [decode_call(call) for call in message.calls]",
        "own = [decode_call(call) for call in message.calls if self.attempt > 1]",
        "tests/unit/wire/test_invocations.py::test_a_first_attempt_brings_records_too",
    ),
    Mutant(
        13,
        "asks no archive after a restore",
        f"{_JAVA}/lane/Invokes.java",
        "if (holder != null) {",
        "if (holder != null && !sessions.isArchive(holder)) {",
        "ArchivedRunsTest",
    ),
    Mutant(
        13,
        "asks nobody but whose key it is by now",
        f"{_JAVA}/lane/Invokes.java",
        "WorkerSession holder = holders.of(lane);",
        "WorkerSession holder = null;",
        "HolderRunsTest",
    ),
    Mutant(
        13,
        "sends before all holders have told",
        f"{_JAVA}/lane/Invokes.java",
        "if (sessions.awaitsHoldings()) {",
        "if (sessions.awaitsHoldings() && false) {",
        "HolderRunsTest#nothing_is_sent_before_all_have_told_and_then_each_where_it_is_held",
    ),
    Mutant(
        13,
        "leaves after a reload before a checkpoint covers what it keeps",
        f"{_SERVER}/worker.py",
        "await _unless(reading, sessions.until_covered(order.archive_seconds))",
        "pass",
        "tests/integration/test_archive.py"
        "::test_after_a_reload_finished_work_is_handed_back_to_a_restarted_job_and_nothing_else_is_done",
    ),
    Mutant(
        14,
        "sets the marker behind a call that is in no lane",
        f"{_JAVA}/store/RebuiltCalls.java",
        "return entries.peek().offset;",
        "return entries.peek().offset + 1;",
        "RebuildTest",
    ),
    Mutant(
        14,
        "goes by entries that were written behind a later start's fence",
        f"{_JAVA}/store/Rebuild.java",
        "if (fences(partition).isFencedOff(keyGroup, named.epoch(), offset)) {",
        "if (fences(partition).isFencedOff(keyGroup, named.epoch(), 0)) {",
        "RebuildTest",
    ),
    Mutant(
        15,
        "mints a namespace anew though one was restored",
        f"{_JAVA}/state/StartStore.java",
        "if (namespace.isEmpty()) {",
        "if (namespace == null) {",
        "StateRoundTripTest#a_restored_namespace_beats_a_minted_one_and_job_identifier_beats_both",
    ),
    Mutant(
        15,
        "welcomes another job under a namespace that is in use",
        f"{_SERVER}/handshake.py",
        "if live.is_former(OperatorIdentity(hello.namespace, hello.job_id, hello.operator_uid)):",
        "if live is None:",
        "tests/unit/server/test_handshake.py::test_a_second_job_under_a_live_namespace_is_told_to_set_job_identifier",
    ),
    Mutant(
        16,
        "never opens the valve",
        f"{_JAVA}/CheckpointValve.java",
        "waiting.setValveOpen(announced > over);",
        "waiting.setValveOpen(false);",
        "CheckpointValveTest",
    ),
    Mutant(
        17,
        "tells the end of a session before frames that came before it",
        f"{_JAVA}/session/Inbox.java",
        "SessionEvent event = events.poll();",
        "SessionEvent event = events.stream().filter(one -> !(one instanceof SessionEvent.FrameReceived)).findFirst()"
        ".filter(events::remove).orElseGet(events::poll);",
        "InboxTest#the_end_of_a_session_is_told_behind_all_of_its_frames_that_came_before",
    ),
    Mutant(
        19,
        "counts the wait for a thread against the time limit",
        f"{_ENGINE}/dispatcher.py",
        "self._threads.run(attempts)",
        "self._threads.run([one for one in attempts if one.context.time is None or not one.context.time.begin()])",
        "tests/unit/engine/test_time_limits.py::test_what_waits_for_a_thread_is_not_over_time",
    ),
    Mutant(
        19,
        "forgets what a failed attempt has used of its run's time",
        f"{_JAVA}/lane/Runs.java",
        "lane.run().addUsed(failure.getRanMs());",
        "",
        "RunLimitTest",
    ),
    Mutant(
        20,
        "ends a wait that is not wanted any more",
        f"{_JAVA}/lane/Retries.java",
        "if (wait.isStillWanted()) {",
        "if (wait.invocation().isWaiting()) {",
        "RetriesTest#one_whose_invocation_is_over_or_has_failed_again_does_nothing",
    ),
    Mutant(
        21,
        "sends on though the worker has acknowledged none of the frames",
        f"{_JAVA}/session/Outbox.java",
        "if (bye != null || invokes.isEmpty() || sequence - acknowledged >= frameWindow) {",
        "if (bye != null || invokes.isEmpty()) {",
        "FramesTest#what_is_queued_goes_at_once_in_numbered_frames_within_the_window",
    ),
    Mutant(
        22,
        "lets itself be chained behind a source",
        f"{_JAVA}/ActionOperatorFactory.java",
        "this.chainingStrategy = ChainingStrategy.HEAD;",
        "this.chainingStrategy = ChainingStrategy.ALWAYS;",
        "ChainingTest",
    ),
    Mutant(
        22,
        "opens behind another operator",
        f"{_JAVA}/ActionOperator.java",
        "if (!FlinkInternals.isHeadOfChain(getOperatorConfig())) {",
        "if (getOperatorConfig() == null) {",
        "ChainingTest",
    ),
    Mutant(
        23,
        "does not mark what is handed back, so that it counts twice",
        "python_server/flink_actions/wire/outcomes.py",
        "self.handed_back.append(outcome.handle)",
        "pass",
        "tests/integration/test_archive.py"
        "::test_after_a_reload_finished_work_is_handed_back_to_a_restarted_job_and_nothing_else_is_done",
    ),
    Mutant(
        24,
        "stays when its supervisor is gone and its event loop is blocked",
        f"{_SERVER}/worker.py",
        "os._exit(1)",
        "return",
        "tests/unit/server/test_worker.py::test_a_blocked_worker_ends_soon_after_its_supervisor_and_not_before",
    ),
)
