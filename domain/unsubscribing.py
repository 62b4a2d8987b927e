"""The word in a mail by which its receiver, and nobody else, has no more of them."""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from hashlib import sha256
from uuid import UUID

_SIGNATURE_BYTES = 16


def unsubscribe_token(member_id: UUID, secret: str) -> str:
    """Names the member and proves that we wrote it; it holds as long as ``secret``."""
    return urlsafe_b64encode(member_id.bytes + _signature(member_id, secret)).rstrip(b"=").decode()


def read_unsubscribe_token(token: str, secret: str) -> UUID | None:
    """The member it names; ``None`` where we did not write it."""
    try:
        raw = urlsafe_b64decode(token.encode() + b"=" * (-len(token) % 4))
    except (Error, ValueError):
        return None
    if len(raw) != 16 + _SIGNATURE_BYTES:
        return None
    member_id = UUID(bytes=raw[:16])
    return member_id if hmac.compare_digest(raw[16:], _signature(member_id, secret)) else None


def _signature(member_id: UUID, secret: str) -> bytes:
    return hmac.digest(secret.encode(), b"unsubscribe:" + member_id.bytes, sha256)[:_SIGNATURE_BYTES]
