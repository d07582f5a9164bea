"""Prompts, tools and configuration: what needs no worker."""

from __future__ import annotations

import pytest
from flink_actions import (
    ChatMessage,
    ConfigOption,
    MessageRole,
    Prompt,
    ReadableConfiguration,
    ResourceDescriptor,
    ResourceType,
    Tool,
)


def test_a_prompt_fills_in_what_it_is_given_and_leaves_other_braces() -> None:
    prompt = Prompt.from_text('Rate {text} as {"score": 0.5}, {unknown}')
    assert prompt.format_string(text="{it}") == 'Rate {it} as {"score": 0.5}, {unknown}'
    assert prompt.format_messages(MessageRole.USER, text="it")[0].role is MessageRole.USER
    assert prompt.resource_type() is ResourceType.PROMPT


def test_a_prompt_of_messages_keeps_their_roles() -> None:
    prompt = Prompt.from_messages([ChatMessage(MessageRole.SYSTEM, "Be {how}."), ChatMessage(MessageRole.USER, "Hi")])
    assert prompt.format_messages(how="kind")[0] == ChatMessage(MessageRole.SYSTEM, "Be kind.")
    assert prompt.format_string(how="kind") == "system: Be kind.\nuser: Hi"


def test_a_function_becomes_a_tool() -> None:
    def add(a: int, b: int) -> int:
        """Adds two numbers."""
        return a + b

    tool = Tool.from_callable(add)
    assert (tool.name, tool.description, tool.call(a=1, b=2)) == ("add", "Adds two numbers.", 3)


def test_a_descriptor_says_what_it_makes() -> None:
    assert repr(ResourceDescriptor(clazz="a.B", url="x")) == "ResourceDescriptor('a.B', url='x')"


def test_configuration_reads_text_as_the_type_that_is_asked_for() -> None:
    config = ReadableConfiguration({"n": "5", "yes": "True", "x": 1.5, "text": 7})
    assert (config.get_int("n"), config.get_bool("yes"), config.get_float("x"), config.get_str("text")) == (
        5,
        True,
        1.5,
        "7",
    )
    assert (config.get("n"), config["n"], "none" in config, config.get("none", 3)) == ("5", "5", False, 3)
    assert config.get(ConfigOption("n", int)) == 5
    assert config.get(ConfigOption("none", int, 9)) == 9
    assert config.get_int("none") is None
    with pytest.raises(ValueError, match="yes='True' is no int"):
        config.get_int("yes")
    with pytest.raises(ValueError, match="n='5' is no bool"):
        config.get_bool("n")
