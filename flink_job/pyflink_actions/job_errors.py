"""Names what stopped a job: the Java exceptions behind a failed `env.execute()`, as the errors of this package."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pyflink_actions.errors import (
    ActionFailedError,
    ActionJobError,
    ActionStateStoreError,
    KeyFieldError,
    OptionError,
    RecordTypeError,
    ServerError,
)

# By the name of the Java class; the outermost that is listed decides, because it knows most of the circumstances.
_BY_JAVA_CLASS: dict[str, type[ActionJobError]] = {
    "io.flinkactions.operator.codec.KeyFieldException": KeyFieldError,
    "io.flinkactions.operator.codec.CodecException": RecordTypeError,
    "io.flinkactions.operator.InputNotEncodableException": RecordTypeError,
    "io.flinkactions.operator.failure.ActionFailedException": ActionFailedError,
    "io.flinkactions.operator.session.SessionException": ServerError,
    "io.flinkactions.operator.launch.LaunchException": ServerError,
    "io.flinkactions.operator.plan.UnsupportedPlanException": ServerError,
    "io.flinkactions.operator.store.StoreException": ActionStateStoreError,
    "io.flinkactions.operator.state.StateFormatException": ActionJobError,
    "io.flinkactions.operator.DrainLimitException": ActionJobError,
}


@contextmanager
def typed_job_errors() -> Iterator[None]:
    """Turn a job's failure into an `ActionJobError` where the cause is known, with Flink's own exception behind it.

    Example:
        with typed_job_errors():
            env.execute("reviews")
    """
    try:
        yield
    except Exception as error:
        from pyflink_actions._java_bridge import java_causes

        typed = typed_error(java_causes(error))
        if typed is None:
            raise
        raise typed from error


def typed_error(causes: Sequence[tuple[str, str]]) -> ActionJobError | None:
    """The error that a chain of Java exceptions (class, message; outermost first) stands for, if it is one of ours."""
    for name, message in causes:
        kind = _BY_JAVA_CLASS.get(name.partition("$")[0])
        if kind is not None:
            return kind(_without_class(name, message))
    # Settings are checked while the job is built, by plain Java means.
    if causes and causes[0][0] == "java.lang.IllegalArgumentException":
        return OptionError(causes[0][1])
    return None


def _without_class(name: str, message: str) -> str:
    """A message that came over the network begins with its class."""
    return message.removeprefix(f"{name}: ")
