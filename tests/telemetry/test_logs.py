import json
from typing import Any

import pytest

from tests.telemetry.conftest import Watched
from tests.telemetry.life import PRIVATE
from tests.telemetry.processes import Pair

Line = dict[str, Any]


def lines(pair: Pair, part: str) -> list[Line]:
    return [json.loads(line) for line in pair.logs[part].read_text().splitlines()]


@pytest.mark.parametrize("part", ["api", "worker"])
def test_every_line_is_an_object_with_a_time_and_a_level(watched: Watched, pair: Pair, part: str) -> None:
    for line in lines(pair, part):
        assert {"event", "level", "logger", "timestamp"} <= line.keys(), line


@pytest.mark.parametrize("part", ["api", "worker"])
def test_nothing_that_was_written_is_logged_and_no_secret(watched: Watched, pair: Pair, part: str) -> None:
    text = pair.logs[part].read_text()
    words = {word for value in PRIVATE.values() for word in value.split() if word[0].isupper() or "@" in word}
    said = {*PRIVATE.values(), *watched.secrets, *words} - {"The", "It", "He", "She", "Where"}
    assert sorted(word for word in said if word.lower() in text.lower()) == []


def test_requests_name_route_outcome_and_ticket(watched: Watched, pair: Pair) -> None:
    ticket_id = watched.life.ticket["id"]
    requests = [line for line in lines(pair, "api") if line["event"] == "request"]
    mine = [line for line in requests if line.get("ticket_id") == ticket_id]
    outcomes = {(line["method"], line["route"], line["status"]) for line in mine}
    assert {
        ("POST", "/api/v1/tickets", 201),
        ("POST", "/api/v1/tickets/{ticket_id}/messages", 201),
        ("POST", "/api/v1/tickets/{ticket_id}/status", 200),
        ("POST", "/api/v1/tickets/{ticket_id}/status", 409),
        ("POST", "/api/v1/tickets/{ticket_id}/notes", 500),
    } <= outcomes
    assert all(line["milliseconds"] > 0 for line in requests)
    assert not [line for line in requests if "{ticket_id}" in (line["route"] or "") and "ticket_id" not in line]
    assert [line["route"] for line in requests if line["status"] == 404] == [None]
    assert not [line for line in requests if line["route"] == "/readyz" and line["status"] == 200]


def test_failed_record_names_its_ticket_and_what_refused_it(watched: Watched, pair: Pair) -> None:
    failures = [line for line in lines(pair, "worker") if line["event"].startswith("Completing activity as failed")]
    assert failures
    for line in failures:
        assert line["ticket_id"] == watched.life.ticket["id"]
        assert 'CheckViolation: 23514 new row for relation "tickets" violates' in line["exception"]
        assert "activities/ticket_record.py:" in line["exception"]


def test_failed_task_names_its_ticket(watched: Watched, pair: Pair) -> None:
    failures = [line for line in lines(pair, "worker") if "activation" in line["event"] and "exception" in line]
    assert failures
    assert all("ticket_id" in line for line in failures)


def test_defect_can_be_found_by_the_incident_that_the_client_was_told(watched: Watched, pair: Pair) -> None:
    (line,) = (line for line in lines(pair, "api") if line["event"] == "unexpected_error")
    assert line["incident"] == watched.life.incident
    assert "UndefinedTable: 42P01" in line["exception"]
    assert "api/messages.py:" in line["exception"]
