"""Prompts: text and messages with places to fill in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from flink_actions.sdk.resources import Resource, ResourceType

_PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


class MessageRole(str, Enum):
    """Who says a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a conversation."""

    role: MessageRole
    content: str


class Prompt(Resource):
    """A template: `{name}` is replaced by the argument of that name, any other brace stays as it is.

    Example:
        >>> Prompt.from_text("Rate this review: {text}").format_string(text="fine")
        'Rate this review: fine'
    """

    def __init__(self, template: str | Sequence[ChatMessage]) -> None:
        self.template = template

    @classmethod
    def resource_type(cls) -> ResourceType:
        """`prompt`."""
        return ResourceType.PROMPT

    @staticmethod
    def from_text(text: str) -> Prompt:
        """A prompt of one text."""
        return Prompt(text)

    @staticmethod
    def from_messages(messages: Sequence[ChatMessage]) -> Prompt:
        """A prompt of several messages."""
        return Prompt(tuple(messages))

    def format_string(self, **arguments: Any) -> str:
        """The text; of several messages, one `role: content` line each."""
        if isinstance(self.template, str):
            return _fill(self.template, arguments)
        return "\n".join(f"{message.role.value}: {_fill(message.content, arguments)}" for message in self.template)

    def format_messages(self, role: MessageRole = MessageRole.SYSTEM, **arguments: Any) -> list[ChatMessage]:
        """The messages; a text becomes one message of `role`."""
        if isinstance(self.template, str):
            return [ChatMessage(role, _fill(self.template, arguments))]
        return [ChatMessage(message.role, _fill(message.content, arguments)) for message in self.template]


def _fill(template: str, arguments: dict[str, Any]) -> str:
    # Not str.format: prompts hold JSON examples, whose braces mean nothing here.
    return _PLACE.sub(lambda place: str(arguments[place[1]]) if place[1] in arguments else place[0], template)
