"""The epoch fence: which start of an operator owns which key groups, as far as this worker has seen.

Epochs are kept per (namespace, job id, operator uid) and key group, because a subtask index is no identity: after a
change of parallelism the successor of subtask 1 may be subtasks 2 and 3. A start supersedes every lower epoch whose key
groups overlap its own. The fence is one worker's: a start opens a session with each worker that it uses, and so meets
each worker's fence; a worker that has seen nothing yet refuses nobody.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

__all__ = ["Claim", "EpochFences", "OperatorIdentity", "StaleEpoch"]

# Operators whose epochs are remembered; the one that was heard of least recently goes first. An operator that is
# forgotten loses its fence only against zombies older than this many other operators.
_REMEMBERED_OPERATORS = 4096


@dataclass(frozen=True)
class OperatorIdentity:
    """One operator of one job, all its subtasks and starts together."""

    namespace: str
    job_id: str
    operator_uid: str

    def is_former(self, other: OperatorIdentity) -> bool:
        """Whether both name the same work, under two job ids."""
        names = (self.namespace, self.operator_uid) == (other.namespace, other.operator_uid)
        return names and self.job_id != other.job_id

    def __str__(self) -> str:
        return f"operator {self.operator_uid!r} of job {self.job_id} (namespace {self.namespace!r})"


@dataclass(frozen=True)
class Claim:
    """A start of a subtask says that it owns these key groups, both ends included."""

    start_id: bytes
    epoch: int
    first_group: int
    last_group: int

    def overlaps(self, other: Claim) -> bool:
        """Whether there is a key group in both."""
        return self.first_group <= other.last_group and other.first_group <= self.last_group

    def covers(self, other: Claim) -> bool:
        """Whether every key group of `other` is in this one."""
        return self.first_group <= other.first_group and other.last_group <= self.last_group


@dataclass(frozen=True)
class StaleEpoch:
    """The claim is refused: another start has claimed an overlapping key group with this epoch."""

    known_epoch: int


class EpochFences:
    """The claims that hold. Used on the worker's event loop only."""

    def __init__(self) -> None:
        self._claims: OrderedDict[OperatorIdentity, list[Claim]] = OrderedDict()

    def claim(self, operator: OperatorIdentity, claim: Claim) -> tuple[Claim, ...] | StaleEpoch:
        """Record `claim`; return the claims that it supersedes, or why it is refused.

        An equal epoch of another start is refused too: two restores of one checkpoint may read the same clock.
        """
        others = [known for known in self._claims.get(operator, ()) if known.start_id != claim.start_id]
        overlapping = [known for known in others if known.overlaps(claim)]
        highest = max((known.epoch for known in overlapping), default=-1)
        if highest >= claim.epoch:
            return StaleEpoch(highest)
        self._claims[operator] = [known for known in others if not claim.covers(known)] + [claim]
        self._claims.move_to_end(operator)
        if len(self._claims) > _REMEMBERED_OPERATORS:
            self._claims.popitem(last=False)
        return tuple(overlapping)
