"""Targets: how agents are found, what is said when they are not, and that a second load is a new one."""

from __future__ import annotations

import importlib.util
import os
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flink_actions.engine.loading import LoadedAgents, load_agents
from flink_actions.sdk.errors import AgentLoadError, DuplicateNameError, EmptyAgentError, TargetError

AGENT = """
from flink_actions import Agent, EventType, OutputEvent, action

class Shop(Agent):
    @action(EventType.InputEvent)
    async def act(self, event, ctx):
        ctx.send_event(OutputEvent({answer}))
"""

KEYLESS = """\
from flink_actions import Agent, ResourceDescriptor, action, chat_model_connection

class Shop(Agent):
    @chat_model_connection
    def llm(self):
        keys = {}
        return ResourceDescriptor(clazz="shop.Llm", key=keys["LLM_KEY"])

    @action("_input_event")
    async def act(self, event, ctx): ...
"""


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Writes files below a directory that is the current one; takes their modules away again."""
    before, path = dict(sys.modules), list(sys.path)
    monkeypatch.chdir(tmp_path)

    def write(name: str, text: str) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
        return file

    yield write
    for name in set(sys.modules) - set(before):
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    sys.path[:] = path


def names(loaded: LoadedAgents) -> list[str]:
    return list(loaded.plans)


@pytest.mark.parametrize(
    ("last_line", "target", "expected"),
    [
        ("agent = Shop()", "shop.py:agent", ["agent"]),
        ("agent = Shop()", "shop.py", ["agent"]),
        ("agent = Shop()", "shop:agent", ["agent"]),
        ("agent = Shop()", "./shop.py:agent", ["agent"]),
        ("", "shop:Shop", ["Shop"]),
        ("reviews = Shop('the shop')", "shop:reviews", ["the shop"]),
        ("def make(): return Shop()", "shop:make", ["make"]),
        ("agents = {'a': Shop(), 'b': Shop}", "shop:agents", ["a", "b"]),
        ("agents = [Shop('a'), Shop()]", "shop:agents", ["a", "Shop"]),
        ("def make(): return {'a': Shop(), 'b': Shop()}", "shop:make", ["a", "b"]),
        ("class Space: agent = Shop()", "shop:Space.agent", ["agent"]),
    ],
)
def test_agents_are_found(tree: Any, last_line: str, target: str, expected: list[str]) -> None:
    file = tree("shop.py", AGENT.format(answer=1) + last_line)
    loaded = load_agents(target)
    assert names(loaded) == expected
    assert loaded.source_files == (file,)
    assert {plan.code_digest for plan in loaded.plans.values()} == {loaded.code_digest}


def test_several_targets_are_served_together(tree: Any) -> None:
    tree("one.py", AGENT.format(answer=1) + "first = Shop()")
    tree("two.py", AGENT.format(answer=2) + "second = Shop()")
    assert names(load_agents(["one.py:first", "two:second"])) == ["first", "second"]


def test_a_file_in_a_package_may_import_relatively(tree: Any) -> None:
    tree("pack/__init__.py", "")
    tree("pack/answers.py", "ANSWER = 5")
    tree("pack/shop.py", "from .answers import ANSWER\n" + AGENT.format(answer="ANSWER") + "agent = Shop()")
    loaded = load_agents("pack/shop.py:agent")
    assert sorted(file.name for file in loaded.source_files) == ["__init__.py", "answers.py", "shop.py"]
    assert names(load_agents("pack.shop:agent")) == ["agent"]


def test_a_module_beside_the_file_is_found_from_anywhere(
    tree: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree("deep/answers.py", "ANSWER = 5")
    tree("deep/shop.py", "import answers\n" + AGENT.format(answer=1) + "agent = Shop()")
    monkeypatch.chdir("/")
    assert names(load_agents(f"{tmp_path}/deep/shop.py:agent")) == ["agent"]


def test_a_second_load_sees_the_new_code_even_within_the_same_second(tree: Any) -> None:
    tree("helper.py", "ANSWER = 1")
    shop = tree("shop.py", "from helper import ANSWER\n" + AGENT.format(answer=1) + "agent = Shop()")
    seen = []
    for answer in (1, 2, 1):
        # Same size, same time stamp: byte code on disk would pass for current.
        helper = tree("helper.py", f"ANSWER = {answer}")
        os.utime(helper, (1_700_000_000, 1_700_000_000))
        loaded = load_agents("shop.py:agent")
        seen.append((sys.modules["shop"].ANSWER, loaded.code_digest))
        assert loaded.source_files == (helper, shop)
    assert [answer for answer, _ in seen] == [1, 2, 1]
    assert seen[0][1] == seen[2][1] != seen[1][1]
    assert not list(shop.parent.rglob("*.pyc"))


def test_the_code_digest_changes_with_a_body_and_not_with_the_place(tree: Any, tmp_path: Path) -> None:
    for place, answer in (("a", 1), ("b", 1), ("c", 2)):
        tree(f"{place}/shop.py", AGENT.format(answer=answer) + "agent = Shop()")
    one, same, other = (load_agents(f"{place}/shop.py:agent").code_digest for place in "abc")
    assert one == same != other


def test_modules_of_others_are_neither_loaded_anew_nor_part_of_the_digest(tree: Any) -> None:
    import json

    tree("shop.py", "import json, httpx\n" + AGENT.format(answer=1) + "agent = Shop()")
    loaded = load_agents("shop.py:agent")
    assert [file.name for file in loaded.source_files] == ["shop.py"]
    assert sys.modules["json"] is json


@pytest.mark.parametrize(
    ("text", "target", "message"),
    [
        (None, "nothing.py:agent", "there is no file nothing.py"),
        (None, "no_such_module:agent", "there is no module 'no_such_module'"),
        (None, "1 2 3", "neither a module nor a path"),
        ("", "shop.py:agent", "module shop has no 'agent'; it has no agent"),
        (AGENT.format(answer=1) + "reviews = Shop()", "shop.py:agent", "agents there are: reviews, Shop"),
        ("agent = 5", "shop.py:agent", "is a int: it must be an Agent"),
        ("def agent(x): ...", "shop.py:agent", "without arguments, but missing a required argument: 'x'"),
        ("agent = []", "shop.py:agent", "holds no agent"),
        ("x = 1\nraise KeyError('gone')", "shop.py:agent", r"shop\.py:2: importing shop raised KeyError: 'gone'"),
        ("def agent():\n    raise KeyError('gone')", "shop.py:agent", r"shop\.py:2: agent\(\) raised KeyError"),
        ("x = (", "shop.py:agent", r"shop\.py:1: importing shop raised SyntaxError"),
        ("import not_installed", "shop.py:agent", "install 'not_installed' into the server's environment"),
        ("import sys; sys.exit(2)", "shop.py:agent", "importing shop raised SystemExit: 2"),
        ("class Panic(BaseException): ...\nraise Panic('no')", "shop.py:agent", r"shop\.py:2: importing .* Panic: no"),
        ("def agent():\n    raise SystemExit(2)", "shop.py:agent", r"shop\.py:2: agent\(\) raised SystemExit: 2"),
        (KEYLESS, "shop.py:Shop", r"shop\.py:7: making the plan of agent 'Shop' raised KeyError: 'LLM_KEY'"),
        (None, "shop-keeper.py:agent", "there is no file"),
    ],
)
def test_a_target_that_cannot_be_loaded_is_told_apart(tree: Any, text: str | None, target: str, message: str) -> None:
    if text is not None:
        tree("shop.py", text)
    with pytest.raises(TargetError, match=message):
        load_agents(target)


def test_a_file_named_like_a_module_that_python_has_is_refused(tree: Any) -> None:
    tree("json.py", AGENT.format(answer=1) + "agent = Shop()")
    with pytest.raises(TargetError, match=r"the name 'json' is taken by .*json/__init__\.py: rename the file"):
        load_agents("json.py:agent")


def test_a_file_that_cannot_be_a_module_is_refused(tree: Any) -> None:
    tree("shop-keeper.py", "agent = 1")
    with pytest.raises(TargetError, match="its name is no Python identifier"):
        load_agents("shop-keeper.py:agent")


@pytest.mark.parametrize("answer", ['return "_classes.py"', "return 5", "raise RuntimeError(name)"])
def test_what_a_package_puts_among_the_modules_may_answer_with_anything(tree: Any, answer: str) -> None:
    """As PyTorch's `torch.classes` does."""
    lines = f"""
import sys, types

class Odd(types.ModuleType):
    def __getattr__(self, name):
        {answer}

sys.modules["odd"] = Odd("odd")
"""
    file = tree("shop.py", lines + AGENT.format(answer=1) + "agent = Shop()\n")
    try:
        for _ in range(2):
            assert load_agents("shop:agent").source_files == (file,)
    finally:
        sys.modules.pop("odd", None)


def test_a_package_may_be_installed_where_only_a_finder_of_its_own_finds_it(
    tree: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `pip install --editable` does it."""
    tree("project/sold/__init__.py", "")
    tree("project/sold/prices.py", "APPLE = 3")
    file = tree(
        "project/sold/shop.py", "from .prices import APPLE\n" + AGENT.format(answer="APPLE") + "agent = Shop()\n"
    )
    tree("elsewhere/other.py", "")

    class Finder:
        @staticmethod
        def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
            if name != "sold":
                return None
            where = file.parent
            return importlib.util.spec_from_file_location(
                name, where / "__init__.py", submodule_search_locations=[str(where)]
            )

    monkeypatch.chdir("elsewhere")
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    loaded = load_agents("sold.shop:agent")
    assert [path.name for path in loaded.source_files] == ["__init__.py", "prices.py", "shop.py"]
    with pytest.raises(TargetError, match="there is no module 'sys_not'"):
        load_agents("sys_not:agent")


@pytest.mark.parametrize("target", ["agents/shop.yaml", "agents/shop.yml:agent", "shop.yaml"])
def test_a_yaml_agent_is_refused_by_name(tree: Any, target: str) -> None:
    tree("shop.yaml", "agents: []")
    with pytest.raises(TargetError, match=rf"'{target}'.* no YAML agents in this version; .*Python"):
        load_agents(target)


def test_a_module_may_be_called_yaml(tree: Any) -> None:
    tree("agents/__init__.py", "")
    tree("agents/yaml.py", AGENT.format(answer=1) + "agent = Shop()")
    assert names(load_agents("agents.yaml")) == ["agent"]


def test_an_agent_of_the_other_package_is_refused_by_name(tree: Any) -> None:
    tree("flink_agents/__init__.py", "")
    tree("flink_agents/agent.py", "class Agent: ...")
    tree("shop.py", "from flink_agents.agent import Agent\nclass Shop(Agent): ...\nagent = Shop()")
    for target in ("shop:agent", "shop:Shop"):
        with pytest.raises(TargetError, match=r"of the package flink_agents: .* flink_actions\.Agent"):
            load_agents(target)


def test_a_module_that_is_missing_below_a_package_is_named(tree: Any) -> None:
    tree("pack/__init__.py", "")
    with pytest.raises(TargetError, match=r"there is no module 'pack\.shop'"):
        load_agents("pack.shop:agent")


def test_errors_of_the_agent_pass_as_they_are(tree: Any) -> None:
    tree("shop.py", "from flink_actions import Agent\nclass Shop(Agent): ...\n")
    with pytest.raises(EmptyAgentError, match=r"shop\.py:2: agent 'Shop' has no action"):
        load_agents("shop.py:Shop")


def test_two_agents_of_one_name_are_refused(tree: Any) -> None:
    tree("shop.py", AGENT.format(answer=1) + "agents = [Shop(), Shop()]")
    with pytest.raises(DuplicateNameError, match="two agents are named 'Shop'"):
        load_agents("shop.py:agents")


def test_no_target_is_refused() -> None:
    with pytest.raises(AgentLoadError, match="no target"):
        load_agents([])


def test_a_load_that_fails_leaves_no_hook_behind(tree: Any) -> None:
    before = list(sys.meta_path)
    tree("shop.py", "raise ValueError")
    with pytest.raises(TargetError):
        load_agents("shop.py:agent")
    assert sys.meta_path == before
