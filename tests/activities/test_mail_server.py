"""Handing mails to a server that wants TLS and a login, or that is not who it says."""

import ssl
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from activities.mail_server import MailServer, NotTaken
from db.models import Mail
from tests.certificates import Authority
from tests.mailbox import mailbox

LOGIN = ("desk", "a password of the desk")
KINDS = pytest.mark.parametrize("security", ["tls", "starttls"])


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("mail") / "authority")


@pytest.fixture(scope="module")
def tls(authority: Authority) -> ssl.SSLContext:
    """Of a server whose certificate the authority has signed for loopback."""
    return serving_as(authority, "mail.example", "127.0.0.1")


def serving_as(authority: Authority, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue(*names))
    return context


def server(port: int, security: str, ca_file: Path | None, login: tuple[str, str] | None = LOGIN) -> MailServer:
    user, password = login or (None, None)
    sender = "Baton <baton@desk.example>"
    return MailServer("127.0.0.1", port, security, user, password, sender, "0" * 32, ca_file=ca_file, seconds=2)


def a_mail() -> Mail:
    return Mail(
        key="one",
        to_address="ada@example.com",
        subject="Hello",
        text="A word.",
        headers={},
        created_at=datetime.now(UTC),
    )


@KINDS
async def test_mail_goes_over_tls_after_a_login(authority: Authority, tls: ssl.SSLContext, security: str) -> None:
    async with mailbox(tls, implicit=security == "tls", login=LOGIN) as box:
        await server(box.port, security, authority.file).send(a_mail())
    assert [(mail["To"], mail.get_content().strip()) for mail in box.mails] == [("ada@example.com", "A word.")]
    assert box.logins == [LOGIN]


@KINDS
async def test_wrong_password_is_put_right_by_an_operator_and_the_mail_goes_then(
    authority: Authority, tls: ssl.SSLContext, security: str
) -> None:
    async with mailbox(tls, implicit=security == "tls", login=LOGIN) as box:
        right = server(box.port, security, authority.file)
        for wrong in (replace(right, password="another"), replace(right, user=None, password=None)):
            with pytest.raises(NotTaken) as refusal:
                await wrong.send(a_mail())
            assert "another" not in str(refusal.value)
            assert not refusal.value.for_good, str(refusal.value)
        assert box.mails == []
        await right.send(a_mail())
    assert len(box.mails) == 1


@KINDS
@pytest.mark.parametrize("why", ["signed by nobody we trust", "of another name"])
async def test_server_that_is_not_who_it_says_gets_neither_password_nor_mail(
    authority: Authority, tls: ssl.SSLContext, security: str, why: str
) -> None:
    another = serving_as(authority, "other.example", "127.0.0.2")
    async with mailbox(another if why == "of another name" else tls, implicit=security == "tls", login=LOGIN) as box:
        ca_file = authority.file if why == "of another name" else None
        with pytest.raises(NotTaken, match="certificate") as refusal:
            await server(box.port, security, ca_file).send(a_mail())
    assert not refusal.value.for_good
    assert (box.logins, box.mails, box.offered) == ([], [], 0)


async def test_server_that_offers_no_starttls_gets_neither_password_nor_mail(authority: Authority) -> None:
    async with mailbox() as box:
        with pytest.raises(NotTaken, match="cannot do what is asked") as refusal:
            await server(box.port, "starttls", authority.file).send(a_mail())
    assert not refusal.value.for_good
    assert (box.logins, box.mails, box.offered) == ([], [], 0)
