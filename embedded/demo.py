"""The demo organization of an empty database, and the API key that a first visitor uses."""

from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4, uuid5

from pydantic import SecretStr
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from api.schemas.organization import CreateOrganization
from api.schemas.people import MemberStatus
from api.schemas.rule import EscalationEventDocument, RoutingRuleDocument, RuleDocument
from api.security import hash_api_key, hint, new_api_key
from db.models import ApiKey, Channel, Member, Organization, RuleRow, RuleVersion, Team, TeamMember
from domain.assignment import Assignment, Presence
from domain.permissions import Role
from domain.rules.rule import RuleKind, RuleMode, dump_definition
from domain.ticket import ChannelKind
from embedded.home import write_private
from settings import Settings

# Known in advance, so that a later start finds it under whatever name it has got since.
ORGANIZATION_ID = UUID("3d0f6c7e-6f0b-5d5c-9c39-9a3b5f6d1c01")

MEMBERS = (
    ("Olive Owner", Role.OWNER, Presence.ONLINE),
    ("Sam Supervisor", Role.SUPERVISOR, Presence.ONLINE),
    ("Ada Agent", Role.AGENT, Presence.ONLINE),
    ("Ben Agent", Role.AGENT, Presence.ONLINE),
    ("Cleo Agent", Role.AGENT, Presence.ONLINE),
    ("Dan Agent", Role.AGENT, Presence.AWAY),
)
SUPERVISOR = "Sam Supervisor"
TEAMS = (  # name, limit of an assigned ticket nobody starts, members in the order of their turns
    ("Support", timedelta(hours=4), ("Ada Agent", "Ben Agent", "Cleo Agent")),
    ("Billing", None, ("Cleo Agent", "Dan Agent")),
    ("Bugs", None, ("Ben Agent", "Dan Agent")),
)


def ensure_demo(settings: Settings, key_file: Path) -> str | None:
    """An API key that works, kept in ``key_file`` (mode 0600); ``None`` where the organizations are somebody's own.

    In one transaction: a database without organizations gets the demo organization; a demo organization whose key is
    lost or revoked gets one more key, and no key is ever revoked here. The file is written before the commit: after a
    kill in between it holds a key nobody knows, which the next call replaces. Safe to repeat.
    """
    engine = create_engine(settings.database_url, poolclass=NullPool)
    with Session(engine) as session, session.begin():
        if key_file.exists() and _works(session, kept := key_file.read_text().strip(), settings.secret_key):
            return kept
        if session.get(Organization, ORGANIZATION_ID) is None:
            if session.scalar(select(Organization.id).limit(1)) is not None:
                return None
            _add_organization(session)
        key = new_api_key()
        write_private(key_file, f"{key}\n")
        session.add(
            ApiKey(
                id=uuid4(),
                organization_id=ORGANIZATION_ID,
                name="Demo",
                hint=hint(key),
                hash=hash_api_key(key, settings.secret_key),
            )
        )
    return key


def _works(session: Session, key: str, secret: SecretStr) -> bool:
    known = select(ApiKey.id).where(ApiKey.hash == hash_api_key(key, secret), ApiKey.revoked_at.is_(None))
    return session.scalar(known) is not None


def _add_organization(session: Session) -> None:
    wanted = CreateOrganization(name="Demo")  # with the defaults every organization gets
    session.add(
        Organization(
            id=ORGANIZATION_ID,
            name=wanted.name,
            auto_close_after=wanted.auto_close_after,
            reopen_window=wanted.reopen_window,
        )
    )
    session.flush()  # the tables have no relationships that would tell the order
    session.add_all(
        Member(
            id=_id(name),
            organization_id=ORGANIZATION_ID,
            name=name,
            email=name.lower().replace(" ", ".") + "@example.com",
            role=role,
            status=MemberStatus.ACTIVE,
            presence=presence,
        )
        for name, role, presence in MEMBERS
    )
    session.flush()
    session.add_all(
        Team(
            id=_id(name),
            organization_id=ORGANIZATION_ID,
            name=name,
            assignment=Assignment.MANUAL,
            acknowledge_within=limit,
            supervisor_id=_id(SUPERVISOR),
        )
        for name, limit, _members in TEAMS
    )
    session.flush()
    session.add_all(
        TeamMember(team_id=_id(team), member_id=_id(member), position=position)
        for team, _limit, members in TEAMS
        for position, member in enumerate(members)
    )
    _add_front_door(session)


def _add_front_door(session: Session) -> None:
    """A channel, and rules by which a first message through it becomes a ticket of the right team."""
    session.add(
        Channel(
            id=_id("Website"), organization_id=ORGANIZATION_ID, kind=ChannelKind.WEBCHAT, name="Website", settings={}
        )
    )
    for kind, documents in _rules().items():
        for position, document in enumerate(documents, start=1):
            rule_id = _id(f"{kind}: {document.name}")
            mode = document.mode or RuleMode.ON
            session.add(
                RuleRow(
                    id=rule_id,
                    organization_id=ORGANIZATION_ID,
                    kind=kind,
                    name=document.name,
                    position=position,
                    mode=mode,
                )
            )
            session.flush()
            definition = dump_definition(document.rule(rule_id, mode=mode))
            session.add(RuleVersion(rule_id=rule_id, version=1, definition=definition))


def _rules() -> dict[RuleKind, list[RuleDocument]]:
    events = [
        {
            "name": "Asks for a person",
            "conditions": {"human_requested": True},
            "actions": {"notify_team_ids": [_id("Support")]},
        },
        {
            "name": "Wants the money back",
            "conditions": {"keyword": ["refund", "money back", "chargeback"]},
            "actions": {"priority": "high", "tags": ["refund"]},
        },
        {
            "name": "Angry twice",
            "conditions": {"sentiment": {"at_most": -0.4, "messages": 2, "of_last": 3}},
            "actions": {"priority": "high", "tags": ["angry"]},
        },
    ]
    routing = [
        {
            "name": "Refunds go to billing",
            "conditions": {"any": [{"tag": ["refund"]}, {"keyword": ["invoice"]}]},
            "actions": {"team_id": _id("Billing")},
        }
    ]
    return {
        RuleKind.ESCALATION_EVENT: [EscalationEventDocument.model_validate(each) for each in events],
        RuleKind.ROUTING_RULE: [RoutingRuleDocument.model_validate(each) for each in routing],
    }


def _id(name: str) -> UUID:
    return uuid5(ORGANIZATION_ID, name)
