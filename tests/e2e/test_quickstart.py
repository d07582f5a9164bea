"""`make run`, as a newcomer sees it; make itself has built what it needs before the tests run."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.e2e.conftest import ROOT

BUILD = ROOT / "examples/sentiment/build"


@pytest.mark.timeout(400)
def test_the_quickstart_ends_with_the_papers_table_and_a_picture() -> None:
    picture = BUILD / "sentiment.png"
    picture.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, ROOT / "examples/sentiment/run.py"],
        capture_output=True,
        text=True,
        timeout=380,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {line.split("  ")[0]: line.split()[-6:] for line in done.stdout.splitlines()}
    assert rows["tweets"] == ["4,200", "4,200", "0", "0.872", "0.872", "0.881"]
    assert rows["product reviews"] == ["3,708", "300", "344", "0.590", "0.590", "0.565"]
    assert rows["film reviews"] == ["10,605", "10,605", "0", "0.427", "0.427", "0.451"]
    assert rows["newspaper editorials"] == ["5,190", "498", "841", "0.503", "0.503", "0.492"]
    assert "23,703 / 23,703 snippets" in done.stdout
    assert str(picture.relative_to(ROOT)) in done.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
