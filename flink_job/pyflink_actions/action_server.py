"""What a job author sees: a server, its agents, and the streams that an agent makes of a stream."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pyflink.common.typeinfo import TypeInformation
from pyflink.datastream import DataStream

from pyflink_actions import _java_bridge
from pyflink_actions.action_state_store import KafkaStore
from pyflink_actions.durations import Duration, duration_text, milliseconds
from pyflink_actions.errors import OptionError
from pyflink_actions.failure_policy import FailurePolicy
from pyflink_actions.launch import Launch
from pyflink_actions.tls import Tls

InputType = str
"""`"row"`, `"string"`, `"json"`, `"bytes"` or `"pickled"`."""


@dataclass(frozen=True)
class AgentStreams:
    """What comes out of an agent."""

    outputs: DataStream
    """What its actions sent as `OutputEvent`; also the operator itself, for `set_parallelism` and the like."""

    dead_letters: DataStream
    """Invocations of actions whose policy is `dead_letter` that were given up, as JSON text: agent, action, key, run,
    invocation_id, input, event, error (kind, class, message, stack), attempts and where the last one ran."""

    events: DataStream | None = None
    """With `apply(..., events=True)`: every input, and every event that an action has sent, outputs too, as JSON text:
    type, id, key, run, attributes, upstream_action and upstream_event_id (null for an input), timestamp (the input's,
    or null). An input comes when it arrives, an action's events when its result is applied: exactly once, as outputs.
    """


@dataclass(frozen=True)
class Agent:
    """An agent of a server, by name. The job learns what it does when it connects."""

    server: ActionServer
    name: str

    def apply(
        self,
        stream: DataStream,
        *,
        key_by: str | Sequence[str] = (),
        input_type: InputType | None = None,
        output_type: TypeInformation | str | None = None,
        uid: str | None = None,
        name: str | None = None,
        events: bool = False,
    ) -> AgentStreams:
        """Run the agent on every record of `stream`.

        Args:
            stream: The inputs: a stream with `key_by`, or one that `stream.key_by(function, key_type=Types.STRING())`
                has keyed.
            key_by: Name of the field, or names of the fields, that make the key. They are read in the JVM, so that a
                job whose sources and sinks are Java's runs without a Python worker. Records of one key are worked on
                in order, one after the other.
            input_type: How a record becomes the event's `input`. By default as the stream's type says: a `str` or
                `bytes` is itself, and rows, tuples, lists and maps become JSON (named fields a dict). `"json"`: the
                records are JSON text already, as strings or bytes. `"pickled"`: PyFlink's untyped streams; needs
                `allow_pickle` on both sides.
            output_type: What an output becomes: `"json"` (JSON text; the default), `"string"`, `"bytes"`, or a Flink
                type such as `Types.ROW_NAMED(["id", "score"], [Types.STRING(), Types.DOUBLE()])`, into which it is
                read strictly. `Types.PICKLED_BYTE_ARRAY()`: the dict, list, str, ... that was sent, for
                Python functions that follow.
            uid: Names the operator's state in savepoints. By default `agent-<name>`; give your own when one agent is
                applied twice.
            name: The operator's name in Flink's web UI.
            events: Makes `AgentStreams.events`, to watch what the agent does. Costs nothing if left out.

        Returns:
            The agent's streams.

        Raises:
            KeyFieldError: A key field is not there, or of a type that cannot be a key.
            RecordTypeError: The stream's type, or `output_type`, cannot travel; or it is a Table and no stream.
            OptionError: A setting cannot be read or is out of range.
            OperatorJarError: The operator's jar is missing.
        """
        if uid == "":
            raise OptionError("uid is empty: give the operator's state a name, or leave it out (agent-<name>)")
        declared = output_type if isinstance(output_type, TypeInformation) else None
        call: dict[str, Any] = {
            "agent": self.name,
            "endpoints": self.server.endpoints,
            "options": self.server.options,
            "config": self.server.config,
            "key_by": [key_by] if isinstance(key_by, str) else list(key_by),
            "input_type": input_type,
            "output_type": None if declared is not None else output_type,
            "uid": uid,
            "name": name,
            "events": events,
        }
        given = {key: value for key, value in call.items() if value is not None}
        return AgentStreams(*_java_bridge.apply(stream, given, declared))


class ActionServer:
    """Where a job finds its agents.

    A setting that is left out comes from the `agent:` section of Flink's configuration (`config.yaml`, `-D agent.…`),
    and then from its default.

    Args:
        endpoints: The server's address, `"host:port"` or `"unix:/path"`, or several, of which subtask i begins with
            the i-th and goes on to the next when that cannot be reached. An address is read on the machine of the
            TaskManager: `"localhost:7077"` is the server beside each of them.
        job_identifier: Keeps this job's invocations apart from those of others, and the same when the job is submitted
            anew.
        reconnect_timeout: How long the job looks for a server before it fails (5 minutes).
        max_runs_in_flight: Most runs of one subtask that have begun and not ended (16,384).
        waiting_inputs: Bytes of waiting inputs per subtask from which on upstream is held back, and which not even a
            pending checkpoint may exceed (16 MiB, 256 MiB).
        drain_limit: How long the end of the input waits for open runs (for ever).
        run_timeout: How long the actions of one run may take together; waits for retries, workers and restarts do not
            count (no limit).
        plan_digest: The plan that the job insists on, as `flink-actions describe` prints it (any).
        short_term_memory_ttl: Time to live of each entry of short-term memory (for ever). BATCH does without.
        short_term_memory_ttl_update: What makes an entry's time begin anew: that it is written
            (`"ON_CREATE_AND_WRITE"`), or also that an action of its key runs (`"ON_READ_AND_WRITE"`, the default).
        short_term_memory_ttl_visibility: Whether an entry may be read when its time is over: not
            (`"NEVER_RETURN_EXPIRED"`, the default), or until Flink removes it (`"RETURN_EXPIRED_IF_NOT_CLEANED_UP"`).
        hop_limit: How many events deep one input may chain, where the agent names no limit (1,000).
        missing_action: What becomes of an open run's invocation whose action the server's code has no more, not even
            under a former name (`@action(formerly=)`): `"fail"` the job, `"dead_letter"` or `"ignore"` (fail).
        default_failure_policy: What follows when an action fails that states no policy of its own (the job fails).
        allow_pickle: Lets pickles travel, if the server allows it too: inputs, and values of durable calls that have no
            JSON form. Loading a pickle runs code.
        unsorted_batch_input: BATCH without timestamps: keep the order of arrival, with all keys' memory on the heap.
        action_state_store: Where durable calls of level `synchronous` are recorded, which needs one (none). With
            `job_identifier`, a job that is submitted anew without a savepoint goes on with them too.
        ignore_store: Nothing that was recorded or kept before this submission answers a call: to redo from a savepoint
            what went wrong. Records in the savepoint itself still do.
        tls: Encrypts connections to TCP endpoints, and makes sure of the server (none).
        token_file: File with the token that the server asks for (`--token-file`), on the TaskManagers' machines (none).
        buffer_timeout: `execution.buffer-timeout.interval` of a job that sets none (0). Flink's own 100 ms would cost
            each record 50 ms; raise it where throughput of the rest of the job counts more.
        config: What the agents read as `ctx.config`: JSON values by key.
        launch: Instead of `endpoints`: the job starts a server in each of its TaskManagers.

    Raises:
        OptionError: A setting has the wrong form, or there are both `endpoints` and `launch`.
    """

    def __init__(
        self,
        endpoints: str | Sequence[str] = (),
        *,
        job_identifier: str | None = None,
        reconnect_timeout: Duration | None = None,
        max_runs_in_flight: int | None = None,
        waiting_inputs: tuple[int, int] | None = None,
        drain_limit: Duration | None = None,
        run_timeout: Duration | None = None,
        plan_digest: str | None = None,
        short_term_memory_ttl: timedelta | float | None = None,
        short_term_memory_ttl_update: str | None = None,
        short_term_memory_ttl_visibility: str | None = None,
        hop_limit: int | None = None,
        missing_action: str | None = None,
        default_failure_policy: FailurePolicy | None = None,
        allow_pickle: bool | None = None,
        unsorted_batch_input: bool | None = None,
        action_state_store: KafkaStore | None = None,
        ignore_store: bool | None = None,
        tls: Tls | None = None,
        token_file: str | None = None,
        buffer_timeout: Duration | None = None,
        config: Mapping[str, Any] | None = None,
        launch: Launch | None = None,
    ) -> None:
        self.endpoints = [endpoints] if isinstance(endpoints, str) else list(endpoints)
        for endpoint in self.endpoints:
            _check_endpoint(endpoint)
        if self.endpoints and launch is not None:
            raise OptionError(f"endpoints {self.endpoints} and launch={launch}: drop one of them")
        if not isinstance(default_failure_policy, FailurePolicy | None):
            raise OptionError(
                f"default_failure_policy is {default_failure_policy!r}; give a pyflink_actions.FailurePolicy, such as "
                "FailurePolicy('dead_letter', max_attempts=5)"
            )
        self.config = _json_config(config or {})
        soft_limit, hard_limit = _two_limits(waiting_inputs)
        ttl = short_term_memory_ttl
        given = {
            "job-identifier": job_identifier,
            "reconnect-timeout": duration_text("reconnect_timeout", reconnect_timeout),
            "max-runs-in-flight": max_runs_in_flight,
            "waiting-inputs.soft-limit": None if soft_limit is None else f"{soft_limit} b",
            "waiting-inputs.hard-limit": None if hard_limit is None else f"{hard_limit} b",
            "drain-limit": duration_text("drain_limit", drain_limit),
            "run-timeout": duration_text("run_timeout", run_timeout),
            "plan-digest": plan_digest,
            "short-term-memory.state-ttl.ms": None if ttl is None else milliseconds("short_term_memory_ttl", ttl),
            "short-term-memory.state-ttl.update-type": short_term_memory_ttl_update,
            "short-term-memory.state-ttl.visibility": short_term_memory_ttl_visibility,
            "hop-limit": hop_limit,
            "missing-action": missing_action,
            **({} if default_failure_policy is None else default_failure_policy.options()),
            "allow-pickle": None if allow_pickle is None else str(allow_pickle).lower(),
            "unsorted-batch-input": None if unsorted_batch_input is None else str(unsorted_batch_input).lower(),
            "ignore-store": None if ignore_store is None else str(ignore_store).lower(),
            **({} if action_state_store is None else action_state_store.options()),
            **({} if tls is None else tls.options()),
            "token-file": token_file,
            "buffer-timeout": duration_text("buffer_timeout", buffer_timeout),
            **({} if launch is None else launch.options()),
        }
        self.options = {key: str(value) for key, value in given.items() if value is not None}

    def agent(self, name: str) -> Agent:
        """The server's agent of that name, which is looked up when the job runs."""
        if not name:
            raise OptionError("an agent's name is empty; `flink-actions describe` lists those of a server")
        return Agent(self, name)


def _two_limits(waiting_inputs: Any) -> tuple[Any, Any]:
    if waiting_inputs is None:
        return None, None
    if not isinstance(waiting_inputs, (tuple, list)) or len(waiting_inputs) != 2:
        raise OptionError(
            f"waiting_inputs is {waiting_inputs!r}; give two numbers of bytes, from which on upstream is held back and "
            "which is never exceeded, such as (16 << 20, 256 << 20)"
        )
    soft_limit, hard_limit = waiting_inputs
    return soft_limit, hard_limit


def _json_config(config: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in config.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise OptionError(f"config[{key!r}] is {value!r}, and agents read JSON values: {error}") from error
        if not isinstance(key, str):
            raise OptionError(f"config has the key {key!r}; keys are text")
    return dict(config)


def _check_endpoint(endpoint: str) -> None:
    """Here and not in the task: whatever gRPC makes of it there says nothing of the port that is missing."""
    scheme, colon, _ = endpoint.partition(":")
    if (
        endpoint.startswith(("unix:", "unix-abstract:"))
        or "://" in endpoint
        or (colon and scheme in ("dns", "ipv4", "ipv6"))
    ):
        return
    host, _, port = endpoint.rpartition(":")
    is_bare_ipv6 = ":" in host and not (host.startswith("[") and host.endswith("]"))
    if not host or is_bare_ipv6 or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise OptionError(
            f"endpoint {endpoint!r} is no address: give host and port, such as 'localhost:7077' or '[::1]:7077', or "
            "'unix:/path'"
        )
