"""How many requests a key, a session or a visitor may send: a token bucket each, in this process."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fastapi import Request

from api.problems import Problem

_MOST_BUCKETS = 10_000
_STATE = "rate_limit"


@dataclass
class Bucket:
    """What is left to somebody, as of ``at``; it fills up again in a minute."""

    left: float
    at: float


@dataclass(frozen=True)
class Standing:
    """What the answer's headers say: requests left, and seconds until all are back."""

    limit: int
    remaining: int
    reset: int

    def headers(self) -> dict[bytes, bytes]:
        return {
            b"ratelimit-limit": b"%d" % self.limit,
            b"ratelimit-remaining": b"%d" % self.remaining,
            b"ratelimit-reset": b"%d" % self.reset,
        }


class RateLimits:
    """Buckets by key or session, or by whatever ``whose`` names; ``limit`` requests a minute, 0 for no limit."""

    def __init__(
        self, limit: int, clock: Callable[[], float] = time.monotonic, *, whose: str = "This key or session"
    ) -> None:
        self._limit = limit
        self._clock = clock
        self._whose = whose
        self._buckets: dict[UUID, Bucket] = {}

    def take(self, request: Request, who: UUID) -> None:
        """Let one request pass or raise ``rate_limited``; the answer's headers say either way how it stands."""
        if not self._limit:
            return
        standing, wait = self.draw(who)
        setattr(request.state, _STATE, standing)
        if wait is not None:
            raise Problem("rate_limited", f"{self._whose} may send {self._limit} requests a minute.", retry_after=wait)

    def draw(self, who: UUID) -> tuple[Standing, int | None]:
        """Take one from the bucket; with it the seconds to wait, ``None`` where one was left."""
        now, a_second = self._clock(), self._limit / 60
        bucket = self._buckets.get(who)
        if bucket is None:
            if len(self._buckets) >= _MOST_BUCKETS:
                self._forget_full(now)
            bucket = self._buckets[who] = Bucket(self._limit, now)
        bucket.left = min(self._limit, bucket.left + (now - bucket.at) * a_second)
        bucket.at = now
        wait = None if bucket.left >= 1 else math.ceil((1 - bucket.left) / a_second)
        if wait is None:
            bucket.left -= 1
        reset = math.ceil((self._limit - bucket.left) / a_second)
        return Standing(self._limit, int(bucket.left), reset), wait

    def _forget_full(self, now: float) -> None:
        """Drop who has all requests left: a new bucket is the same. Where nobody has, drop all."""
        waiting = {who: bucket for who, bucket in self._buckets.items() if now - bucket.at < 60}
        self._buckets = waiting if len(waiting) < _MOST_BUCKETS else {}


def standing_of(state: Mapping[str, Any]) -> Standing | None:
    """How the caller of an answered request stands; ``None`` where nobody was counted."""
    return state.get(_STATE)
