"""Tries rules on what customers wrote."""

from contextlib import aclosing
from datetime import UTC, datetime

import structlog
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from activities.signatures import TRY_RULE, TriedRule, TryRule
from db.backtests import (
    PastMessage,
    Place,
    conversation_page,
    earlier_sentiments,
    messages_of,
    ticket_page,
)
from db.engine import Sessions
from db.models import Backtest
from db.rules import default_calendar
from domain.calendar import BusinessCalendar, is_open
from domain.errors import DomainError
from domain.reading import Reading
from domain.rules.backtest import BacktestStatus, Case, Findings, Gathering, Trial, TrialRules
from domain.rules.conditions import MAX_MESSAGES
from domain.rules.evaluation import Facts
from domain.rules.rule import RuleKind

log = structlog.get_logger(__name__)

PAGE = 500
"""Conversations or tickets an activity looks at: a page takes seconds at most."""


Sentiments = tuple[float | None, ...]


class Backtests:
    """Tries a back-test's rule page by page; the findings grow in its row."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    @activity.defn(name=TRY_RULE)
    async def try_rule(self, request: TryRule) -> TriedRule:
        """Try the rule on the next page. Safe to repeat: each page is counted once, and none after it was stopped.

        A rule that this version of the code cannot read ends the back-test as failed.
        """
        async with self._sessions.begin() as session:
            backtest = await session.get(Backtest, request.backtest_id)
            if backtest is None:
                return TriedRule(over=True)
            trial, findings = _state(backtest)
            if backtest.status != BacktestStatus.RUNNING or findings.pages > request.pages:
                return _told(backtest)
            try:
                rules = trial.rules(RuleKind(backtest.kind), backtest.id)
            except (DomainError, ValidationError, KeyError) as error:
                log.warning("backtest_unreadable", backtest_id=str(backtest.id), error=type(error).__name__)
                found, last = findings, None
                status = BacktestStatus.FAILED
            else:
                found, last = await _next_page(session, backtest, rules, findings)
                status = BacktestStatus.RUNNING if last else BacktestStatus.DONE
        async with self._sessions.begin() as session:
            backtest = await session.get(Backtest, request.backtest_id, with_for_update=True)
            if backtest is None:
                return TriedRule(over=True)
            if backtest.status == BacktestStatus.RUNNING and _state(backtest)[1].pages == findings.pages:
                backtest.result, backtest.status = found.model_dump(mode="json"), status
                backtest.updated_at = datetime.now(UTC)
            return _told(backtest)


def _state(backtest: Backtest) -> tuple[Trial, Findings]:
    return Trial.model_validate(backtest.definition), Findings.model_validate(backtest.result)


def _told(backtest: Backtest) -> TriedRule:
    trial, findings = _state(backtest)
    return TriedRule(
        pages=findings.pages,
        examined=findings.examined,
        cases=trial.cases,
        messages=findings.messages,
        over=backtest.status != BacktestStatus.RUNNING,
    )


async def _next_page(
    session: AsyncSession, backtest: Backtest, rules: TrialRules, findings: Findings
) -> tuple[Findings, Place | None]:
    """The findings with the next page, and where the one after it begins; ``None`` when there is none."""
    gathering = Gathering(rules, findings)
    calendar = await default_calendar(session, backtest.organization_id)
    if backtest.kind == RuleKind.ROUTING_RULE:
        passed = await _try_on_tickets(session, backtest, gathering, calendar)
    else:
        passed = await _try_on_conversations(session, backtest, gathering, calendar)
    last = passed[-1] if passed else None
    return gathering.page(len(passed), last), last if len(passed) == PAGE else None


async def _try_on_tickets(
    session: AsyncSession, backtest: Backtest, gathering: Gathering, calendar: BusinessCalendar | None
) -> list[Place]:
    """Try the rule on a page of tickets; their places."""
    rules = gathering.rules
    tickets = await ticket_page(session, backtest, gathering.before.after, PAGE)
    moments = {past.conversation_id: past.at for _, past in tickets if past.message_id}
    earlier = await earlier_sentiments(session, moments, rules.looks_back)
    for _, past in tickets:
        case = Case(rules, past.conversation_id, past.external_id, past.ticket_id)
        _look(case, past, earlier.get(past.conversation_id, ()), calendar)
        gathering.add(case)
    return [place for place, _ in tickets]


async def _try_on_conversations(
    session: AsyncSession, backtest: Backtest, gathering: Gathering, calendar: BusinessCalendar | None
) -> list[Place]:
    """Try the rule on a page of conversations; their places."""
    rules = gathering.rules
    conversations = await conversation_page(session, backtest, gathering.before.after, PAGE)
    earlier = await earlier_sentiments(
        session, dict.fromkeys((each.id for each in conversations), backtest.since), rules.looks_back
    )
    case: Case | None = None
    sentiments: Sentiments = ()
    async with aclosing(messages_of(session, backtest, conversations)) as some:
        async for messages in some:
            activity.heartbeat()
            for past in messages:
                if case is None or case.conversation_id != past.conversation_id:
                    if case is not None:
                        gathering.add(case)
                    case = Case(rules, past.conversation_id, past.external_id)
                    sentiments = earlier.get(past.conversation_id, ())
                sentiments = _look(case, past, sentiments, calendar)
    if case is not None:
        gathering.add(case)
    return [(each.created_at, each.id) for each in conversations]


def _look(case: Case, past: PastMessage, earlier: Sentiments, calendar: BusinessCalendar | None) -> Sentiments:
    """Have the case look at a message after ``earlier`` ones; the scores that the next one comes after."""
    reading = Reading.model_validate(past.reading or {})
    sentiments = (*earlier[1 - MAX_MESSAGES :], reading.sentiment)
    facts = Facts(
        text=past.text,
        channels=past.channels,
        sentiments=sentiments,
        human_request=reading.human_request,
        business_hours=is_open(calendar, past.at) if calendar else None,
        tags=past.tags,
    )
    case.look(past.message_id, past.at, facts)
    return sentiments
