"""The customers' platform: verifies each delivery that reaches it, notes it, and now and then does not take it."""

import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from standardwebhooks import Webhook, WebhookVerificationError

from tests.chaos.journal import Journal, Json, Received
from tests.receiver import Does, Got, Receiver, receiver

_WEIGHTS = {Does.TAKE: 84, Does.FAIL: 8, Does.DROP_BEFORE: 4, Does.DROP_AFTER: 4}


class Platform:
    """Part of the harness: nothing is done to it. ``rng`` decides what it does with which request."""

    def __init__(self, it: Receiver, journal: Journal, rng: random.Random) -> None:
        self.url = it.url
        self._journal = journal
        self._rng = rng
        self._secrets: dict[str, Webhook] = {}
        self.takes_all = False
        """What has failed is tried again after seconds, and again after more: there is an end to it."""
        it.choose = self._choose

    def know(self, channel_id: str, secret: str) -> None:
        """With what a channel's deliveries are signed."""
        self._secrets[channel_id] = Webhook(secret)

    def _choose(self, got: Got) -> Does:
        does = self._rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        content = got.document
        signed = self._is_signed(got, content)
        if not signed or self.takes_all:
            does = Does.TAKE if signed else Does.REFUSE
        self._journal.write(
            Received(
                delivery=got.id,
                signed=signed,
                taken=does in (Does.TAKE, Does.DROP_AFTER),
                answered=does is Does.TAKE,
                content=content,
            )
        )
        return does

    def _is_signed(self, got: Got, content: Json) -> bool:
        secret = self._secrets.get(content["data"]["channel"]["id"])
        try:
            return secret is not None and secret.verify(got.body, got.headers) == json.loads(got.body)
        except WebhookVerificationError:
            return False


@asynccontextmanager
async def open_platform(journal: Journal, rng: random.Random) -> AsyncIterator[Platform]:
    """One on a free port of loopback."""
    async with receiver() as it:
        yield Platform(it, journal, rng)
