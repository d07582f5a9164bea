"""Durable calls of one attempt: matched with the records of earlier attempts, recorded, acknowledged.

Rules, all on the event loop's thread (calls from other threads begin and end there too):

- A call stands at a place (task, index in the task). It is answered by the record at exactly its place if function and
  arguments are equal, else by the oldest record left with that function and those arguments.
- A call that no record answers while there are records left is a mismatch at once if all calls came from one task;
  otherwise it is made, and records that are left when the action returns are the mismatch. After a failure of the
  action both are no mismatch: the record of the call that failed was dropped, and where that call succeeds now, the
  code rightly takes another path than the one that was recorded.
- A call does not start while an earlier record of its task is unacknowledged; with a reconciler not before its own
  start is acknowledged. So a death repeats the last call of each task at most.
- Records that this worker kept and the operator does not have are sent when they answer; at level synchronous the
  action has the answer when they are safe, as it has that of a call. If the operator has others
  than this worker, the invocation was worked on elsewhere since: what was kept here then answers a call at its place,
  and is no mismatch if that call does not come.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from flink_actions.engine import call_forms
from flink_actions.engine.identity import idempotency_key
from flink_actions.engine.invocation import CallPlace, CallRecord, ContentType, Invocation
from flink_actions.engine.pickled import pickled, unpickled
from flink_actions.engine.task_paths import TaskNode, running_node, running_task
from flink_actions.sdk import durable, values
from flink_actions.sdk.errors import (
    ContextEndedError,
    DurableCallError,
    NotDecodableError,
    NotEncodableError,
    ReplayMismatchError,
    RetryableError,
    TerminalError,
)
from flink_actions.sdk.policies import Durability, OnMismatch

if TYPE_CHECKING:
    from flink_actions.engine.context import InvocationContext
    from flink_actions.engine.plan import Action
    from flink_actions.engine.scope import Scope

_log = logging.getLogger(__name__)

# The operator acknowledges at once, the store within its own limits: after this long something is broken.
_ACKNOWLEDGED_WITHIN_SECONDS = 300.0
# How long a thread waits for the event loop: what it asks for there ends sooner, one way or the other.
LONGEST_WAIT_SECONDS = 3 * _ACKNOWLEDGED_WITHIN_SECONDS
# What a frame takes beside a call's value.
_RECORD_OVERHEAD_BYTES = 4096


class Request:
    """A call as the author asks for it."""

    __slots__ = ("arguments", "digest", "function", "function_id", "keywords", "reconciler", "text")

    def __init__(
        self,
        function: Callable[..., Any],
        arguments: Sequence[Any],
        keywords: Mapping[str, Any],
        reconciler: Callable[[], Any] | None,
        durable_id: str | None,
    ) -> None:
        if not callable(function):
            raise TypeError(f"durable calls take a function, not {function!r}: pass the function and its arguments")
        self.function = function
        self.arguments = arguments
        self.keywords = keywords
        self.reconciler = reconciler
        self.function_id = durable_id or call_forms.function_id_of(function)
        self.text = call_forms.arguments_text(function, arguments, keywords, self.function_id)
        self.digest = call_forms.digest_of(self.text)


class _Open:
    """A call that was matched: replayed from `record`, or to be made."""

    __slots__ = ("key", "node", "place", "record", "request")

    def __init__(self, node: TaskNode, place: CallPlace, record: CallRecord | None, request: Request, key: str) -> None:
        self.node = node
        self.place = place
        self.record = record
        self.request = request
        self.key = key


class _Unacknowledged:
    """A record on its way to the operator."""

    __slots__ = ("record", "waiting")

    def __init__(self, record: CallRecord) -> None:
        self.record: CallRecord | None = record
        self.waiting: list[asyncio.Future[None]] = []


class DurableCalls:
    """One attempt's calls.

    Args:
        context: Of the attempt; gives the root of its tasks.
        invocation: What the attempt is at.
        action: Its action, for the policies.
        scope: Where records go.
    """

    def __init__(self, context: InvocationContext, invocation: Invocation, action: Action, scope: Scope) -> None:
        self._context = context
        self._invocation = invocation
        self._action = action
        self._scope = scope
        self._loop = scope.loop
        self._is_recording = action.durability is not Durability.NONE
        # A call that failed was dropped from the records: see the head of this file.
        self._is_after_failure = invocation.failures > 0
        self._records: dict[CallPlace, CallRecord] = {}
        # Records that only this worker has.
        self._unsent: set[CallPlace] = set()
        # Kept here, but not on the way to what the operator has: they answer the very same calls, and oblige to none.
        self._of_another_past: dict[CallPlace, CallRecord] = {}
        if self._is_recording:
            self._unite_records()
        self._taken = set(self._records)
        self._tasks = {place.task for place in self._records}
        self._has_foreign_threads = False
        self._unacknowledged: dict[CallPlace, _Unacknowledged] = {}
        self._raised: list[tuple[CallPlace, Exception]] = []
        self._truncated: set[CallPlace] = set()
        # How many of one function with the same arguments there were.
        self._equal_calls: dict[tuple[str, bytes], int] = {}
        self._tasks_for_threads: set[asyncio.Task[_Open]] = set()
        self._is_ended = False
        # Set when a call met another one's record. The attempt has failed, whatever its code does then.
        self.mismatch: ReplayMismatchError | None = None

    def _unite_records(self) -> None:
        """The operator's records and those that this worker has kept; the operator's win."""
        records = self._records
        given = self._invocation.calls
        for record in given:
            records[record.place] = record
        kept = self._scope.kept
        if kept is None:
            return
        name = self._invocation.invocation_id
        mine = {record.place: record for record in kept.calls_of(name)}
        if all(_is_continued(record, mine.get(record.place)) for record in given):
            for place, record in mine.items():
                known = records.get(place)
                if known is None or (record.is_complete and not known.is_complete):
                    records[place] = record
                    self._unsent.add(place)
        else:
            # Since this worker had it the invocation has gone on elsewhere, on values that may be others.
            kept.forget_calls_of(name)
            self._of_another_past = {place: record for place, record in mine.items() if place not in records}
        kept.begin_calls(name, (self._scope.epoch, self._invocation.attempt))
        # The operator may be restored from before it had these: kept without them, those of this attempt would be
        # records of a code that begins in the middle.
        for record in given:
            kept.add_call(name, records[record.place])
        if kept.has_dropped_calls_of(name):
            self._is_after_failure = True

    # ---- calls ----

    async def execute_async(self, request: Request) -> Any:
        """Make a call from a task of the action, or answer it from its record."""
        # Unset in the first step, which is the action's own.
        call = await self._open(running_node() or self._context.task_root(), request)
        if call.record is not None and call.record.is_complete:
            return self._replay(call)
        token = durable._current.set(self._public(call))
        # Tasks that the function makes are not numbered with the action's: a replay does not make them.
        token_of_task = running_task.set(TaskNode(call.node))
        try:
            value = await self._call_in_task(call)
        except Exception as error:
            await self._failed(call, error)
            raise
        finally:
            running_task.reset(token_of_task)
            durable._current.reset(token)
        return await self._succeeded(call, value)

    def execute(self, request: Request) -> Any:
        """Make a call from a thread, or answer it from its record."""
        node = running_node()
        call = self._on_loop(lambda: self._open(node, request))
        if call.record is not None and call.record.is_complete:
            return self._replay(call)
        token = durable._current.set(self._public(call))
        try:
            value = self._call_in_thread(call)
        except Exception as error:
            failure = error
            self._on_loop(lambda: self._failed(call, failure))
            raise
        finally:
            durable._current.reset(token)
        return self._on_loop(lambda: self._succeeded(call, value))

    async def _open(self, node: TaskNode | None, request: Request) -> _Open:
        """Match a call, and wait until it may start."""
        self._refuse_if_ended(request)
        if node is None:
            # A thread that the author has started: calls of several may come in any order.
            self._has_foreign_threads = True
            node = self._context.task_root()
        equal = (request.function_id, request.digest)
        ordinal = self._equal_calls.get(equal, 0)
        self._equal_calls[equal] = ordinal + 1
        key = idempotency_key(self._invocation.invocation_id, *equal, ordinal).hex()
        place = CallPlace(node.path, node.calls)
        node.calls += 1
        self._tasks.add(place.task)
        record = self._match(place, request) if self._records else None
        if record is None and self._of_another_past:
            record = self._match_another_past(place, request)
        if record is None:
            while place in self._taken:
                # Kept for a call that did not come yet: writing over it would repeat that one.
                place = CallPlace(place.task, place.index + 1)
            self._taken.add(place)
        else:
            place = record.place
            if place in self._unsent:
                self._send(node, record)
                if self._action.durability is Durability.SYNCHRONOUS:
                    # What the action goes on with is safe there, also where it is this worker that had it.
                    await self._until_acknowledged(node)
        call = _Open(node, place, record, request, key)
        if record is None or not record.is_complete:
            await self._until_acknowledged(node)
            if record is None and request.reconciler is not None and self._is_recording:
                self._send(node, CallRecord(place, *equal))
                await self._until_acknowledged(node)
        return call

    def _match(self, place: CallPlace, request: Request) -> CallRecord | None:
        records = self._records
        exact = records.get(place)
        if exact is not None and _is_equal(exact, request):
            return records.pop(place)
        for known, record in records.items():
            if _is_equal(record, request):
                del records[known]
                return record
        if len(self._tasks) == 1 and not self._has_foreign_threads and not self._is_after_failure:
            self._mismatch(_side_by_side(exact or next(iter(records.values())), place, request))
            if self.mismatch is not None:
                raise self.mismatch
        return None

    def _match_another_past(self, place: CallPlace, request: Request) -> CallRecord | None:
        record = self._of_another_past.get(place)
        if record is None or place in self._taken or not _is_equal(record, request):
            return None
        del self._of_another_past[place]
        self._taken.add(place)
        self._unsent.add(place)
        return record

    def _replay(self, call: _Open) -> Any:
        record = call.record
        assert record is not None
        if record.failure is not None:
            error = call_forms.recorded_exception(record.failure)
            self._raised.append((call.place, error))
            raise error
        assert record.value is not None
        if record.content_type == ContentType.JSON:
            return self._decode(call, record.value)
        if record.content_type == ContentType.PICKLE:
            return unpickled(record.value, _value_of(call), self._scope.pickles)
        raise NotDecodableError(
            _value_of(call),
            f"it was recorded with content type {record.content_type}, which this server does not read: serve the "
            "action with a later version",
        )

    async def _call_in_task(self, call: _Open) -> Any:
        request = call.request
        function: Any = request.function
        arguments, keywords = request.arguments, request.keywords
        if call.record is not None and request.reconciler is not None:
            function, arguments, keywords = request.reconciler, (), {}
        if call_forms.is_coroutine_function(function):
            return await function(*arguments, **keywords)
        context = copy_context()

        def make() -> Any:
            # In the thread: the action may have ended without its tasks while this was queued.
            self._refuse_if_ended(request)
            return context.run(function, *arguments, **keywords)

        value = await self._scope.run_in_pool(make, request.function_id)
        return await value if inspect.isawaitable(value) else value

    def _call_in_thread(self, call: _Open) -> Any:
        request = call.request
        if call.record is not None and request.reconciler is not None:
            value = request.reconciler()
        else:
            value = request.function(*request.arguments, **request.keywords)
        if inspect.isawaitable(value):
            if inspect.iscoroutine(value):
                value.close()
            raise DurableCallError(
                f"{request.function_id} is `async def`, and ctx.durable_execute cannot await: make the action `async "
                "def` and use `await ctx.durable_execute_async(...)`"
            )
        return value

    async def _succeeded(self, call: _Open, value: Any) -> Any:
        content_type, copy = ContentType.JSON, None
        try:
            try:
                encoded = values.encode(value, _value_of(call))
            except NotEncodableError as refusal:
                encoded, copy = pickled(value, _value_of(call), self._scope.pickles, refusal)
                content_type = ContentType.PICKLE
            self._check_size(call, encoded)
        except NotEncodableError as error:
            await self._failed(call, error)
            raise
        request = call.request
        await self._complete(
            call, CallRecord(call.place, request.function_id, request.digest, encoded, content_type=content_type)
        )
        # As the record will give it back: what differs there has to show at once, not in the first replay.
        return self._decode(call, encoded) if content_type is ContentType.JSON else copy

    async def _failed(self, call: _Open, error: Exception) -> None:
        if isinstance(error, ReplayMismatchError):
            return
        self._raised.append((call.place, error))
        failure = call_forms.failure_record(error)
        await self._complete(
            call, CallRecord(call.place, call.request.function_id, call.request.digest, failure=failure)
        )

    async def _complete(self, call: _Open, record: CallRecord) -> None:
        self._refuse_if_ended(call.request)
        if not self._is_recording:
            return
        self._send(call.node, record)
        if self._action.durability is Durability.SYNCHRONOUS:
            await self._until_acknowledged(call.node)

    def _check_size(self, call: _Open, encoded: bytes) -> None:
        limit = self._scope.max_frame_bytes - _RECORD_OVERHEAD_BYTES
        if self._is_recording and len(encoded) > limit:
            raise NotEncodableError(
                _value_of(call),
                f"it takes {len(encoded)} bytes and a frame at most {limit}: return less, return a reference to where "
                "it lies, or raise the server's --max-frame-bytes (jobs take 16 MiB)",
            )

    def _decode(self, call: _Open, encoded: bytes) -> Any:
        declared = call_forms.declared_value(call.request.function)
        return values.decode(encoded, declared, _value_of(call))

    def _public(self, call: _Open) -> durable.DurableCall:
        return durable.DurableCall(call.key, call.request.function_id, self._invocation.attempt)

    def _refuse_if_ended(self, request: Request) -> None:
        if self._is_ended:
            raise ContextEndedError(
                f"the durable call of {request.function_id} goes on although action {self._action.name!r} has ended: "
                "await every task that the action starts"
            )

    # ---- records ----

    def _send(self, node: TaskNode, record: CallRecord) -> None:
        self._unsent.discard(record.place)
        self._truncated.discard(record.place)
        node.unacknowledged = self._unacknowledged[record.place] = _Unacknowledged(record)
        self._scope.note_call(self._invocation, record)

    async def _until_acknowledged(self, node: TaskNode) -> None:
        pending = node.unacknowledged
        if pending is None or pending.record is None:
            return
        place = pending.record.place
        acknowledged = self._loop.create_future()
        pending.waiting.append(acknowledged)
        timer = self._loop.call_later(_ACKNOWLEDGED_WITHIN_SECONDS, _give_up, acknowledged, place)
        try:
            await acknowledged
        finally:
            timer.cancel()

    def on_recorded(self, places: Iterable[CallPlace]) -> None:
        """The operator has these safe."""
        for place in places:
            pending = self._unacknowledged.pop(place, None)
            if pending is None:
                continue
            pending.record = None
            for waiting in pending.waiting:
                if not waiting.done():
                    waiting.set_result(None)

    def send_again(self) -> None:
        """A new session has begun: what was not acknowledged may not have arrived, or its acknowledgement was lost."""
        for pending in self._unacknowledged.values():
            if pending.record is not None:
                self._scope.note_call(self._invocation, pending.record)

    # ---- the end ----

    @property
    def has_untold(self) -> bool:
        """Whether this worker has kept records that no call has asked for, so that the operator does not have them."""
        return bool(self._unsent)

    def end(self) -> None:
        """The attempt is over: nothing is recorded any more, and who waits is told."""
        self._is_ended = True
        for pending in self._unacknowledged.values():
            for waiting in pending.waiting:
                if not waiting.done():
                    waiting.set_exception(ContextEndedError(f"action {self._action.name!r} has ended"))

    def at_return(self) -> ReplayMismatchError | None:
        """The action has returned: why it has failed all the same, if records say so."""
        if self.mismatch is None and self._records:
            if self._is_after_failure:
                _log.info("%s: %d recorded calls were not made again, after a failure", self._who(), len(self._records))
            else:
                self._mismatch(_side_by_side(next(iter(self._records.values())), None, None))
        return self.mismatch

    def to_drop(self, error: BaseException) -> Sequence[CallPlace]:
        """Records that the next attempt must not get: of the call whose exception ended this one, and those cut off."""
        chain = _chain_of(error)
        places = [
            place
            for place, raised in self._raised
            # Of a group a part may have ended it: `except*` has caught the others.
            if not chain.isdisjoint(_with_members(raised)) and not isinstance(raised, TerminalError)
        ]
        places += sorted(self._truncated)
        if places and self._scope.kept is not None:
            self._scope.kept.drop_calls(self._invocation.invocation_id, places)
        return places

    def _mismatch(self, difference: str) -> None:
        text = f"{self._who()}: {difference}"
        if self._action.on_mismatch is OnMismatch.TRUNCATE:
            _log.warning("%s\nThe records from here on are dropped, as the action's on_mismatch says.", text)
            self._truncated.update(self._records)
            self._taken.difference_update(self._records)
            self._records.clear()
            return
        self.mismatch = ReplayMismatchError(
            f"{text}\nA repeated action must make the calls that its records say: let nothing but its event, its "
            "memory and the values of durable calls decide what it calls. If the code was changed on purpose, declare "
            "the action with on_mismatch='truncate', or give renamed functions their old name by durable_id="
        )

    def _who(self) -> str:
        invocation = self._invocation
        return (
            f"action {self._action.name!r} (key {invocation.key!r}, run {invocation.run_number}, attempt "
            f"{invocation.attempt})"
        )

    # ---- from threads ----

    def _on_loop(self, make: Callable[[], Awaitable[Any]]) -> Any:
        """Run a coroutine on the event loop, and wait for it in this thread."""
        done: concurrent.futures.Future[Any] = concurrent.futures.Future()

        def begin() -> None:
            # Not by the loop's factory: it is no task of the author's and has no number.
            task: asyncio.Task[Any] = asyncio.Task(_awaited(make()), loop=self._loop)
            self._tasks_for_threads.add(task)
            task.add_done_callback(end)

        def end(task: asyncio.Task[Any]) -> None:
            self._tasks_for_threads.discard(task)
            if task.cancelled():
                done.set_exception(ContextEndedError(f"action {self._action.name!r} has ended"))
            elif task.exception() is not None:
                done.set_exception(task.exception())
            else:
                done.set_result(task.result())

        self._loop.call_soon_threadsafe(begin)
        return done.result(timeout=LONGEST_WAIT_SECONDS)


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def _value_of(call: _Open) -> str:
    return f"value of the durable call of {call.request.function_id}"


def _is_equal(record: CallRecord, request: Request) -> bool:
    return record.arguments_digest == request.digest and record.function_id == request.function_id


def _is_continued(given: CallRecord, mine: CallRecord | None) -> bool:
    """Whether what this worker has kept leads to the operator's record, or on from it."""
    if mine is None or given.is_complete or not mine.is_complete:
        return mine == given
    return (mine.function_id, mine.arguments_digest) == (given.function_id, given.arguments_digest)


def _give_up(acknowledged: asyncio.Future[None], place: CallPlace) -> None:
    if not acknowledged.done():
        acknowledged.set_exception(
            RetryableError(
                f"the record of durable call {_describe(place)} was not acknowledged within "
                f"{_ACKNOWLEDGED_WITHIN_SECONDS:g} s: look at the job and its action state store"
            )
        )


def _chain_of(error: BaseException) -> set[int]:
    """Ids of an exception, of what it came from, and of what its group holds."""
    return _ids_from(error, lambda one: (one.__cause__, one.__context__, *_members_of(one)))


def _with_members(error: BaseException) -> set[int]:
    """Ids of an exception and of what its group holds."""
    return _ids_from(error, _members_of)


def _ids_from(error: BaseException, following: Callable[[BaseException], Iterable[Any]]) -> set[int]:
    seen: dict[int, BaseException] = {}
    ahead: list[Any] = [error]
    while ahead:
        one = ahead.pop()
        # What only looks like a group may hold anything.
        if isinstance(one, BaseException) and id(one) not in seen:
            seen[id(one)] = one
            ahead += following(one)
    return set(seen)


def _members_of(error: BaseException) -> Iterable[Any]:
    try:
        return tuple(getattr(error, "exceptions", ()))
    except Exception:  # an author's attribute of that name
        return ()


def _describe(place: CallPlace) -> str:
    return f"{place.index} of {f'task {place.task}' if place.task else 'the action itself'}"


def _side_by_side(record: CallRecord, place: CallPlace | None, request: Request | None) -> str:
    recorded = ("recorded", _describe(record.place), record.function_id, record.arguments_digest.hex())
    if place is None or request is None:
        actual = ("now", "the action has returned", "-", "-")
    else:
        text = request.text.decode()
        shown = text if len(text) <= 200 else f"{text[:200]}..."
        actual = ("now", _describe(place), request.function_id, f"{request.digest.hex()}  {shown}")
    width = max(len(part) for part in recorded) + 2
    names = ("", "call", "function", "arguments")
    rows = [
        f"  {name:<11}{left:<{width}}{right}".rstrip()
        for name, left, right in zip(names, recorded, actual, strict=True)
    ]
    return "\n".join(["a durable call differs from its record", *rows])
