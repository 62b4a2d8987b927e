from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from activities.connectors.addresses import is_public
from activities.connectors.webhook import retry_after
from domain.delivery import LONGEST_ASKED_FOR, ConnectorName, connector_of, wait_after

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "settings", "name"),
    [
        ("whatsapp", {"reply_url": "https://platform.example"}, ConnectorName.WEBHOOK),
        ("webchat", {"reply_url": "https://platform.example"}, ConnectorName.WEBHOOK),
        ("webchat", {}, ConnectorName.WEBCHAT),
        ("email", {"from_address": "help@desk.example"}, ConnectorName.EMAIL),
        ("email", {}, None),
        ("whatsapp", {}, None),
        ("email", {"connector": "webhook", "from_address": "help@desk.example"}, ConnectorName.WEBHOOK),
    ],
)
def test_channel_is_answered_as_its_settings_say(kind: str, settings: dict[str, Any], name: ConnectorName) -> None:
    assert connector_of(kind, settings) == name


def test_waits_double_up_to_half_an_hour_and_follow_what_is_asked_for() -> None:
    waits = [wait_after(number).total_seconds() for number in range(1, 13)]
    assert waits == [5, 10, 20, 40, 80, 160, 320, 640, 1280, 1800, 1800, 1800]
    assert wait_after(500) == timedelta(minutes=30)
    assert wait_after(1, timedelta(minutes=7)) == timedelta(minutes=7)
    assert wait_after(1, timedelta(days=7)) == LONGEST_ASKED_FOR
    assert wait_after(1, timedelta()) == timedelta(seconds=5)


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("120", timedelta(minutes=2)),
        ("Thu, 26 Nov 2026 12:10:00 GMT", timedelta(minutes=10)),
        ("Thu, 26 Nov 2026 11:00:00 GMT", timedelta()),
        ("soon", None),
        ("99999999999", None),
        ("", None),
    ],
)
def test_receivers_say_when_to_come_again(value: str, wait: timedelta | None) -> None:
    assert retry_after(httpx.Headers({"Retry-After": value}), NOW) == wait


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::5db8:d822", True),
        ("2002:7f00:1::", False),
    ],
)
def test_addresses_of_this_network_are_told_from_public_ones(address: str, public: bool) -> None:
    assert is_public(address) is public
