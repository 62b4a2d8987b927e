"""A model that is asked beside the built-in detector; where it does not answer, the built-in's word stands."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx
import structlog

from api.circuit_breaker import CircuitBreaker
from api.model_client import Fallback, ModelClient, NoAnswer, Verdict, model_client
from domain.reading import Reading
from settings import DetectorMode, Settings

PATTERN = "model"
"""The form of a request that a model has found; its own words are not passed on to anybody."""

Span = tuple[int, int]

log = structlog.get_logger(__name__)


class ModelOpinion:
    """Asks a model about messages, about all of them or only where the built-in is ``unsure``; never raises.

    At most ``at_once`` questions are under way, and none is waited for longer than ``limit``, the wait for its turn
    included.
    """

    def __init__(
        self, model: ModelClient, mode: DetectorMode, limit: timedelta, at_once: int, breaker: CircuitBreaker
    ) -> None:
        self._model = model
        self._always = mode is DetectorMode.MODEL
        self._limit = limit.total_seconds()
        self._slots = asyncio.Semaphore(at_once)
        self._breaker = breaker

    async def on(self, text: str, reading: Reading) -> Reading:
        """See ``api.reader.SecondOpinion``: ``decided_by`` says who decided, ``fallback`` why the model did not."""
        if not (self._always or reading.human_request.unsure):
            return reading
        try:
            verdict, span = await self._ask(text)
        except NoAnswer as none:
            return reading.model_copy(update={"fallback": none.why.value})
        found = {"human_score": verdict.score, "human_span": span, "human_pattern": PATTERN, "human_language": None}
        if not reading.model_copy(update=found).human_request.requested:
            found |= {"human_span": None, "human_pattern": None}
        return reading.model_copy(update={**found, "decided_by": self._model.name})

    async def _ask(self, text: str) -> tuple[Verdict, Span | None]:
        """The verdict and its place, or ``NoAnswer``, within the limit."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._limit
        try:
            async with asyncio.timeout_at(deadline):
                await self._slots.acquire()
        except TimeoutError:
            raise NoAnswer(Fallback.BUSY) from None
        try:
            if loop.time() >= deadline:  # its turn came with the end of its time: the model is not to blame
                raise NoAnswer(Fallback.BUSY)
            if not self._breaker.admits():
                raise NoAnswer(Fallback.CIRCUIT_OPEN)
            return await self._answer(text, deadline)
        finally:
            self._slots.release()

    async def _answer(self, text: str, deadline: float) -> tuple[Verdict, Span | None]:
        """The verdict and its place, or ``NoAnswer``; the breaker learns which."""
        settled = False
        try:
            async with asyncio.timeout_at(deadline):
                verdict = await self._model.ask(text)
            span = verdict.place(text)
        except Exception as error:  # whatever it is, a message is not lost for want of a second opinion
            settled = True
            self._failed(error)
            raise NoAnswer(_why(error)) from None
        else:
            settled = True
            if self._breaker.is_open:
                log.info("second_opinion_is_back", model=self._model.name)
            self._breaker.succeeded()
            return verdict, span
        finally:
            if not settled:  # the caller went away
                self._breaker.abandoned()

    def _failed(self, error: Exception) -> None:
        was_open = self._breaker.is_open
        self._breaker.failed()
        if self._breaker.is_open and not was_open:
            # By its kind alone: what the error says may hold an address with its key, or a customer's words.
            log.warning(
                "second_opinion_failed", model=self._model.name, why=_why(error).value, error=type(error).__name__
            )


def _why(error: Exception) -> Fallback:
    if isinstance(error, NoAnswer):
        return error.why
    return Fallback.TOO_SLOW if isinstance(error, TimeoutError | httpx.TimeoutException) else Fallback.UNREACHABLE


@asynccontextmanager
async def second_opinion(
    settings: Settings, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[ModelOpinion | None]:
    """The model that the settings name, ``None`` for the built-in alone; its connections end with the block.

    ``clock`` gives seconds that only grow.
    """
    if settings.detector_mode is DetectorMode.BUILTIN:
        yield None
        return
    key = settings.detector_key
    headers = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {key.get_secret_value()}"} if key else {})
    connections = httpx.Limits(
        max_connections=settings.detector_concurrency, max_keepalive_connections=settings.detector_concurrency
    )
    # Redirections are not followed: the customer's words and the key go where the operator said and nowhere else.
    async with httpx.AsyncClient(
        headers=headers,
        timeout=settings.detector_timeout.total_seconds(),
        limits=connections,
        follow_redirects=False,
    ) as client:
        breaker = CircuitBreaker(settings.detector_failures, settings.detector_rest, clock)
        yield ModelOpinion(
            model_client(settings, client),
            settings.detector_mode,
            settings.detector_timeout,
            settings.detector_concurrency,
            breaker,
        )
