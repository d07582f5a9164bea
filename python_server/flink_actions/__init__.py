"""Flink Action Server: run the Python actions of Apache Flink agents in a process of their own."""

from flink_actions.sdk.agent import Agent, action
from flink_actions.sdk.configuration import ConfigOption, ReadableConfiguration
from flink_actions.sdk.context import RunnerContext
from flink_actions.sdk.durable import DurableCall, current_call
from flink_actions.sdk.errors import (
    AgentLoadError,
    ContextEndedError,
    DurableCallError,
    FlinkActionsError,
    MemoryPathError,
    NotDecodableError,
    NotEncodableError,
    ReplayMismatchError,
    ResourceError,
    RetryableError,
    TerminalError,
    UnsupportedError,
)
from flink_actions.sdk.events import Event, EventType, InputEvent, OutputEvent
from flink_actions.sdk.memory import MemoryObject, MemoryRef
from flink_actions.sdk.metrics import Counter, Gauge, Histogram, Meter, MetricGroup
from flink_actions.sdk.policies import Backoff, Durability, OnFailure, OnMismatch
from flink_actions.sdk.prompts import ChatMessage, MessageRole, Prompt
from flink_actions.sdk.rates import Rate
from flink_actions.sdk.resources import (
    Resource,
    ResourceDescriptor,
    ResourceType,
    chat_model_connection,
    chat_model_setup,
    embedding_model_connection,
    embedding_model_setup,
    mcp_server,
    prompt,
    skills,
    tool,
    vector_store,
)
from flink_actions.sdk.rows import Row
from flink_actions.sdk.tools import FunctionTool, Tool

__all__ = [
    "Agent",
    "AgentLoadError",
    "Backoff",
    "ChatMessage",
    "ConfigOption",
    "ContextEndedError",
    "Counter",
    "Durability",
    "DurableCall",
    "DurableCallError",
    "Event",
    "EventType",
    "FlinkActionsError",
    "FunctionTool",
    "Gauge",
    "Histogram",
    "InputEvent",
    "MemoryObject",
    "MemoryPathError",
    "MemoryRef",
    "MessageRole",
    "Meter",
    "MetricGroup",
    "NotDecodableError",
    "NotEncodableError",
    "OnFailure",
    "OnMismatch",
    "OutputEvent",
    "Prompt",
    "Rate",
    "ReadableConfiguration",
    "ReplayMismatchError",
    "Resource",
    "ResourceDescriptor",
    "ResourceError",
    "ResourceType",
    "RetryableError",
    "Row",
    "RunnerContext",
    "TerminalError",
    "Tool",
    "UnsupportedError",
    "action",
    "chat_model_connection",
    "chat_model_setup",
    "current_call",
    "embedding_model_connection",
    "embedding_model_setup",
    "mcp_server",
    "prompt",
    "skills",
    "tool",
    "vector_store",
]
