"""What came out of the job: a table, a picture, and a comparison with the same code called directly.

    python report.py SNIPPETS OUTPUTS PICTURE.png

Every snippet must have come out once, with the score that a direct call gives it; every document must have turned
where it turns when its snippets are folded in their order; and so the correlations are equal to the last digit. It
fails otherwise.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from agent import Picture, SentimentAgent
from corpora import CORPORA, Corpus, Snippet, read_snippets

MOODS = {"positive": "#2a7f62", "neutral": "#c9c5b9", "negative": "#b5442e"}

Verdicts = dict[str, list[dict[str, Any]]]


class Mismatch(Exception):
    """The job did not give what the direct call gives."""


@dataclass(frozen=True)
class Outcome:
    """A corpus after the job."""

    corpus: Corpus
    ratings: list[float]
    scores: list[float]
    correlation: float
    direct_correlation: float
    moods: dict[str, str]
    verdicts: Verdicts

    @property
    def turns(self) -> int:
        return sum(map(len, self.verdicts.values()))


def outcome_of(corpus: Corpus, snippets: list[Snippet], outputs: list[dict[str, Any]]) -> Outcome:
    """Compare a corpus' outputs with the direct computation.

    Raises:
        Mismatch: They differ.
    """
    scores = _scores(corpus, outputs)
    verdicts: Verdicts = defaultdict(list)
    for output in outputs:
        if output["kind"] == "verdict":
            verdicts[output["document"]].append({name: output[name] for name in ("after", "was", "now")})

    analyzer = SentimentAgent()._analyzer
    direct = {snippet.snippet: analyzer.polarity_scores(snippet.text)["compound"] for snippet in snippets}
    if scores != direct:
        wrong = [name for name in direct if scores.get(name) != direct[name]] or [*scores.keys() - direct.keys()]
        raise Mismatch(
            f"{corpus.name}: {len(wrong)} of {len(direct)} snippets, {wrong[0]} first: "
            f"the job says {scores.get(wrong[0])}, the direct call {direct.get(wrong[0])}"
        )
    pictures, direct_verdicts = _fold_directly(snippets, direct)
    for document in pictures:
        if verdicts.get(document, []) != direct_verdicts.get(document, []):
            raise Mismatch(
                f"{corpus.name}, document {document}: the job says {verdicts.get(document, [])}, "
                f"folding directly {direct_verdicts.get(document, [])}"
            )

    ratings = [snippet.rating for snippet in snippets]
    in_order = [scores[snippet.snippet] for snippet in snippets]
    correlation = _correlation(ratings, in_order)
    direct_correlation = _correlation(ratings, list(direct.values()))
    if correlation != direct_correlation:
        raise Mismatch(f"{corpus.name}: correlation {correlation!r}, called directly {direct_correlation!r}")
    moods = {document: picture.mood for document, picture in pictures.items()}
    return Outcome(corpus, ratings, in_order, correlation, direct_correlation, moods, verdicts)


def read_outputs(directory: Path) -> dict[str, list[dict[str, Any]]]:
    """The job's outputs by corpus, each document's in its order. Files that Flink has not committed are no outputs."""
    outputs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for path in sorted(directory.rglob("part-*")):
        for line in path.read_bytes().splitlines():  # of bytes: at line ends only
            output = json.loads(line)
            outputs[output["corpus"]].append(output)
    return outputs


def table(outcomes: list[Outcome]) -> str:
    """One line per corpus, for a terminal."""
    lines = [
        f"{'':<22}{'':>9} {'':>10} {'':>7}   {'correlation with the people':^36}",
        f"{'corpus':<22}{'snippets':>9} {'documents':>10} {'turns':>7}   {'job':>12}{'direct call':>12}{'paper':>12}",
    ]
    lines.append("─" * len(lines[1]))
    for outcome in outcomes:
        corpus = outcome.corpus
        lines.append(
            f"{corpus.title:<22}{len(outcome.scores):>9,} {len(outcome.moods):>10,} {outcome.turns:>7,}   "
            f"{outcome.correlation:>12.3f}{outcome.direct_correlation:>12.3f}{corpus.published_correlation:>12.3f}"
        )
    return "\n".join(lines)


def draw(outcomes: list[Outcome], path: Path) -> None:
    """Above: what the people said against what the agent says. Below: how the documents ended."""
    figure = plt.figure(figsize=(13, 6.4), dpi=120, layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=[1.9, 1])
    panels = upper.subplots(1, len(outcomes), sharey=True)
    for panel, outcome in zip(panels, outcomes, strict=True):
        corpus = outcome.corpus
        panel.hexbin(outcome.ratings, outcome.scores, gridsize=26, bins="log", cmap="YlGnBu", mincnt=1)
        panel.set_xlim(-4, 4)
        panel.set_xticks([-3, 0, 3])
        panel.set_ylim(-1.05, 1.05)
        panel.set_title(
            f"{corpus.title}: r = {outcome.correlation:.3f}\n(paper {corpus.published_correlation:.3f})", fontsize=10
        )
        panel.spines[["top", "right"]].set_visible(False)
    upper.supxlabel("mean rating by at least 20 people", fontsize=10)
    panels[0].set_ylabel("score")
    upper.suptitle("Snippets: the agent's score against the people's", fontsize=12, fontweight="bold")
    _draw_moods(lower.subplots(1, 1), outcomes)
    lower.suptitle("Documents: mood after the last snippet", fontsize=12, fontweight="bold")
    figure.savefig(path)
    plt.close(figure)


def _draw_moods(panel: Any, outcomes: list[Outcome]) -> None:
    titles = [f"{o.corpus.title}\n{len(o.moods):,} documents, {o.turns:,} turns" for o in outcomes]
    left = np.zeros(len(outcomes))
    for mood, colour in MOODS.items():
        shares = np.array([list(o.moods.values()).count(mood) / len(o.moods) for o in outcomes])
        bars = panel.barh(titles, shares, left=left, color=colour, label=mood)
        ink = "black" if mood == "neutral" else "white"
        panel.bar_label(bars, [f"{share:.0%}" for share in shares], label_type="center", fontsize=9, color=ink)
        left += shares
    panel.invert_yaxis()
    panel.set_xlim(0, 1)
    panel.xaxis.set_visible(False)
    panel.spines[:].set_visible(False)
    panel.tick_params(length=0)
    panel.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _scores(corpus: Corpus, outputs: list[dict[str, Any]]) -> dict[str, float]:
    scores: dict[str, float] = {}
    for output in outputs:
        if output["kind"] == "score":
            if output["snippet"] in scores:
                raise Mismatch(f"{corpus.name}: snippet {output['snippet']} came out twice")
            scores[output["snippet"]] = output["score"]
    return scores


def _fold_directly(snippets: list[Snippet], scores: dict[str, float]) -> tuple[dict[str, Picture], Verdicts]:
    pictures: dict[str, Picture] = {}
    verdicts: Verdicts = defaultdict(list)
    for snippet in snippets:
        before = pictures.get(snippet.document, Picture())
        after = pictures[snippet.document] = before.with_score(scores[snippet.snippet])
        if before.snippets and after.mood != before.mood:
            turn = {"after": after.snippets, "was": before.mood, "now": after.mood}
            verdicts[snippet.document].append(turn)
    return pictures, verdicts


def _correlation(ratings: list[float], scores: list[float]) -> float:
    return float(np.corrcoef(ratings, scores)[0, 1])


def report(snippets: Path, outputs: Path, picture: Path) -> str:
    """Compare, draw, and return the table.

    Raises:
        Mismatch: The job did not give what the direct call gives.
    """
    by_corpus = read_outputs(outputs)
    outcomes = [
        outcome_of(corpus, read_snippets(snippets, corpus), by_corpus.get(corpus.name, [])) for corpus in CORPORA
    ]
    draw(outcomes, picture)
    return table(outcomes)


if __name__ == "__main__":
    try:
        print(report(*map(Path, sys.argv[1:4])))
    except Mismatch as mismatch:
        raise SystemExit(f"the job and the direct call differ: {mismatch}") from None
