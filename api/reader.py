"""Reads customers' messages: what they mean, before rules look at them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from domain.detection.human_request import HumanRequestDetector
from domain.reading import Reading, read_message
from domain.sentiment.scorer import SentimentScorer


class SecondOpinion(Protocol):
    """Somebody else to ask whether a person is asked for; must not raise."""

    async def on(self, text: str, reading: Reading) -> Reading:
        """The reading with the other's word, or as it is."""
        ...


@dataclass(frozen=True)
class Reader:
    """The detector, the scorer, and the model that may be asked for a second opinion; one a process."""

    detector: HumanRequestDetector
    scorer: SentimentScorer
    second_opinion: SecondOpinion | None = None

    async def read(
        self, text: str, *, automatic: str | None = None, headers: Mapping[str, str] | None = None
    ) -> Reading:
        """The reading of a message. Never raises: where a model does not answer, the detector's word stands."""
        reading = read_message(text, self.detector, self.scorer, automatic=automatic, headers=headers)
        if reading.automatic or self.second_opinion is None:
            return reading
        return await self.second_opinion.on(text, reading)
