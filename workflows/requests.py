"""The requests a run has acted on, so that each takes effect once."""

from collections.abc import Mapping

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.commands import Remembered
    from domain.errors import IdempotencyKeyReused

REMEMBERED_REQUESTS = 256
"""Requests whose repetition a run notices by itself, beside those that are not recorded yet; the read model knows all
older ones.
"""


class Requests(dict[str, Remembered]):
    """By request id what each led to, the oldest first."""

    def __init__(self, remembered: Mapping[str, Remembered]) -> None:
        super().__init__(remembered)

    def knows(self, request_id: str, fingerprint: str) -> bool:
        """Whether this very request was acted on; ``IdempotencyKeyReused`` where another one had its id."""
        earlier = self.get(request_id)
        if earlier is None:
            return False
        if earlier.fingerprint != fingerprint:
            raise IdempotencyKeyReused("This key was used for another request; use a new key for a new request.")
        return True

    def remember(self, request_id: str, fingerprint: str, version: int, recorded_version: int) -> None:
        """Keep what a request led to; the oldest that are on record as ``recorded_version`` says make room."""
        self[request_id] = Remembered(version=version, fingerprint=fingerprint)
        while len(self) > REMEMBERED_REQUESTS:
            oldest = next(iter(self))
            if self[oldest].version > recorded_version:
                break
            del self[oldest]
