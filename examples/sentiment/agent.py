"""Scores snippets of text, and says when a document turns.

Served by `flink-actions serve examples/sentiment/agent.py:agent`. An input is a snippet, a JSON object with `corpus`,
`document`, `snippet` and `text`; its key is the document. Outputs are of two kinds: a `score` for every snippet, and a
`verdict` whenever the document's running mood becomes another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flink_actions import Agent, Event, InputEvent, OutputEvent, RunnerContext, action
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer


class Scored(Event):
    """A snippet has its score."""

    EVENT_TYPE = "scored"
    corpus: str
    document: str
    score: float


@dataclass
class Picture:
    """What is known of a document after some of its snippets."""

    snippets: int = 0
    total: float = 0.0

    @property
    def mood(self) -> str:
        """By VADER's own thresholds for a compound score, applied to the mean."""
        mean = self.total / self.snippets if self.snippets else 0.0
        return "positive" if mean >= 0.05 else "negative" if mean <= -0.05 else "neutral"

    def with_score(self, score: float) -> Picture:
        """The picture after one more snippet."""
        return Picture(self.snippets + 1, self.total + score)


class SentimentAgent(Agent):
    """One action scores, the other remembers."""

    name = "sentiment"

    def __init__(self) -> None:
        super().__init__()
        self._analyzer = SentimentIntensityAnalyzer()

    @action(InputEvent)
    async def score(self, event: InputEvent, ctx: RunnerContext) -> None:
        """Score the snippet, send the score downstream, and pass it on to `fold`."""
        snippet = event.input
        score = self._analyzer.polarity_scores(snippet["text"])["compound"]
        ctx.send_event(OutputEvent(output=output_of("score", snippet, snippet=snippet["snippet"], score=score)))
        ctx.send_event(Scored(corpus=snippet["corpus"], document=snippet["document"], score=score))

    @action(Scored)
    async def fold(self, event: Scored, ctx: RunnerContext) -> None:
        """Fold the score into the document's picture; send a verdict when its mood is another than before."""
        memory = ctx.short_term_memory
        before = Picture(memory.get("snippets", default=0), memory.get("total", default=0.0))
        after = before.with_score(event.score)
        memory["snippets"] = after.snippets
        memory["total"] = after.total
        if before.snippets and after.mood != before.mood:
            document = {"corpus": event.corpus, "document": event.document}
            turn = {"after": after.snippets, "was": before.mood, "now": after.mood}
            ctx.send_event(OutputEvent(output=output_of("verdict", document, **turn)))


def output_of(kind: str, of: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """An output about the document that `of` belongs to."""
    return {"kind": kind, "corpus": of["corpus"], "document": of["document"], **fields}


agent = SentimentAgent()
