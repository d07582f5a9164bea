"""The 23,703 snippets of four corpora that people rated by hand for the VADER paper (Hutto & Gilbert, ICWSM 2014).

They lie in the source distribution of vaderSentiment (MIT), which pip fetches; nothing of them is in this repository.

    python corpora.py DIRECTORY     writes DIRECTORY/<corpus>.jsonl, one snippet a line
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

_CONSTRAINTS = Path(__file__).resolve().parents[2] / "constraints.txt"
_PACKAGE = "vaderSentiment"


@dataclass(frozen=True)
class Corpus:
    """One of the four, with what the paper says of it."""

    name: str
    title: str
    file: str
    snippets: int
    published_correlation: float


CORPORA = (
    Corpus("tweets", "tweets", "tweets_GroundTruth.txt", 4_200, 0.881),
    Corpus("amazon", "product reviews", "amazonReviewSnippets_GroundTruth.txt", 3_708, 0.565),
    Corpus("movies", "film reviews", "movieReviewSnippets_GroundTruth.txt", 10_605, 0.451),
    Corpus("nyt", "newspaper editorials", "nytEditorialSnippets_GroundTruth.txt", 5_190, 0.492),
)


@dataclass(frozen=True)
class Snippet:
    """A piece of text and the mean of what at least 20 people thought of it, from -4 to 4."""

    corpus: str
    document: str
    snippet: str
    rating: float
    text: str


def write_snippets(directory: Path) -> int:
    """Fetch the corpora into `directory`, unless they are there, and return the number of snippets."""
    expected = sum(corpus.snippets for corpus in CORPORA)
    if all((directory / f"{corpus.name}.jsonl").is_file() for corpus in CORPORA):
        return expected
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        content = _fetch_data(Path(scratch))
    with tarfile.open(fileobj=io.BytesIO(content)) as data:
        for corpus in CORPORA:
            _write(list(_parse(corpus, data)), corpus, directory)
    return expected


def read_snippets(directory: Path, corpus: Corpus) -> list[Snippet]:
    """The snippets of a corpus, in its order."""
    text = (directory / f"{corpus.name}.jsonl").read_text(encoding="utf-8")
    # Not splitlines(): it also splits at characters that may stand in a text.
    return [Snippet(**json.loads(line)) for line in text.split("\n") if line]


def _write(snippets: list[Snippet], corpus: Corpus, directory: Path) -> None:
    if len(snippets) != corpus.snippets:
        raise SystemExit(f"{corpus.file} has {len(snippets)} snippets, not {corpus.snippets}: other data?")
    lines = "".join(json.dumps(asdict(snippet), ensure_ascii=False) + "\n" for snippet in snippets)
    # Renamed into place, so that an interrupted run leaves no half of a corpus behind.
    unfinished = directory / f".{corpus.name}"
    unfinished.write_text(lines, encoding="utf-8")
    unfinished.rename(directory / f"{corpus.name}.jsonl")


def _fetch_data(scratch: Path) -> bytes:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-binary", ":all:", "--constraint", str(_CONSTRAINTS), "--dest", str(scratch), _PACKAGE]
    subprocess.run(command, check=True, timeout=300)
    (sdist,) = scratch.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        inner = next(member for member in archive if member.name.endswith("hutto_ICWSM_2014.tar.gz"))
        content = archive.extractfile(inner)
        assert content is not None, f"{inner.name} in {sdist.name} is not a file"
        return content.read()


def _parse(corpus: Corpus, data: tarfile.TarFile) -> Iterator[Snippet]:
    content = data.extractfile(f"hutto_ICWSM_2014/{corpus.file}")
    assert content is not None, f"{corpus.file} is not a file"
    for line in content.read().decode("utf-8").split("\r\n"):
        if not line:
            continue
        identifier, rating, text = line.split("\t")
        document = identifier.partition("_")[0]
        yield Snippet(corpus.name, document, identifier, float(rating), text)


if __name__ == "__main__":
    print(f"{write_snippets(Path(sys.argv[1])):,} snippets in {sys.argv[1]}")
