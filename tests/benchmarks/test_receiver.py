"""The replay's receiver takes what is signed, fails as it is told to, and has written down what it did with each."""

from collections.abc import Sequence
from datetime import UTC, datetime
from json import dumps
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from benchmarks.replay.journal import Does, Header, open_journal
from benchmarks.replay.receiver import CannotReceive, receiving, signing_secret
from embedded.ports import LOOPBACK

HEADER = Header(digest="d", seed=1, speed_up=1, target="http://api", run="r")
BRAND = "South Line"


async def _offer(url: str, key: str, conversation: str, secret: str = "") -> int:
    """Offer a delivery; the answer's status, 0 where the line was cut."""
    message = {"id": f"message-{key}", "body": "On its way."}
    data: dict[str, Any] = {"conversation": {"external_id": conversation}, "message": message}
    body, now = dumps({"type": "message.created", "data": data}), datetime.now(UTC)
    headers = {
        "webhook-id": key,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret or signing_secret("r", BRAND)).sign(key, now, body),
    }
    async with httpx.AsyncClient(trust_env=False) as client:
        try:
            return (await client.post(url, content=body, headers=headers)).status_code
        except httpx.TransportError:
            return 0


async def _until_taken(state: Path, trouble: float, keys: Sequence[str]) -> tuple[list[list[int]], list[Does]]:
    """Offer each of a conversation until it is taken; the answers, and what has been written down."""
    answers: list[list[int]] = []
    for key in keys:
        answers.append([])
        while 204 not in answers[-1]:
            # Another process each time, which knows from the file what came before.
            with open_journal(state, HEADER) as journal:
                async with receiving(journal, 1, trouble, LOOPBACK) as receiver:
                    answers[-1].append(await _offer(receiver.url(BRAND), key, "c1"))
                written = [line.does for line in journal.received]
    return answers, written


async def test_trouble_follows_from_the_seed_and_ends_with_the_third_attempt(tmp_path: Path) -> None:
    answers, written = await _until_taken(tmp_path / "one", 1, ["a", "b", "c", "d"])
    assert {len(each) for each in answers} == {3}
    assert {status for each in answers for status in each[:2]} == {0, 500}
    assert set(written) == {Does.FAILED, Does.CUT, Does.CUT_AFTER, Does.TOOK}
    assert await _until_taken(tmp_path / "two", 1, ["w", "x", "y", "z"]) == (answers, written), "under other ids too"
    assert await _until_taken(tmp_path / "three", 0, ["a", "b"]) == ([[204], [204]], [Does.TOOK, Does.TOOK])


async def test_what_bears_another_signature_is_turned_away_and_counted(tmp_path: Path) -> None:
    with open_journal(tmp_path / "state", HEADER) as journal:
        async with receiving(journal, 1, 0, LOOPBACK) as receiver:
            assert await _offer(receiver.url(BRAND), "a", "c1", signing_secret("r", "North")) == 401
        assert [line.does for line in journal.received] == [Does.FORGED]


async def test_an_address_that_is_not_of_this_machine_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with open_journal(tmp_path / "state", HEADER) as journal, pytest.raises(CannotReceive, match="--receive-at"):
        async with receiving(journal, 1, 0, "192.0.2.1"):
            pass
