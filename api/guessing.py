"""Limits on guessing passwords and tokens, by address and by client."""

import hmac
import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import IPv6Address, ip_address, ip_network

from fastapi import Request
from pydantic import SecretStr

from api.problems import Problem
from api.sessions import client_address
from db.attempts import Limit, count_attempt, forget_old_attempts, forgive
from db.engine import Sessions

FAILURES_OF_ADDRESS = 10
FAILURES_OF_CLIENT = 50
WINDOW = timedelta(minutes=15)
RESETS_OF_ADDRESS = 3
RESETS_OF_CLIENT = 20
RESET_WINDOW = timedelta(hours=1)


class Guesses:
    """Counts tries in transactions of their own, so that they stay counted whatever becomes of the request."""

    def __init__(self, sessions: Sessions, secret: SecretStr) -> None:
        self._sessions = sessions
        self._secret = secret

    def of_password(self, request: Request, email: str) -> Sequence[Limit]:
        """Wrong passwords: first for the address, whose count a right one forgets, then by the client."""
        return (
            Limit(self._bucket("password-of", email), FAILURES_OF_ADDRESS, WINDOW),
            Limit(self._bucket("password-by", network_of(request)), FAILURES_OF_CLIENT, WINDOW),
        )

    def of_token(self, request: Request) -> Sequence[Limit]:
        """Tokens from mails that are none, by the client."""
        return (Limit(self._bucket("token-by", network_of(request)), FAILURES_OF_CLIENT, WINDOW),)

    def of_resets(self, request: Request, email: str) -> Sequence[Limit]:
        """Mails that somebody has us send, for the address and by the client."""
        return (
            Limit(self._bucket("reset-of", email), RESETS_OF_ADDRESS, RESET_WINDOW),
            Limit(self._bucket("reset-by", network_of(request)), RESETS_OF_CLIENT, RESET_WINDOW),
        )

    async def count(self, limits: Sequence[Limit]) -> None:
        """Count one try, or raise ``too_many_attempts`` with the time to wait."""
        async with self._sessions() as session, session.begin():
            wait = await count_attempt(session, limits, datetime.now(UTC))
        if wait is not None:
            raise Problem(
                "too_many_attempts",
                "Too often tried and failed. Wait, or set a new password by mail.",
                retry_after=max(1, math.ceil(wait.total_seconds())),
            )

    async def forgive(self, limits: Sequence[Limit], *, wholly: bool = False) -> None:
        """The try succeeded; with ``wholly`` the first limit's failures before it are forgotten too."""
        async with self._sessions() as session, session.begin():
            if wholly:
                await forgive(session, wholly=limits[0], once=limits[1:])
                await forget_old_attempts(session, datetime.now(UTC))
            else:
                await forgive(session, once=limits)

    def _bucket(self, what: str, whom: str) -> bytes:
        """No addresses are kept."""
        return hmac.digest(self._secret.get_secret_value().encode(), f"guess:{what}:{whom}".encode(), sha256)


def network_of(request: Request) -> str:
    """The client's address; of IPv6 the /64, which is one customer's."""
    given = client_address(request) or "unknown"
    try:
        address = ip_address(given)
    except ValueError:
        return given
    return str(ip_network((address, 64), strict=False)) if isinstance(address, IPv6Address) else given
