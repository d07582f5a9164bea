"""The list of mutants cannot rot: each of them still names one place, and a test that is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.mutants.mutants import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]
JAVA_TESTS = ROOT / "flink_job/operator/src/test/java"
# Those that the operator keeps; of others what a worker keeps beside, what is too rare in the simulation, or cannot be
# there; tests/simulation/README.md.
RULES = {0, 1, 2, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16, 17, 19, 20, 21, 22, 23, 24}

each = pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.rule} {mutant.name}")


@each
def test_what_it_changes_is_part_of_one_line_and_occurs_once(mutant: Mutant) -> None:
    assert (ROOT / mutant.file).read_text().count(mutant.old) == 1
    assert mutant.new != mutant.old
    assert "\n" not in mutant.old + mutant.new


@each
def test_its_test_is_there(mutant: Mutant) -> None:
    name, _, function = mutant.test.partition("#" if mutant.is_java else "::")
    (file,) = JAVA_TESTS.rglob(f"{name}.java") if mutant.is_java else [ROOT / name]
    assert re.search(rf"\b{re.escape(function.rstrip('*'))}\b" if function else "@Test", file.read_text())


def test_every_rule_that_the_operator_keeps_has_one() -> None:
    assert {mutant.rule for mutant in MUTANTS} == RULES
