"""Rules an organization reads its messages and new tickets by, and what they decided."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.table import CreatedAt, Key, OrganizationId, Table


class RuleRow(Table):
    """An escalation event or a routing rule (``kind``): its place among its like, and whether it is in use.

    ``mode`` is ``on``, ``shadow`` (it decides and has no effect) or ``off``. What it says is in its versions.
    """

    __tablename__ = "rules"

    id: Mapped[Key]
    organization_id: Mapped[OrganizationId]
    kind: Mapped[str]
    name: Mapped[str]
    position: Mapped[int]
    mode: Mapped[str]
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    created_at: Mapped[CreatedAt]

    __table_args__ = (
        UniqueConstraint("organization_id", "kind", "name"),
        Index(None, "organization_id", "kind", "position"),
    )


class RuleVersion(Table):
    """What a rule said in a version: ``definition`` is a ``domain.rules.rule`` definition without its name."""

    __tablename__ = "rule_versions"

    rule_id: Mapped[UUID] = mapped_column(ForeignKey("rules.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    definition: Mapped[dict[str, Any]]
    created_at: Mapped[CreatedAt]


class Decision(Table):
    """A rule matched: which version, what it matched (``evidence``), and what came of it (``outcome``, ``actions``).

    Of an escalation event it is of one message, of a routing rule of one ticket; made once, since the id follows from
    both. It outlives its rule, so the rule's name is repeated.
    """

    __tablename__ = "decisions"

    id: Mapped[Key]
    organization_id: Mapped[OrganizationId]
    kind: Mapped[str]
    rule_id: Mapped[UUID]
    rule_name: Mapped[str]
    rule_version: Mapped[int]
    conversation_id: Mapped[UUID]
    message_id: Mapped[UUID | None]
    ticket_id: Mapped[UUID | None]
    outcome: Mapped[str]
    evidence: Mapped[list[dict[str, Any]]]
    actions: Mapped[dict[str, Any]]
    at: Mapped[datetime]

    __table_args__ = (
        Index(None, "organization_id", "rule_id", "at", "id", postgresql_include=["kind", "outcome", "ticket_id"]),
        Index(None, "conversation_id", "at"),
        Index(None, "ticket_id", "at"),
        Index(  # for reports (``db.analytics``): each ticket's decisions together, and nothing else of them
            "ix_decisions_acted",
            "organization_id",
            "ticket_id",
            "rule_id",
            "at",
            postgresql_where=text("kind = 'escalation_event' AND outcome = 'acted'"),
        ),
    )


class Backtest(Table):
    """A draft or a changed rule tried on what customers wrote; run by a workflow named after its id.

    ``definition`` is a ``domain.rules.backtest.Trial``, ``result`` its ``Findings``, which grow while it runs, so that
    what was found is there to be seen. ``status`` is a ``BacktestStatus``; the workflow follows it.
    """

    __tablename__ = "backtests"

    id: Mapped[Key]
    organization_id: Mapped[OrganizationId]
    kind: Mapped[str]
    rule_id: Mapped[UUID | None]
    definition: Mapped[dict[str, Any]]
    since: Mapped[datetime]
    until: Mapped[datetime]
    status: Mapped[str]
    result: Mapped[dict[str, Any]]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]

    __table_args__ = (Index(None, "organization_id", "created_at", "id"), Index(None, "updated_at"))
