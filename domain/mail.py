"""What becomes of a mail, and the token in one that lets somebody in."""

import hmac
import re
from base64 import urlsafe_b64encode
from datetime import timedelta
from enum import StrEnum
from hashlib import sha256
from html import escape

TRIED_FOR = timedelta(days=1)
"""A mail that nobody has taken by then is given up; what it says is no news any more."""


class MailState(StrEnum):
    """How far a mail has come."""

    QUEUED = "queued"
    SENT = "sent"
    REFUSED = "refused"  # for good: the address does not exist, or its server wants nothing from us
    GIVEN_UP = "given_up"  # nobody took it for a day


TOKEN_GOES_HERE = "\x1a"  # noqa: S105 - a mark, and no token
"""Where a kept mail's text has this, the token stands in the mail that is sent."""


def mail_token(key: str, secret: str) -> str:
    """The token of the mail with this key: 256 bits nobody can work out who reads the mail's row but not ``secret``."""
    digest = hmac.digest(secret.encode(), b"mail:" + key.encode(), sha256)
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def with_token(text: str, key: str, secret: str) -> str:
    """The text of the mail with this key as it is sent."""
    return text.replace(TOKEN_GOES_HERE, mail_token(key, secret)) if TOKEN_GOES_HERE in text else text


def as_html(text: str, web_url: str) -> str:
    """The same words in HTML: paragraphs, and addresses below ``web_url``, no others, as links."""
    address = re.compile(re.escape(escape(web_url)) + r"/[^\s<]+")
    paragraphs = [escape(each).replace("\n", "<br>\n") for each in text.strip().split("\n\n")]
    linked = [address.sub(lambda found: f'<a href="{found[0]}">{found[0]}</a>', each) for each in paragraphs]
    return "".join(f"<p>{each}</p>\n" for each in linked)
