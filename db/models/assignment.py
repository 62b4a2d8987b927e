"""Whose turn it is, and what waits for somebody."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.table import Table


class Rota(Table):
    """The one row of an organization that whoever hands out its tickets holds; ``turns`` counts what was given."""

    __tablename__ = "rotas"

    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True)
    turns: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")


class QueuedTicket(Table):
    """A ticket that waits for somebody, or that was offered to ``member_id`` and has not been recorded as theirs.

    ``episode`` is the number of assignments it had had. An offer takes a place of the member's. ``turn_of`` is the
    member whose turn it took and ``turn_before`` that member's last turn until then, to be given back when the ticket
    went another way. ``cause`` is what made the offer; ``told_at`` when the ticket's workflow was told of it.
    """

    __tablename__ = "queued_tickets"

    ticket_id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))
    team_id: Mapped[UUID]
    episode: Mapped[int]
    priority_rank: Mapped[int] = mapped_column(SmallInteger)
    waiting_since: Mapped[datetime]
    member_id: Mapped[UUID | None]
    why: Mapped[str | None]
    turn_of: Mapped[UUID | None]
    turn: Mapped[int | None] = mapped_column(BigInteger)
    turn_before: Mapped[int | None] = mapped_column(BigInteger)
    cause: Mapped[UUID | None]
    offered_at: Mapped[datetime | None]
    told_at: Mapped[datetime | None]

    __table_args__ = (
        Index(
            "ix_queued_tickets_waiting",
            "team_id",
            text("priority_rank DESC"),
            "waiting_since",
            "ticket_id",
            postgresql_where=text("member_id IS NULL"),
        ),
        Index(
            "ix_queued_tickets_offered",
            "organization_id",
            "member_id",
            postgresql_where=text("member_id IS NOT NULL"),
        ),
    )
