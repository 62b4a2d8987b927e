"""Reads customers' messages: what they mean, before rules look at them."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from domain.detection.human_request import HumanRequestDetector
from domain.reading import Reading, read_message
from domain.sentiment.scorer import SentimentScorer


class SecondOpinion(Protocol):
    """Somebody else to ask whether a person is asked for; must not raise."""

    async def on(self, text: str, reading: Reading) -> Reading:
        """The reading with the other's word, or as it is."""
        ...


BREATH = 20
"""Messages read after which other requests have their turn; one takes some 0.2 ms."""


@dataclass(frozen=True)
class Unread:
    """A message to be read. ``automatic`` says by what it is known to be a machine's, ``headers`` are an email's."""

    text: str
    automatic: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reader:
    """The detector, the scorer, and the model that may be asked for a second opinion; one a process."""

    detector: HumanRequestDetector
    scorer: SentimentScorer
    second_opinion: SecondOpinion | None = None

    async def read(self, text: str) -> Reading:
        """The reading of a message. Never raises: where a model does not answer, the detector's word stands."""
        [reading] = await self.read_all([Unread(text)])
        return reading

    async def read_all(self, messages: Sequence[Unread]) -> list[Reading]:
        """The readings of messages, in their order; a model is asked about all of them at the same time."""
        readings = []
        for number, each in enumerate(messages, start=1):
            readings.append(
                read_message(each.text, self.detector, self.scorer, automatic=each.automatic, headers=each.headers)
            )
            if number % BREATH == 0:
                await asyncio.sleep(0)
        other = self.second_opinion
        if other is None:
            return readings

        async def on(message: Unread, reading: Reading) -> Reading:
            return reading if reading.automatic else await other.on(message.text, reading)

        return list(await asyncio.gather(*map(on, messages, readings)))
