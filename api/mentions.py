"""Members named in notes: told once, and watching the ticket from then on."""

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Note, Notification
from db.notices import Subject, notify
from db.watchers import add_watchers
from domain.events import NoticeKind
from domain.ticket import Ticket


async def mention(session: AsyncSession, note: Note, ticket: Ticket) -> None:
    """Tell those whom a new note names, but for its author. Part of the transaction that stores the note."""
    named = set(note.mention_ids) - {note.author_id}
    if not named:
        return
    await add_watchers(session, note.organization_id, note.ticket_id, named)
    await notify(
        session,
        Subject(note.organization_id, note.ticket_id, ticket.version),
        _key(note),
        kind=NoticeKind.MENTIONED,
        why=f"{note.author_name or 'Somebody'} named you in a note on {ticket.label}.",
        member_ids=named,
        at=note.created_at,
    )


async def forget_mentions(session: AsyncSession, note: Note) -> None:
    """Take back what was told of a note that is kept no longer. The caller owns the transaction."""
    told = Notification
    await session.execute(
        delete(told).where(
            told.organization_id == note.organization_id,
            told.member_id.in_(note.mention_ids),
            told.key.startswith(f"{_key(note)}:"),
        )
    )


def _key(note: Note) -> str:
    return f"{note.ticket_id}:mentioned:{note.id}"
