"""Values of durable calls that have no JSON form, where server and job both allow pickles.

To load a pickle is to run code of whoever made it, so consent is asked each time one is made or loaded, and not when a
record arrives: a record may have been made under a consent that was taken back since.
"""

from __future__ import annotations

import pickle
from typing import Any, NamedTuple

from flink_actions.engine.failures import message_of
from flink_actions.sdk.errors import NotDecodableError, NotEncodableError

__all__ = ["NO_PICKLES", "PickleConsent", "pickled", "unpickled"]


class PickleConsent(NamedTuple):
    """Who allows pickles. Either side alone allows nothing.

    Args:
        server: It was started with --allow-pickle.
        job: It was built with allow_pickle=True.
    """

    server: bool = False
    job: bool = False

    @property
    def is_given(self) -> bool:
        """By both."""
        return self.server and self.job

    @property
    def way_out(self) -> str:
        """What is left to do for it, in words for an error."""
        of_server, of_job = (
            "start the server with --allow-pickle",
            "set allow_pickle=True (agent.allow-pickle) in the job",
        )
        if self.server:
            return f"the server allows pickles and the job does not: {of_job}"
        if self.job:
            return f"the job allows pickles and the server does not: {of_server}"
        return f"neither server nor job allows pickles: {of_server}, and {of_job}"


NO_PICKLES = PickleConsent()


def pickled(value: Any, where: str, consent: PickleConsent, refusal: NotEncodableError) -> tuple[bytes, Any]:
    """The pickle of a value, and the value that comes out of it again.

    Args:
        value: What has no JSON form.
        where: What the value is called, for the error.
        consent: Whether pickles are allowed.
        refusal: Why it has no JSON form.

    Raises:
        NotEncodableError: Pickles are not allowed, or the value cannot be pickled or read back.
    """
    if not consent.is_given:
        raise NotEncodableError(refusal.path, f"{refusal.reason}; or allow its pickle: {consent.way_out}") from refusal
    try:
        # Here: most servers allow no pickles and do not have it.
        import cloudpickle

        encoded: bytes = cloudpickle.dumps(value)
        # At once: what cannot be read back would be a record that no attempt gets over.
        return encoded, pickle.loads(encoded)
    except Exception as error:  # a value's own code may raise whatever it likes
        raise NotEncodableError(
            where,
            f"{refusal.reason}; and a {type(value).__module__}.{type(value).__qualname__} cannot be pickled and read "
            f"back: {type(error).__name__}: {message_of(error)}",
        ) from error


def unpickled(encoded: bytes, where: str, consent: PickleConsent) -> Any:
    """The value of a recorded pickle.

    Raises:
        NotDecodableError: Pickles are not allowed, or this one cannot be loaded here.
    """
    if not consent.is_given:
        raise NotDecodableError(where, f"it was recorded as a pickle, which is not loaded: {consent.way_out}")
    try:
        return pickle.loads(encoded)
    except Exception as error:  # it can raise whatever its maker or a missing class makes it raise
        raise NotDecodableError(
            where,
            f"its recorded pickle cannot be loaded: {type(error).__name__}: {message_of(error)}. Serve code and "
            "packages that have what it names; the record stays until then",
        ) from error
