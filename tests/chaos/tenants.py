"""The organizations of a run: their people, and rules whose timers take seconds instead of days."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx

from domain.clocks import Metric
from domain.priority import Priority
from tests.chaos.journal import Journal, Json, Organization
from tests.chaos.platform import Platform

AGENTS = 3


def _seconds(*values: float) -> tuple[timedelta, ...]:
    return tuple(timedelta(seconds=value) for value in values)


@dataclass(frozen=True)
class Rules:
    """What an organization's tickets do by themselves. ``targets`` hold for every priority."""

    remind_after: tuple[timedelta, ...]
    resolve_after: timedelta
    close_after: timedelta
    acknowledge_within: timedelta
    targets: Mapping[Metric, timedelta]
    climb: tuple[timedelta, ...]
    """Waits of the ladder that a breach starts."""
    queue_climb: tuple[timedelta, ...] = _seconds(1, 1)
    """Waits of the ladder that is climbed while a conversation is queued."""
    silence_limit: timedelta = timedelta(seconds=2)
    """How long who has a conversation may leave its customer waiting."""
    reopen_window: timedelta = timedelta(days=30)
    reassigns: bool = False
    """Whether that ladder's last step gives the ticket to somebody else."""


SHORT = Rules(
    remind_after=_seconds(1, 2, 3),
    resolve_after=timedelta(seconds=4),
    close_after=timedelta(seconds=2),
    acknowledge_within=timedelta(seconds=2),
    targets={Metric.FIRST_RESPONSE: timedelta(seconds=2), Metric.RESOLUTION: timedelta(seconds=4)},
    climb=_seconds(0.5, 1),
)
"""For tickets that nobody touches: all of their timers fall due."""

BUSY = Rules(
    remind_after=_seconds(2, 4),
    resolve_after=timedelta(seconds=6),
    close_after=timedelta(seconds=4),
    acknowledge_within=timedelta(seconds=3),
    targets={Metric.NEXT_RESPONSE: timedelta(seconds=5)},
    climb=_seconds(0, 2),
    reassigns=True,
)
"""For tickets that clients work on: timers come in between."""

FORGETFUL = Rules(
    remind_after=_seconds(3, 6),
    resolve_after=timedelta(seconds=8),
    close_after=timedelta(seconds=3),
    acknowledge_within=timedelta(seconds=5),
    targets={Metric.FIRST_RESPONSE: timedelta(seconds=6), Metric.RESOLUTION: timedelta(seconds=10)},
    climb=_seconds(1, 2),
    reopen_window=timedelta(seconds=3),
)
"""The same, and a message soon after the closing goes to a new ticket that follows up."""


@dataclass
class Founder:
    """Makes organizations through the API, before anything is disturbed."""

    http: httpx.AsyncClient
    operator_key: str
    journal: Journal
    platform: Platform
    _made: int = field(default=0, init=False)

    async def found(self, name: str, rules: Rules) -> Organization:
        """An organization with agents, a supervisor, two teams, a channel to the platform, and the ``rules``."""
        document = {"name": name, "auto_close_after": _iso(rules.close_after)}
        made = await self._post(
            "/organizations", self.operator_key, {**document, "reopen_window": _iso(rules.reopen_window)}
        )
        key = made["api_key"]["key"]
        people = [(f"Agent {number}", "agent") for number in range(1, AGENTS + 1)] + [("Supervisor", "supervisor")]
        members = [await self._member(key, name, role) for name, role in people]
        agents, supervisor = members[:-1], members[-1]
        ladder = await self._post("/escalation-ladders", key, _climb(rules))
        queue_ladder = await self._post("/escalation-ladders", key, _queue_climb(rules))
        await self._post("/reminder-ladders", key, _reminders(rules))
        await self._post("/sla-policies", key, _policy(rules, ladder["id"]))
        teams = [
            await self._post(
                "/teams",
                key,
                {
                    "name": team,
                    "acknowledge_within": _iso(rules.acknowledge_within),
                    "supervisor_id": supervisor,
                    "member_ids": turns,
                    "queue_ladder_id": queue_ladder["id"],
                    "silence_limit": _iso(rules.silence_limit),
                },
            )
            for team, turns in (("First", agents), ("Second", agents[::-1]))
        ]
        organization = Organization(
            id=made["id"],
            name=name,
            api_key=key,
            member_ids=tuple(agents),
            supervisor_id=supervisor,
            team_ids=tuple(team["id"] for team in teams),
            channel_id=await self._channel(key),
        )
        self.journal.write(organization)
        return organization

    async def _member(self, key: str, name: str, role: str) -> str:
        self._made += 1
        document = {"name": name, "email": f"member{self._made}@example.com", "role": role, "presence": "online"}
        made: str = (await self._post("/members", key, document))["id"]
        return made

    async def _channel(self, key: str) -> str:
        settings = {"reply_url": self.platform.url}
        made: str = (await self._post("/channels", key, {"kind": "whatsapp", "name": "Chat", "settings": settings}))[
            "id"
        ]
        secret = await self._post(f"/channels/{made}/secrets", key, {})
        self.platform.know(made, secret["secret"])
        return made

    async def _post(self, path: str, key: str, document: Json) -> Any:
        answer = await self.http.post(f"/api/v1{path}", json=document, headers={"Authorization": f"Bearer {key}"})
        assert answer.is_success, f"{path}: {answer.text}"
        return answer.json()


def _reminders(rules: Rules) -> Json:
    steps = [{"after": _iso(after), "action": "remind"} for after in rules.remind_after]
    return {
        "name": "Reminders",
        "is_default": True,
        "steps": [*steps, {"after": _iso(rules.resolve_after), "action": "resolve"}],
    }


def _climb(rules: Rules) -> Json:
    first, *others = rules.climb
    actions: list[Json] = [{"kind": "raise_priority"}, {"kind": "notify", "targets": ["supervisors"]}]
    if rules.reassigns:
        actions.append({"kind": "reassign", "to": "next_member"})
    steps: list[Json] = [{"wait": _iso(first), "actions": [{"kind": "notify", "targets": ["team"]}]}]
    return {"name": "Overdue", "steps": steps + [{"wait": _iso(wait), "actions": actions} for wait in others]}


def _queue_climb(rules: Rules) -> Json:
    first, *others = rules.queue_climb
    supervisors: list[Json] = [{"kind": "raise_priority"}, {"kind": "notify", "targets": ["supervisors"]}]
    steps: list[Json] = [{"wait": _iso(first), "actions": [{"kind": "notify", "targets": ["team"]}]}]
    return {"name": "Unclaimed", "steps": steps + [{"wait": _iso(wait), "actions": supervisors} for wait in others]}


def _policy(rules: Rules, ladder: str) -> Json:
    targets = {
        metric.value: {priority.value: _iso(target) for priority in Priority}
        for metric, target in rules.targets.items()
    }
    return {"name": "Promise", "targets": targets, "counts": "calendar", "escalation_ladder_id": ladder}


def _iso(span: timedelta) -> str:
    return f"PT{span.total_seconds():.3f}S"
