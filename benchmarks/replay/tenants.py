"""The organizations of a replay: one a brand, each with teams, members and rules on the stream's clock."""

import asyncio
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from benchmarks.replay.api_client import Api, Caller, Refused
from benchmarks.replay.journal import Tenant
from benchmarks.replay.pace import Pace
from benchmarks.replay.receiver import PROBE, Receiver, signing_secret
from benchmarks.replay.rules import TEAMS, escalation_events, routing_rules, sla_policy
from benchmarks.replay.stream import Stream, channel_kind

MEMBERS = 4
"""Agents of an organization, each in all its teams, besides their supervisor."""

_AGENTS = ("Ada", "Ben", "Cleo", "Dan")
_PROBE_SECONDS = 20.0
_LOOK_EVERY_SECONDS = 0.2


class CannotPrepare(Exception):
    """The organizations could not be made; the message says what to do."""


async def prepare(api: Api, operator_key: str | None, stream: Stream, pace: Pace, receiver: Receiver) -> None:
    """Make, once for the receiver's journal, the organization of each brand, and have its answers go to the receiver.

    Safe to repeat after a crash; the receiver may be elsewhere by then.
    """
    journal = receiver.journal
    for brand in stream.brands:
        if brand in journal.tenants:
            continue
        if not operator_key:
            raise CannotPrepare(
                "Only the operator can create organizations. Give the API's operator key in BATON_OPERATOR_KEY; "
                "for `make run` it is kept in .baton/settings.env."
            )
        operator = api.caller(operator_key)
        if not journal.tenants:
            await _probe(operator, pace, receiver)
        kinds = {channel_kind(each) for each in stream.messages if each.brand == brand}
        journal.write(await _make(operator, brand, sorted(kinds), pace, journal.header.run))
    for tenant in journal.tenants.values():
        await _answered_at(api.caller(tenant.api_key), tenant.channel_ids, receiver.url(tenant.brand))


async def _make(operator: Caller, brand: str, kinds: Iterable[str], pace: Pace, run: str) -> Tenant:
    organization = await _organization(operator, brand, pace, f"{run}:{brand}")
    caller = operator.api.caller(organization["api_key"]["key"])
    await caller.post("/reminder-ladders", pace.ladder(), "ladder", "prepare")
    queue_ladder = await caller.post("/escalation-ladders", pace.queue_ladder(), "queue-ladder", "prepare")
    supervisor = await _member(caller, "Sam", "supervisor")
    agents = [await _member(caller, name, "agent") for name in _AGENTS[:MEMBERS]]
    await caller.post("/sla-policies", sla_policy(pace), "sla-policy", "prepare")
    team = {
        "acknowledge_within": pace.document(pace.acknowledge_within),
        "supervisor_id": supervisor,
        "member_ids": agents,
        "queue_ladder_id": queue_ladder["id"],
        "silence_limit": pace.document(pace.silence_limit),
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
        channel_ids={kind: await _channel(caller, kind, signing_secret(run, brand)) for kind in kinds},
    )


async def _channel(caller: Caller, kind: str, secret: str) -> str:
    """A channel that signs with the secret."""
    made = await caller.post("/channels", {"kind": kind, "name": kind}, f"channel:{kind}", "prepare")
    await caller.post(f"/channels/{made['id']}/secrets", {"secret": secret}, f"secret:{kind}", "prepare")
    return str(made["id"])


async def _answered_at(caller: Caller, channel_ids: dict[str, str], url: str) -> None:
    """Have the channels' answers posted there from now on."""
    for kind, id_ in channel_ids.items():
        document = {"kind": kind, "name": kind, "settings": {"reply_url": url}}
        # Under a key of its own: an address that it had before may be the one it has again.
        await caller.post(f"/channels/{id_}", document, f"reply-url:{uuid4()}", "prepare", method="PUT")


async def _probe(operator: Caller, pace: Pace, receiver: Receiver) -> None:
    """Have something delivered, in an organization of its own, or say why nothing could be."""
    run = receiver.journal.header.run
    organization = await _organization(operator, "Probe", pace, f"{run}:")
    caller = operator.api.caller(organization["api_key"]["key"])
    channel_id = await _channel(caller, "api", signing_secret(run, PROBE))
    await _answered_at(caller, {"api": channel_id}, receiver.url(PROBE))
    asked = {"external_id": "probe", "author": "customer", "body": "Can you hear me?", "channel_id": channel_id}
    await caller.post("/conversations/probe/messages", asked, "asked", "prepare")
    said = await caller.post("/conversations/probe/replies", {"body": "Yes."}, "said", "prepare")
    reason = "nothing was delivered"
    for _ in range(round(_PROBE_SECONDS / _LOOK_EVERY_SECONDS)):
        try:
            await asyncio.wait_for(receiver.probed.wait(), _LOOK_EVERY_SECONDS)
            return
        except TimeoutError:
            found = await caller.get(f"/deliveries/{said['delivery']['id']}")
            reason = found["reason"] or reason
            if found["state"] == "failed":
                break
    raise CannotPrepare(
        f"This Baton's worker cannot deliver answers to this replay, which receives them at {receiver.url(PROBE)} "
        f"({reason}). Where it runs on this machine, start it with BATON_WEBHOOK_PRIVATE_ADDRESSES=true; where not, "
        "name an address of this machine that it can reach: --receive-at ADDRESS."
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
