"""Whether the tests notice: makes one-line bugs in a copy of this repository and runs the test that has to fail.

For what no simulated world runs (see tests/simulation/README.md): the Flink operator, and the processes around a
worker. Each bug is one line; tests/mutants/mutants.py lists them with the test of each.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.mutants import MUTANTS, Mutant

_ROOT = Path(__file__).resolve().parents[2]
_SERVER = _ROOT / ".venv-server" / "bin" / "flink-actions"
_DEADLINE_SECONDS = 240.0
# Maven fails for many reasons; this one is that tests ran, and not all of them passed.
_TESTS_FAILED = re.compile(r"Tests run: \d+, (?:Failures: [1-9]|Failures: \d+, Errors: [1-9])")
_LINES_TOLD = 30
_EXAMPLES = """\
examples:
  python -m tests.mutants                 all of them, some minutes; `make mutants` is the same
  python -m tests.mutants --rule 22       those of one rule, as after a change to what keeps it
  python -m tests.mutants --list          what there is, and which test has to find it

what it says of each:
  found       the test failed, as it should
  NOT FOUND   the test passed, or came to no end: it does not prove the rule. Mend the test, not the list
  UNUSABLE    no test ran, as when the changed line does not compile. Mend tests/mutants/mutants.py

Before that the same tests run on the unchanged copy and have to pass; so nothing is found for another reason than the
bug. Needs .venv-server and a warm Maven repository (`make test-java` once). The exit code is 0 if all were found, 1 if
not, 2 if the tests fail without any bug. Your work tree is not touched; the copy is of its present state, and goes when
all is done.
"""


@dataclass(frozen=True)
class Ran:
    """How a run of tests ended ("passed", "failed", "no end", "did not run"), and what was printed."""

    words: str
    output: str


class Copy:
    """The repository's files in a folder of their own, where bugs are made and tests run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        names = _git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
        for name in filter(None, names):
            # Deleted in the work tree, it is still listed.
            if (_ROOT / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(_ROOT / name, root / name)
        # Before the environment's own packages, so that the copy is what runs: here, and in servers that tests start.
        self._environment = os.environ | {"PYTHONPATH": f"{root / 'python_server'}{os.pathsep}{root / 'flink_job'}"}
        code = "import flink_actions; print(flink_actions.__file__)"
        loaded = subprocess.run(
            [sys.executable, "-c", code], cwd=root, env=self._environment, check=True, capture_output=True, text=True
        ).stdout.strip()
        if not Path(loaded).is_relative_to(root):
            raise SystemExit(f"Python loads {loaded} instead of the copy in {root}")

    def with_bug(self, mutant: Mutant) -> Ran:
        """Run its test with the bug in its place."""
        path = self.root / mutant.file
        text = path.read_text()
        if text.count(mutant.old) != 1:
            return Ran("did not run", f"{mutant.old!r} occurs {text.count(mutant.old)} times in {mutant.file}")
        path.write_text(text.replace(mutant.old, mutant.new))
        try:
            return self.run([mutant])
        finally:
            path.write_text(text)

    def run(self, mutants: Sequence[Mutant]) -> Ran:
        """Run their tests, which are all of one kind."""
        tests = list(dict.fromkeys(mutant.test for mutant in mutants))
        is_java = mutants[0].is_java
        if is_java:
            command = ["mvn", "-B", "-o", "-q", "-f", "flink_job/operator/pom.xml", "test"]
            command += [f"-Dflinkactions.server={_SERVER}", "-Dspotless.check.skip=true", f"-Dtest={','.join(tests)}"]
        else:
            command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
        # Into a file: a pipe would stay open as long as anything that a test has left behind.
        with tempfile.TemporaryFile("w+") as log:
            process = subprocess.Popen(
                command, cwd=self.root, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
            try:
                code = process.wait(_DEADLINE_SECONDS)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                # The whole group, which is its own: a test's servers and clusters go with it.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            log.seek(0)
            output = log.read()
        if code is None:
            return Ran("no end", f"{output}\nno end within {_DEADLINE_SECONDS:g} s")
        if code == 0:
            return Ran("passed", output)
        # pytest: 1 is that tests failed, all else that they did not run.
        has_failed = _TESTS_FAILED.search(output) if is_java else code == 1
        return Ran("failed" if has_failed else "did not run", output)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    rules = sorted({mutant.rule for mutant in MUTANTS})
    parser.add_argument(
        "--rule", type=int, action="append", choices=rules, metavar="N", help=f"only this one, or several: {rules}"
    )
    parser.add_argument("--list", action="store_true", help="run nothing")
    arguments = parser.parse_args()
    mutants = [mutant for mutant in MUTANTS if not arguments.rule or mutant.rule in arguments.rule]
    if arguments.list:
        for mutant in mutants:
            print(f"rule {mutant.rule:2}  {mutant.name}\n         {mutant.file}\n         {mutant.test}")
        return 0
    with tempfile.TemporaryDirectory(prefix="flink-actions-mutants-", ignore_cleanup_errors=True) as folder:
        return _find(Copy(Path(folder).resolve()), mutants)


def _find(copy: Copy, mutants: list[Mutant]) -> int:
    for kind in ([one for one in mutants if not one.is_java], [one for one in mutants if one.is_java]):
        if not kind:
            continue
        began = time.monotonic()
        ran = copy.run(kind)
        language = "Java" if kind[0].is_java else "Python"
        print(f"without a bug: {language}'s tests {ran.words}, {time.monotonic() - began:.0f} s", flush=True)
        if ran.words != "passed":
            print(_last_lines(ran.output))
            return 2
    found = 0
    for number, mutant in enumerate(mutants, 1):
        began = time.monotonic()
        ran = copy.with_bug(mutant)
        word = {"failed": "found", "passed": "NOT FOUND", "no end": "NOT FOUND"}.get(ran.words, "UNUSABLE")
        found += word == "found"
        print(
            f"{number} of {len(mutants)}  {word}  rule {mutant.rule}: {mutant.name}  "
            f"({time.monotonic() - began:.0f} s, {mutant.test})",
            flush=True,
        )
        if word != "found":
            print(_last_lines(ran.output))
    print(f"{found} of {len(mutants)} found")
    return int(found < len(mutants))


def _last_lines(output: str) -> str:
    return "\n".join(f"    {line}" for line in output.splitlines()[-_LINES_TOLD:])


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=_ROOT, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
