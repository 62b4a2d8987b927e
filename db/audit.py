"""The audit log writes itself: what a request's session changes in administered tables, in the same transaction.

``make_sessions`` makes sessions of this kind. One that was told who works with it (``audit_by``) notes what each flush
adds, changes and deletes, and writes one entry a subject when the transaction is committed. Sessions nobody told,
those of the worker above all, write none. Statements that go round the session's objects are not seen: whoever uses
them on an administered table calls ``note_change``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic_core import to_jsonable_python
from sqlalchemy import event, insert, inspect, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, SessionTransaction

from db.models import (
    Account,
    ApiKey,
    AuditEntry,
    CalendarRow,
    Channel,
    ChannelSecret,
    EscalationLadderRow,
    Invitation,
    Member,
    MessageTemplate,
    Organization,
    ReminderLadderRow,
    RuleRow,
    RuleVersion,
    SlaPolicyRow,
    SlaPolicyVersion,
    Team,
)
from domain.events import Actor


@dataclass(frozen=True)
class Origin:
    """Who works with a session: for which organization, through which API key, from which address.

    ``organization_id`` is ``None`` for the operator, who is of none.
    """

    organization_id: UUID | None
    actor: Actor
    key_id: UUID | None = None
    address: str | None = None


@dataclass(frozen=True)
class _Subject:
    """How a table's rows are called in the log, and which of their columns are shown: no secrets, no presence."""

    kind: str
    columns: tuple[str, ...]


_SUBJECTS: Mapping[type[Any], _Subject] = {
    Organization: _Subject(
        "organization", ("name", "auto_close_after", "reopen_window", "language", "customer_messages")
    ),
    Member: _Subject("member", ("name", "email", "role", "status", "account_id")),
    Invitation: _Subject("invitation", ("member_id", "sent_at", "expires_at", "accepted_at", "revoked_at")),
    ApiKey: _Subject("api_key", ("name", "hint", "scopes", "expires_at", "revoked_at")),
    Team: _Subject("team", ("name", "assignment", "acknowledge_within", "escalation_ladder_id", "supervisor_id")),
    Channel: _Subject("channel", ("kind", "name")),
    ChannelSecret: _Subject("channel_secret", ("channel_id", "purpose", "expires_at")),
    MessageTemplate: _Subject("message_template", ("kind", "language", "body")),
    CalendarRow: _Subject("calendar", ("name", "is_default", "definition")),
    ReminderLadderRow: _Subject("reminder_ladder", ("name", "steps", "is_default")),
    EscalationLadderRow: _Subject("escalation_ladder", ("name", "steps", "repeat")),
    SlaPolicyRow: _Subject("sla_policy", ("name", "enabled", "position", "version")),
    RuleRow: _Subject("rule", ("kind", "name", "position", "mode", "version")),
}
_VERSIONS: Mapping[type[Any], tuple[str, str, tuple[str, ...]]] = {
    SlaPolicyVersion: ("sla_policy", "policy_id", ("definition", "effective_from")),
    RuleVersion: ("rule", "rule_id", ("definition",)),
}
"""What a subject says is in rows of its versions: the subject's kind, what names it, and the columns shown."""

_BY, _PENDING = "audit_by", "audit_pending"


@dataclass
class _Change:
    """What a transaction made of one subject so far; ``before`` of ``None`` is made anew, ``after`` deleted."""

    organization_id: UUID
    before: dict[str, Any] | None = field(default_factory=dict)
    after: dict[str, Any] | None = field(default_factory=dict)

    def add(self, before: dict[str, Any] | None, after: dict[str, Any] | None) -> None:
        if self.before is not None and before is not None:
            self.before = before | self.before  # the first value is the one before
        if after is None:
            self.after = None
        elif self.after is not None:
            self.after |= after

    def entry(self) -> tuple[str, dict[str, Any] | None, dict[str, Any] | None] | None:
        """The action with what differs; ``None`` where nothing does."""
        if self.before is None or self.after is None:
            nothing = self.before is self.after
            return None if nothing else ("created" if self.before is None else "deleted", self.before, self.after)
        changed = [name for name, value in self.after.items() if self.before.get(name) != value]
        if not changed:
            return None
        return (
            "changed",
            {name: self.before.get(name) for name in changed},
            {name: self.after[name] for name in changed},
        )


class AuditedSession(Session):
    """The synchronous inside of a session whose changes are noted."""


def audit_by(session: AsyncSession, who: Callable[[], Origin | None]) -> None:
    """Have the session's changes noted as done by whom ``who`` names when they are written; ``None`` notes nothing."""
    session.info[_BY] = who


def note_change(
    session: AsyncSession, kind: str, subject_id: UUID, before: dict[str, Any] | None, after: dict[str, Any] | None
) -> None:
    """Add values to the transaction's entry on a subject, for what the session's objects do not show."""
    origin = _origin(session.sync_session)
    if origin is not None and origin.organization_id is not None:
        _change(session.sync_session, kind, subject_id, origin.organization_id, made=before is None).add(
            to_jsonable_python(before), to_jsonable_python(after)
        )


async def write_event(session: AsyncSession, account_id: UUID, action: str, address: str | None) -> None:
    """Write that something happened to an account (a sign-in, a failed one), for each organization it is active in.

    Part of the caller's transaction.
    """
    members = (
        await session.execute(
            select(Member.organization_id, Member.id, Account.name)
            .join(Account, Account.id == Member.account_id)
            .where(Member.account_id == account_id, Member.status == "active")
        )
    ).all()
    if members:
        at = datetime.now(UTC)
        await session.execute(
            insert(AuditEntry),
            [
                {
                    "organization_id": organization_id,
                    "at": at,
                    "actor_kind": "member",
                    "actor_id": member_id,
                    "actor_name": name,
                    "address": address,
                    "action": action,
                    "subject_kind": "session",
                    "subject_id": member_id,
                }
                for organization_id, member_id, name in members
            ],
        )


@event.listens_for(AuditedSession, "after_flush")
def _note(session: Session, _: object) -> None:
    """Take down what the flush has written, before the session forgets what was there."""
    if _BY not in session.info:
        return
    for row in [*session.new, *session.dirty, *session.deleted]:
        if type(row) in _SUBJECTS:
            _note_row(session, row, _SUBJECTS[type(row)])
        elif type(row) in _VERSIONS:
            _note_version(session, row)


def _note_row(session: Session, row: Any, subject: _Subject) -> None:
    organization_id = row.id if isinstance(row, Organization) else row.organization_id
    made = row in session.new
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    before, after = (None, _values(row, subject.columns)) if made else _difference(row, subject.columns)
    if row in session.deleted:
        before, after = _values(row, subject.columns), None
    if made or after is None or after:
        _change(session, subject.kind, row.id, organization_id, made=made).add(before, after)


def _note_version(session: Session, row: Any) -> None:
    """A version shows as a change of what it is a version of."""
    origin = _origin(session)
    if origin is None or origin.organization_id is None:
        return
    kind, names, columns = _VERSIONS[type(row)]
    table, subject_id = type(row), getattr(row, names)
    if row not in session.new:
        before, after = _difference(row, columns)
    else:
        columns = ("definition",)
        older = (
            select(table.definition)
            .where(getattr(table, names) == subject_id, table.version < row.version)
            .order_by(table.version.desc())
            .limit(1)
        )
        before = {"definition": to_jsonable_python(session.connection().scalar(older))}
        after = _values(row, columns)
    if after:
        _change(session, kind, subject_id, origin.organization_id, made=False).add(before, after)


def _difference(row: Any, columns: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    before, after = {}, {}
    state = inspect(row)
    for name in columns:
        history = state.attrs[name].history
        if history.added:
            before[name], after[name] = next(iter(history.deleted or ()), None), history.added[0]
    return to_jsonable_python(before), to_jsonable_python(after)


def _values(row: Any, columns: tuple[str, ...]) -> dict[str, Any]:
    known = inspect(row).dict  # without asking the database for what it filled in
    values: dict[str, Any] = to_jsonable_python({name: known[name] for name in columns if name in known})
    return values


def _origin(session: Session) -> Origin | None:
    who: Callable[[], Origin | None] | None = session.info.get(_BY)
    return who() if who else None


def _change(session: Session, kind: str, subject_id: UUID, organization_id: UUID, *, made: bool) -> _Change:
    pending: dict[tuple[str, UUID], _Change] = session.info.setdefault(_PENDING, {})
    new = _Change(organization_id, None if made else {}, {})
    return pending.setdefault((kind, subject_id), new)


@event.listens_for(AuditedSession, "before_commit")
def _write(session: Session) -> None:
    if _BY not in session.info:
        return
    session.flush()
    pending: dict[tuple[str, UUID], _Change] = session.info.pop(_PENDING, {})
    origin = _origin(session)
    entries = []
    for (kind, subject_id), change in pending.items():
        found = change.entry()
        if origin is not None and found is not None:
            action, before, after = found
            entries.append(
                {
                    "organization_id": change.organization_id,
                    "at": datetime.now(UTC),
                    "actor_kind": origin.actor.kind,
                    "actor_id": origin.actor.id,
                    "actor_name": origin.actor.name,
                    "key_id": origin.key_id,
                    "address": origin.address,
                    "action": f"{kind}.{action}",
                    "subject_kind": kind,
                    "subject_id": subject_id,
                    "before": before,
                    "after": after,
                }
            )
    if entries:
        session.execute(insert(AuditEntry), entries)


@event.listens_for(AuditedSession, "after_soft_rollback")
def _forget(session: Session, _: SessionTransaction) -> None:
    session.info.pop(_PENDING, None)
