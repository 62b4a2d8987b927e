"""What is read in a customer's message before rules look at it."""

from collections.abc import Mapping

from domain.detection.automatic import automatic_reply
from domain.detection.human_request import HumanRequest, HumanRequestDetector
from domain.ladders import Frozen
from domain.sentiment.scorer import SentimentScorer

BUILTIN = "builtin"
"""Who decided that a person is asked for, unless a model did."""


class Reading(Frozen):
    """Kept with the message, so that a rule can be tried on it later without reading it again.

    ``sentiment`` is -1 to 1, ``None`` for a language that is not known. ``human_score`` is 0 to 1, a request from one
    half on; ``human_span`` is where in the text (start, end), ``human_pattern`` the form of the request or a model's
    reason. ``automatic`` says by what the message was taken for a machine's. ``decided_by`` names the detector;
    ``fallback`` says why a model that was to decide did not.
    """

    sentiment: float | None = None
    human_score: float = 0.0
    human_span: tuple[int, int] | None = None
    human_pattern: str | None = None
    human_language: str | None = None
    decided_by: str = BUILTIN
    fallback: str | None = None
    automatic: str | None = None

    @property
    def human_request(self) -> HumanRequest:
        """The request for a person as rules look at it."""
        return HumanRequest(self.human_score, self.human_span, self.human_pattern, self.human_language)


def read_message(
    text: str,
    detector: HumanRequestDetector,
    scorer: SentimentScorer,
    *,
    automatic: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reading:
    """Read a customer's message; an automatic one is not read any further."""
    automatic = automatic or automatic_reply(text, headers)
    if automatic:
        return Reading(automatic=automatic)
    request = detector.detect(text)
    return Reading(
        sentiment=scorer.score(text),
        human_score=request.score,
        human_span=request.span,
        human_pattern=request.pattern,
        human_language=request.language,
    )
