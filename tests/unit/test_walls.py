import ast
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from activities.signatures import ChooseAssignee, LoadTicket
from activities.walls import organization_of
from domain.ladders import Successor

CHECKOUT = Path(__file__).resolve().parents[2]
APPLICATION = ("activities", "api", "db", "workflows", "worker.py")

SEE_EVERY_ORGANIZATION = {
    "activities/walls.py": "for the activities it lists, each with its reason",
    "api/channel_doors.py": "a channel is known by its id and a signature, before its organization is",
    "api/dependencies.py": "who signs in, or is invited, is not of one organization yet",
    "api/live_feed.py": "one reading serves the streams of all organizations",
    "api/webchat_origins.py": "a browser asks for a channel by its id, before anybody has come",
}
"""Who may look past the wall, and why."""

LOGS_IN_AS_THE_OWNER = {"db/engine.py": "it defines both engines"}


def calling(name: str) -> Iterator[str]:
    for part in APPLICATION:
        place = CHECKOUT / part
        for file in [place] if place.is_file() else place.rglob("*.py"):
            if file == CHECKOUT / "db/walls.py":
                continue
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == name:
                    yield str(file.relative_to(CHECKOUT))


def test_only_those_with_a_reason_look_past_the_wall() -> None:
    assert set(calling("every_organization")) == set(SEE_EVERY_ORGANIZATION)


def test_api_and_worker_connect_as_the_application() -> None:
    assert set(calling("make_engine")) <= set(LOGS_IN_AS_THE_OWNER)


def test_an_activity_works_for_the_organization_its_request_names() -> None:
    organization_id = uuid4()
    named = ChooseAssignee(
        organization_id=organization_id, team_id=None, assignee_id=None, tried=(), successor=Successor.SUPERVISOR
    )
    assert organization_of([named]) == organization_id
    assert organization_of([LoadTicket(ticket_id=uuid4(), requests=1)]) is None
    assert organization_of([]) is None
