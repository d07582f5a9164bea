"""Agents in PyFlink jobs: point a stream at an action server and get its outputs as a stream.

from pyflink_actions import ActionServer

server = ActionServer("localhost:7077")
verdicts = server.agent("reviews").apply(reviews, key_by=["product"]).outputs
"""

from pyflink_actions.action_server import ActionServer, Agent, AgentStreams
from pyflink_actions.action_state_store import KafkaStore
from pyflink_actions.errors import (
    ActionFailedError,
    ActionJobError,
    ActionStateStoreError,
    KeyFieldError,
    OperatorJarError,
    OptionError,
    RecordTypeError,
    ServerError,
)
from pyflink_actions.failure_policy import Backoff, FailurePolicy
from pyflink_actions.job_errors import typed_job_errors
from pyflink_actions.launch import Launch
from pyflink_actions.tls import Tls

__all__ = [
    "ActionFailedError",
    "ActionJobError",
    "ActionServer",
    "ActionStateStoreError",
    "Agent",
    "AgentStreams",
    "Backoff",
    "FailurePolicy",
    "KafkaStore",
    "KeyFieldError",
    "Launch",
    "OperatorJarError",
    "OptionError",
    "RecordTypeError",
    "ServerError",
    "Tls",
    "typed_job_errors",
]
