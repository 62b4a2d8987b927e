"""The organizations of a replay: one a brand, each with teams, members and rules on the stream's clock."""

from typing import Any

from benchmarks.replay.api_client import Api, Caller, Refused
from benchmarks.replay.journal import Journal, Tenant
from benchmarks.replay.pace import Pace
from benchmarks.replay.rules import TEAMS, escalation_events, routing_rules, sla_policy

MEMBERS = 4
"""Agents of an organization, each in all its teams, besides their supervisor."""

_AGENTS = ("Ada", "Ben", "Cleo", "Dan")


class CannotPrepare(Exception):
    """The organizations could not be made; the message says what to do."""


async def prepare(api: Api, operator_key: str | None, brands: list[str], pace: Pace, journal: Journal) -> None:
    """Make, once for the journal, the organization of each brand; safe to repeat after a crash."""
    for brand in brands:
        if brand not in journal.tenants:
            if not operator_key:
                raise CannotPrepare(
                    "Only the operator can create organizations. Give the API's operator key in BATON_OPERATOR_KEY; "
                    "for `make run` it is kept in .baton/settings.env."
                )
            journal.write(await _make(api.caller(operator_key), brand, pace, f"{journal.header.run}:{brand}"))


async def _make(operator: Caller, brand: str, pace: Pace, key: str) -> Tenant:
    organization = await _organization(operator, brand, pace, key)
    caller = operator.api.caller(organization["api_key"]["key"])
    await caller.post("/reminder-ladders", pace.ladder(), "ladder", "prepare")
    supervisor = await _member(caller, "Sam", "supervisor")
    agents = [await _member(caller, name, "agent") for name in _AGENTS[:MEMBERS]]
    await caller.post("/sla-policies", sla_policy(pace), "sla-policy", "prepare")
    team = {
        "acknowledge_within": pace.document(pace.acknowledge_within),
        "supervisor_id": supervisor,
        "member_ids": agents,
    }
    teams = {
        name: (await caller.post("/teams", team | {"name": name}, f"team:{name}", "prepare"))["id"] for name in TEAMS
    }
    for noun, documents in (
        ("escalation-events", escalation_events(teams, pace)),
        ("routing-rules", routing_rules(teams)),
    ):
        for place, document in enumerate(documents):
            await caller.post(f"/{noun}", document, f"{noun}:{place}", "prepare")
    return Tenant(
        brand=brand,
        id=organization["id"],
        api_key=caller.key,
        team_ids=teams,
        member_ids=tuple(agents),
        supervisor_id=supervisor,
    )


async def _organization(operator: Caller, brand: str, pace: Pace, key: str) -> dict[str, Any]:
    """A new organization whose key we know: one made by a run that died before it kept the key is left behind."""
    body = {
        "name": f"{brand} (replay)",
        "auto_close_after": pace.document(pace.auto_close_after),
        "reopen_window": pace.document(pace.reopen_window),
    }
    for attempt in range(100):
        try:
            made: dict[str, Any] = await operator.post("/organizations", body, _printable(key, attempt), "prepare")
        except Refused as refused:
            if refused.status == 401:
                raise CannotPrepare(
                    "The API does not take this operator key. Give the one it was started with in BATON_OPERATOR_KEY."
                ) from None
            raise
        if made["api_key"]:
            return made
    raise CannotPrepare("The organizations' keys are lost; delete the state file and begin anew.")


async def _member(caller: Caller, name: str, role: str) -> str:
    body = {"name": f"{name} {role.title()}", "email": f"{name.lower()}@example.com", "role": role}
    return str((await caller.post("/members", body | {"presence": "online"}, f"member:{name}", "prepare"))["id"])


def _printable(key: str, attempt: int) -> str:
    return f"{key}:{attempt}".encode("ascii", "backslashreplace").decode().replace(" ", "_")
