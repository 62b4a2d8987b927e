"""Mail: when a member's is due, what is in it, and handing it to a mail server."""

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.letters import Letters, Told
from activities.mail_server import MailServer, NotTaken
from activities.signatures import (
    FOLD_MAIL,
    GIVE_MAIL_UP,
    PLAN_MAIL,
    SEND_MAIL,
    FoldedMail,
    MailOutcome,
    MailPlan,
    MemberMail,
    SendMail,
)
from db.engine import Sessions
from db.mail import send_mail
from db.models import Mail, Member, Notification, NotificationSettings, TicketRow
from domain.mail import MailState
from domain.notices import Pending, QuietHours, goes_now, mail_due_at

LARGEST = 200
"""Notifications in one mail; what is more goes with the next."""


class Post:
    """Makes mails of notifications, and sends mails of any kind."""

    def __init__(self, sessions: Sessions, server: MailServer, letters: Letters) -> None:
        self._sessions = sessions
        self._server = server
        self._letters = letters

    @activity.defn(name=PLAN_MAIL)
    async def plan(self, request: MemberMail) -> MailPlan:
        """When the member's next mail goes. Changes nothing."""
        async with self._sessions.begin() as session:
            found = (
                await session.execute(
                    select(Notification.created_at, Notification.urgent)
                    .where(Notification.member_id == request.member_id, Notification.mail_due)
                    .order_by(Notification.id)
                    .limit(LARGEST)
                )
            ).all()
            if not found:
                return MailPlan()
            quiet = await quiet_hours_of(session, request.member_id)
        pending = [Pending(created_at=row.created_at, urgent=row.urgent) for row in found]
        return MailPlan(due_at=mail_due_at(pending, quiet, self._letters.gather, request.now))

    @activity.defn(name=FOLD_MAIL)
    async def fold(self, request: MemberMail) -> FoldedMail:
        """Make one mail of all notifications that may go now, in one transaction.

        Safe to repeat: a notification is in one mail at most. A mail that was written by an attempt whose answer was
        lost is found by the sweep.
        """
        async with self._sessions.begin() as session:
            rows = list(
                await session.scalars(
                    select(Notification)
                    .where(Notification.member_id == request.member_id, Notification.mail_due)
                    .order_by(Notification.urgent.desc(), Notification.id)
                    .limit(LARGEST)
                    .with_for_update()
                )
            )
            quiet = await quiet_hours_of(session, request.member_id)
            going = [
                row
                for row in rows
                if goes_now(Pending(created_at=row.created_at, urgent=row.urgent), request.now, quiet)
            ]
            if not going:
                return FoldedMail()
            member = await session.get_one(Member, request.member_id)
            # Who has left since is told nothing more.
            mail_id = await self._write(session, member, going) if member.status == "active" else None
            await session.execute(
                update(Notification)
                .where(Notification.id.in_([row.id for row in going]))
                .values(mail_due=False, mail_id=mail_id)
            )
        return FoldedMail(mail_id=mail_id)

    async def _write(self, session: AsyncSession, member: Member, going: Sequence[Notification]) -> UUID:
        about = {row.ticket_id for row in going if row.ticket_id}
        tickets = {row.id: row for row in await session.scalars(select(TicketRow).where(TicketRow.id.in_(about)))}
        told = [Told.of(row, tickets.get(row.ticket_id) if row.ticket_id else None) for row in going]
        letter = self._letters.about(member.id, member.name, sorted(told, key=lambda each: each.at))
        keys = "\n".join(sorted(row.key for row in going))
        return await send_mail(
            session,
            key=f"notifications:{member.id}:{sha256(keys.encode()).hexdigest()}",
            to=member.email,
            subject=letter.subject,
            text=letter.text,
            html=letter.html,
            organization_id=member.organization_id,
            headers=letter.headers,
        )

    @activity.defn(name=SEND_MAIL)
    async def send(self, request: SendMail) -> MailOutcome:
        """Hand the mail to the server; an attempt that may yet succeed fails, so that it is tried again.

        Safe to repeat: one that was taken is not sent again. Where the server took it and the process died before it
        could say so, the next attempt sends the same Message-ID, which the receiver shows once.
        """
        async with self._sessions.begin() as session:
            mail = await session.get(Mail, request.mail_id, with_for_update=True)
            if mail is None:
                raise ApplicationError(f"There is no mail {request.mail_id}.", type="no_such_mail", non_retryable=True)
            if mail.state != MailState.QUEUED:
                return MailOutcome(state=MailState(mail.state), error=mail.error)
            mail.attempts += 1
        try:
            await self._server.send(mail)
        except NotTaken as refusal:
            return await self._refused(mail, refusal)
        await self._note(mail.id, state=MailState.SENT, sent_at=datetime.now(UTC), error=None)
        return MailOutcome(state=MailState.SENT)

    async def _refused(self, mail: Mail, refusal: NotTaken) -> MailOutcome:
        if not refusal.for_good:
            await self._note(mail.id, error=str(refusal))
            raise ApplicationError(str(refusal), type="mail_not_taken") from refusal
        await self._note(mail.id, state=MailState.REFUSED, error=str(refusal))
        return MailOutcome(state=MailState.REFUSED, error=str(refusal))

    @activity.defn(name=GIVE_MAIL_UP)
    async def give_up(self, request: SendMail) -> MailOutcome:
        """Say of a mail that nobody took it; why is what the last attempt noted. Safe to repeat."""
        await self._note(request.mail_id, state=MailState.GIVEN_UP)
        async with self._sessions.begin() as session:
            mail = await session.get(Mail, request.mail_id)
        if mail is None:
            return MailOutcome(state=MailState.GIVEN_UP, error="There is no such mail.")
        return MailOutcome(state=MailState(mail.state), error=mail.error)

    async def _note(self, mail_id: UUID, **values: object) -> None:
        """Only while nothing is decided: an attempt that was believed dead may come after another."""
        async with self._sessions.begin() as session:
            await session.execute(
                update(Mail).where(Mail.id == mail_id, Mail.state == MailState.QUEUED).values(**values)
            )


async def quiet_hours_of(session: AsyncSession, member_id: UUID) -> QuietHours | None:
    """Those the member has chosen."""
    chosen = await session.scalar(
        select(NotificationSettings.quiet_hours).where(NotificationSettings.member_id == member_id)
    )
    return QuietHours.model_validate(chosen) if chosen else None
