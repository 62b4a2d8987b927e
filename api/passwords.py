"""Passwords: what is accepted, and their argon2 hashes, worked out off the event loop."""

import asyncio
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from api.problems import Problem

SHORTEST = 10
LONGEST = 200
_AT_ONCE = 2
"""Hashes worked out at the same time: each takes 64 MiB and some 50 ms of several cores."""


class Passwords:
    """Hashes and checks passwords by RFC 9106's second recommendation, argon2's default; one for each process."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._nobodys = self._hasher.hash(secrets.token_hex())

    async def hash(self, password: str) -> str:
        async with self._turns:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def matches(self, password: str, kept: str | None) -> bool:
        """Whether the hash is of this password. Without one (``None``) it is never, and takes as long to find out."""
        async with self._turns:
            return await asyncio.to_thread(self._matches, password, kept or self._nobodys) and kept is not None

    def is_outdated(self, kept: str) -> bool:
        """Whether the hash was made with other parameters than those of today."""
        return self._hasher.check_needs_rehash(kept)

    def _matches(self, password: str, kept: str) -> bool:
        try:
            return self._hasher.verify(kept, password)
        except (VerifyMismatchError, InvalidHashError):
            return False


def check_password(password: str, email: str) -> None:
    """Refuse what is guessed first with ``weak_password``; length is the document's to check."""
    if password.casefold() in (email.casefold(), email.partition("@")[0].casefold()):
        raise Problem("weak_password", "The password must not be the address.")
    if len(set(password)) < 4:
        raise Problem("weak_password", "The password needs at least four different characters.")
