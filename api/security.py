"""API keys, kept only as a keyed hash that costs microseconds to check, and other words that stay here."""

import hmac
import secrets
from hashlib import sha256

from pydantic import SecretStr

PREFIX = "baton_"
_RANDOM_BYTES = 32
"""256 random bits cannot be guessed, so a fast hash is enough; a slow one would cost every request."""


def new_api_key() -> str:
    """A key to hand out once."""
    return PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def hint(key: str) -> str:
    """The characters of a key that lists may show."""
    return key[: len(PREFIX) + 6]


def hash_api_key(key: str, secret: SecretStr) -> bytes:
    """What is kept of a key: useless without ``secret``, which is not in the database."""
    return hmac.digest(secret.get_secret_value().encode(), key.encode(), sha256)


def new_token() -> str:
    """A token of 256 random bits, for a session."""
    return secrets.token_urlsafe(_RANDOM_BYTES)


def hash_token(token: str, purpose: str, secret: SecretStr) -> bytes:
    """What is kept of a token; one that was made for another purpose is another."""
    return hmac.digest(secret.get_secret_value().encode(), f"{purpose}:{token}".encode(), sha256)


def same_secret(given: str, expected: SecretStr) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(given.encode(), expected.get_secret_value().encode())


def update_id(request_id: str, secret: SecretStr) -> str:
    """The name of a request's update in Temporal, the same however often it is asked.

    Temporal keeps such names readable, whatever is encrypted, and a client's Idempotency-Key may hold anything: an
    order's number, somebody's address.
    """
    return hmac.digest(secret.get_secret_value().encode(), f"update:{request_id}".encode(), sha256).hex()
