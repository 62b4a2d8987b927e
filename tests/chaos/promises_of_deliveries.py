"""What the customers' side is owed: each answer and each handing over reaches the receiver, in order, under one key."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from domain.delivery import AttemptOutcome, DeliveryKind, DeliveryState
from domain.escalation_story import ENDED, ChangeKind
from tests.chaos.journal import Received, Verdict, What
from tests.chaos.reading import Row
from tests.chaos.report import Finding, Wrong
from tests.chaos.rows import by
from tests.chaos.talk_evidence import TalkEvidence

_TYPES = {
    DeliveryKind.MESSAGE: "message.created",
    DeliveryKind.HANDED_OVER: "conversation.handed_over",
    DeliveryKind.HANDED_BACK: "conversation.handed_back",
}


@dataclass(frozen=True)
class _Owed:
    """What has to be delivered: to which conversation, what it is, and what it says, as far as that is certain."""

    organization_id: UUID
    conversation_id: UUID
    kind: DeliveryKind
    says: Mapping[str, Any]


def broken(talks: TalkEvidence) -> Iterator[Finding]:
    """Every promise of a delivery that was broken."""
    owed = dict(_owed(talks))
    recorded = by(talks.tables.deliveries, "key")
    received: dict[str, list[Received]] = {}
    for request in talks.history.received:
        received.setdefault(request.delivery, []).append(request)
        if not request.signed:
            yield Finding(Wrong.FORGED, f"{request.delivery} reached the receiver, and its signature does not hold")
    for key in set(recorded) | set(owed):
        rows = recorded.get(key, [])
        if key not in owed:
            yield Finding(Wrong.DELIVERED_IN_VAIN, f"{key} is recorded, and nobody has asked for it")
        elif not rows:
            yield Finding(Wrong.UNDELIVERED, f"{key} is not recorded")
        else:
            if len(rows) > 1:
                yield Finding(Wrong.DOUBLED, f"{key} is recorded {len(rows)} times")
            for row in rows:
                yield from _delivery(row, owed[key], received.pop(known_as(row["id"]), []))
    for id_ in set(received) - {known_as(row["id"]) for row in talks.tables.deliveries}:
        yield Finding(Wrong.DELIVERED_IN_VAIN, f"{id_} reached the receiver, and is not recorded")
    yield from _out_of_order(talks)


def known_as(delivery_id: UUID) -> str:
    """By what the receiver knows a delivery."""
    return f"dlv_{delivery_id.hex}"


def _owed(talks: TalkEvidence) -> Iterator[tuple[str, _Owed]]:
    """By key: every answer that is stored, and every change of who has the conversation."""
    for command in talks.commands:
        if command.sent.what is What.REPLY:
            for row in talks.said(command):
                says = {"id": str(row["id"]), "author": "agent", "body": command.sent.body["body"]}
                owed = _Owed(row["organization_id"], row["conversation_id"], DeliveryKind.MESSAGE, says)
                yield f"message:{row['id']}", owed
    for id_, row in talks.rows.items():
        claimed = False
        for change in talks.stories.get(id_, ()):
            about = {"escalation_id": str(id_), "reason": change["kind"]}
            if change["kind"] == ChangeKind.CLAIMED:
                claimed, kind = True, DeliveryKind.HANDED_OVER
                about |= {"member_id": change["about"].get("owner_id")}
            elif change["kind"] in ENDED and claimed:
                kind = DeliveryKind.HANDED_BACK
            else:
                continue
            owed = _Owed(row["organization_id"], row["conversation_id"], kind, about)
            yield f"{kind}:escalation:{id_}:{change['version']}", owed


def _delivery(row: Row, owed: _Owed, requests: Sequence[Received]) -> Iterator[Finding]:
    what = f"delivery {row['id']} ({row['key']})"
    if not any(request.taken for request in requests):
        yield Finding(Wrong.UNDELIVERED, f"{what}: {len(requests)} requests reached the receiver, none was taken")
    outcomes = Counter(attempt["outcome"] for attempt in row["attempts"])
    if row["state"] != DeliveryState.SENT or outcomes[AttemptOutcome.SENT] != 1:
        state = f"{row['state']} after {dict(outcomes)}"
        yield Finding(Wrong.RECORDED, f"{what}: it is {state}")
    elif not any(request.answered for request in requests):
        yield Finding(Wrong.RECORDED, f"{what}: it is sent, and the receiver has never said so")
    if (row["organization_id"], row["conversation_id"]) != (owed.organization_id, owed.conversation_id):
        yield Finding(Wrong.FOREIGN, f"{what}: its conversation")
    for request in requests:
        data = request.content.get("data", {})
        told = data.get("message") or data.get("about") or {}
        differing = [name for name, value in owed.says.items() if told.get(name) != value]
        if data.get("conversation", {}).get("id") != str(owed.conversation_id):
            differing.append("conversation")
        if request.content.get("type") != _TYPES[owed.kind]:
            differing.append("type")
        if differing:
            yield Finding(Wrong.DELIVERED_IN_VAIN, f"{what}: the receiver was told another {', '.join(differing)}")


def _out_of_order(talks: TalkEvidence) -> Iterator[Finding]:
    """Of one conversation nothing is sent before what was written earlier is over, and answers keep their order."""
    numbers = {known_as(row["id"]): row["number"] for row in talks.tables.deliveries}
    conversations = {known_as(row["id"]): row["conversation_id"] for row in talks.tables.deliveries}
    furthest: dict[UUID, int] = {}
    for request in talks.history.received:
        if request.delivery in numbers:
            number, conversation_id = numbers[request.delivery], conversations[request.delivery]
            if number < furthest.get(conversation_id, 0):
                what = f"{request.delivery} reached the receiver after one that comes later"
                yield Finding(Wrong.DISORDERED, f"conversation {conversation_id}: {what}")
            furthest[conversation_id] = max(number, furthest.get(conversation_id, 0))
    by_message = {row["message_id"]: row["number"] for row in talks.tables.deliveries if row["message_id"]}
    last: dict[tuple[str, UUID], int] = {}
    for command in talks.history.of(Verdict.ACKNOWLEDGED):
        if command.sent.what is not What.REPLY:
            continue
        for row in talks.said(command):
            line, number = (command.sent.client, row["conversation_id"]), by_message.get(row["id"])
            if number is not None and number < last.get(line, 0):
                yield Finding(Wrong.DISORDERED, f"answer {command.key} goes out before an earlier one")
            last[line] = max(number or 0, last.get(line, 0))
