"""Finds what was committed and whose signal got lost, and removes what nobody will ask for any more."""

from datetime import UTC, datetime, timedelta
from itertools import groupby
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from activities.signatures import SWEEP, Swept
from db.backtests import prune
from db.bell import Bell, LeftToTell
from db.engine import Sessions
from db.escalations import untold_presences, untold_raisings, untold_spoken
from db.live_events import KEPT_FOR, forget
from db.models import Delivery, Mail, Notification, NotificationSettings
from db.openings import untold_openings
from db.tellings import untold_messages
from domain.delivery import FETCHED, DeliveryState
from domain.mail import TRIED_FOR, MailState
from domain.notices import Pending, QuietHours, mail_due_at

OVERDUE = timedelta(minutes=1)
"""What should have been sent that long ago was not signalled, or its signal is on the way and harmless twice."""

LONGEST_WAIT = timedelta(days=9)
"""For a notification's mail: more than the longest quiet hours."""

_PAGE = 500
"""Rows a sweep takes; the next one, a minute later, takes the next."""


class Sweep:
    """Looks for what fell between a commit and its signal. ``mails`` says whether a mail server is set.

    ``overdue`` is how old what is neither a mail nor a notification has to be.
    """

    def __init__(
        self,
        sessions: Sessions,
        bell: Bell,
        *,
        mails: bool,
        gather: timedelta,
        keep_backtests: timedelta,
        overdue: timedelta = OVERDUE,
    ) -> None:
        self._sessions = sessions
        self._bell = bell
        self._mails = mails
        self._gather = gather
        self._keep_backtests = keep_backtests
        self._overdue = overdue

    @activity.defn(name=SWEEP)
    async def sweep(self) -> Swept:
        """Wake, give up and forget. Safe to repeat, and to run twice at once."""
        now = datetime.now(UTC)
        overdue = now - self._overdue
        async with self._sessions.begin() as session:
            await self._give_up(session, now)
            waiting = LeftToTell()
            if self._mails:
                waiting = LeftToTell(await _unsent(session, now), await self._untold(session, now))
            waiting.conversation_ids = await _undelivered(session, overdue)
            waiting.raisings = await untold_raisings(session, overdue, _PAGE)
            waiting.spoken = await untold_spoken(session, overdue, _PAGE)
            waiting.tellings = await untold_messages(session, overdue, now, _PAGE)
            waiting.openings = await untold_openings(session, overdue, _PAGE)  # some of those were decided on just now
            waiting.presences = await untold_presences(session, now, _PAGE)
        if waiting:
            await self._bell(waiting)
        async with self._sessions.begin() as session:
            forgotten = await forget(session, now - KEPT_FOR, _PAGE * 20)
        async with self._sessions.begin() as session:
            backtests = await prune(session, now - self._keep_backtests, _PAGE)
        return Swept(
            mails=len(waiting.mail_ids),
            members=len(waiting.member_ids),
            forgotten=forgotten,
            backtests=backtests,
            conversations=len(waiting.conversation_ids),
            raisings=len(waiting.raisings),
            spoken=len(waiting.spoken),
            presences=len(waiting.presences),
            openings=len(waiting.openings),
            messages=len(waiting.tellings),
        )

    async def _give_up(self, session: AsyncSession, now: datetime) -> None:
        """Old news is not mailed; above all not when a mail server is set for the first time."""
        await session.execute(
            update(Mail)
            .where(Mail.state == MailState.QUEUED, Mail.created_at < now - TRIED_FOR - OVERDUE)
            .values(state=MailState.GIVEN_UP)
        )
        oldest = now - (LONGEST_WAIT if self._mails else TRIED_FOR)
        await session.execute(
            update(Notification).where(Notification.mail_due, Notification.created_at < oldest).values(mail_due=False)
        )

    async def _untold(self, session: AsyncSession, now: datetime) -> set[UUID]:
        """Members whose mail is overdue."""
        found = await session.execute(
            select(
                Notification.member_id, Notification.created_at, Notification.urgent, NotificationSettings.quiet_hours
            )
            .outerjoin(NotificationSettings, NotificationSettings.member_id == Notification.member_id)
            .where(Notification.mail_due, Notification.created_at < now - OVERDUE)
            .order_by(Notification.member_id)
            .limit(_PAGE * 20)
        )
        overdue = set()
        for member_id, rows in groupby(found, key=lambda row: row.member_id):
            of_member = list(rows)
            quiet = of_member[0].quiet_hours
            pending = [Pending(created_at=row.created_at, urgent=row.urgent) for row in of_member]
            then = now - OVERDUE
            if mail_due_at(pending, QuietHours.model_validate(quiet) if quiet else None, self._gather, then) <= then:
                overdue.add(member_id)
        return set(sorted(overdue)[:_PAGE])


async def _unsent(session: AsyncSession, now: datetime) -> set[UUID]:
    """Mails that nobody has tried to send; one that was tried has a workflow, which tries again."""
    return set(
        await session.scalars(
            select(Mail.id)
            .where(Mail.state == MailState.QUEUED, Mail.attempts == 0, Mail.created_at < now - OVERDUE)
            .order_by(Mail.created_at)
            .limit(_PAGE)
        )
    )


async def _undelivered(session: AsyncSession, before: datetime) -> set[UUID]:
    """Conversations whose first pending delivery was due before then; the others wait for that one."""
    first = (
        select(Delivery.conversation_id, Delivery.due_at)
        .ext(distinct_on(Delivery.conversation_id))
        .where(Delivery.state == DeliveryState.PENDING, Delivery.connector.not_in(FETCHED))
        .order_by(Delivery.conversation_id, Delivery.number)
        .subquery()
    )
    overdue = select(first.c.conversation_id).where(first.c.due_at < before).order_by(first.c.due_at)
    return set(await session.scalars(overdue.limit(_PAGE)))
