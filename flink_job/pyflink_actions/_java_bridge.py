"""The one file that touches Py4J: it crosses into Java by one static method, io.flinkactions.operator.Bridge.apply."""

import functools
import json
import logging
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from py4j.java_gateway import JavaPackage
from py4j.protocol import Py4JError, Py4JJavaError
from pyflink.common.typeinfo import TypeInformation
from pyflink.datastream import DataStream, StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway

from pyflink_actions._operator_jar import find_operator_jar
from pyflink_actions.errors import RecordTypeError
from pyflink_actions.job_errors import typed_error

_LOG = logging.getLogger("pyflink_actions")


def apply(
    stream: DataStream, call: dict[str, Any], output_type: TypeInformation | None
) -> tuple[DataStream, DataStream, DataStream | None]:
    """Put an action operator behind `stream`, by Bridge's rules for `call`.

    Returns:
        Its outputs, its dead letters, and its events if `call` asks for them.

    Raises:
        RecordTypeError: It is no stream.
        ActionJobError: What Java said, as the class of this package that it is.
        OperatorJarError: There is no jar.
    """
    if not isinstance(stream, DataStream):
        raise RecordTypeError(
            f"apply() takes a DataStream and was given a {type(stream).__name__}; for a Table, use "
            "t_env.to_data_stream(table)"
        )
    j_stream = stream._j_data_stream
    env = StreamExecutionEnvironment(j_stream.getExecutionEnvironment())
    bridge = _bridge(env)
    _use_this_python_locally(env)
    j_output_type = None if output_type is None else output_type.get_java_type_info()
    try:
        applied = bridge.apply(j_stream, json.dumps(call), j_output_type)
    except Py4JJavaError as error:
        typed = typed_error(java_causes(error))
        if typed is None:
            raise
        raise typed from error
    for remark in applied.remarks():
        _warn_once(remark)
    streams = applied.streams()
    events = DataStream(streams.events()) if call.get("events") else None
    return DataStream(streams.outputs()), DataStream(streams.deadLetters()), events


@functools.cache
def _warn_once(remark: str) -> None:
    """A job may have many agents, and they all have the same configuration."""
    _LOG.warning(remark)


def java_causes(error: BaseException) -> list[tuple[str, str]]:
    """Class and message of every Java exception behind `error`, the outermost first; empty if there is none."""
    causes: list[tuple[str, str]] = []
    throwable = error.java_exception if isinstance(error, Py4JJavaError) else None
    while throwable is not None and len(causes) < 64:
        name = throwable.getClass().getName()
        if name.endswith(".SerializedThrowable"):
            # Came from a cluster as text: its class may not be here.
            name = throwable.getOriginalErrorClassName()
        causes.append((name, _message_of(throwable)))
        throwable = throwable.getCause()
    return causes


def _message_of(throwable: Any) -> str:
    try:
        return throwable.getMessage() or ""
    except Py4JError:
        # Py4J remembers methods by the name of their class. A class of the same name from an earlier job's class loader
        # is another one, and where it has a getMessage of its own (Jackson's do), that is not this object's.
        return ""


def _bridge(env: StreamExecutionEnvironment) -> Any:
    """The Java class; from Flink's class path if somebody put the jar there, else with our jar added to the job."""
    bridge = get_gateway().jvm.io.flinkactions.operator.Bridge
    is_missing = isinstance(bridge, JavaPackage)  # Py4J's word for "no such class"
    if is_missing or _was_added_by_us():
        # For every environment of this process: each job ships its own jars.
        jar = find_operator_jar().as_uri()
        if jar not in (env._j_stream_execution_environment.getConfiguration().toMap().get("pipeline.jars") or ""):
            env.add_jars(jar)
    return get_gateway().jvm.io.flinkactions.operator.Bridge if is_missing else bridge


def _was_added_by_us() -> bool:
    """The class was found in the very jar that we would add."""
    loader = get_gateway().jvm.Thread.currentThread().getContextClassLoader()
    resource = loader.getResource("io/flinkactions/operator/Bridge.class")
    path = unquote(urlsplit(str(resource.getPath()).partition("!")[0]).path)
    return Path(path) == find_operator_jar()


def _use_this_python_locally(env: StreamExecutionEnvironment) -> None:
    """A local PyFlink would start its workers with the `python` of $PATH, which may be another one without pyflink."""
    j_env = env._j_stream_execution_environment
    is_local = j_env.getClass().getSimpleName() == "LocalStreamEnvironment"
    if is_local and not j_env.getConfiguration().toMap().containsKey("python.executable"):
        env.set_python_executable(sys.executable)
