"""Back-tests: a workflow tries a rule on the past, and its findings are read from Postgres."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from fastapi import Response
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.client import RPCError
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from api.dependencies import Principal, Services
from api.idempotency import RequestId, once
from api.own import find_own, in_turn
from api.pagination import Page, Place, after, encode_cursor
from api.problems import Problem
from api.rules import Rules
from api.schemas.backtest import (
    BacktestDocument,
    BacktestFindingsView,
    BacktestView,
    HitView,
    NotifiedView,
    ProgressView,
    TallyView,
)
from db.backtests import count_conversations, count_tickets
from db.models import Backtest, Member, RuleVersion, TeamMember
from domain.ids import backtest_workflow_id
from domain.rules.backtest import BacktestStatus, Findings, Receiver, Trial
from domain.rules.rule import EscalationActions, Rule, RuleKind, dump_definition, read_actions
from workflows.backtest import BacktestWorkflow, StartBacktest

MOST_RUNNING = 3
"""Back-tests of an organization at the same time; each takes a share of a worker."""

AnyRules = Rules[Any, Any, Any, Any]


@dataclass(frozen=True)
class Backtests:
    """The caller's back-tests."""

    services: Services
    session: AsyncSession
    caller: Principal

    async def start(self, rules: AnyRules, document: BacktestDocument, request: RequestId) -> Response:
        """Begin to try a draft or a kept rule; once for a request."""

        async def work() -> BacktestFindingsView:
            await in_turn(self.session, self.caller)
            await self._check_room()
            now, backtest_id = datetime.now(UTC), uuid4()
            since, until = document.range(now)
            backtest = Backtest(
                id=backtest_id,
                organization_id=self.caller.organization_id,
                kind=rules.noun.kind,
                rule_id=document.rule_id,
                definition=(await self._trial(rules, document, since, until)).model_dump(mode="json"),
                since=since,
                until=until,
                status=BacktestStatus.RUNNING,
                result=Findings().model_dump(mode="json"),
                created_at=now,
                updated_at=now,
            )
            self.session.add(backtest)
            await self.session.flush()
            return _with_findings(backtest)

        response = await once(self.session, self.caller.organization_id, request, work, status=202)
        await self._run(BacktestFindingsView.model_validate_json(bytes(response.body)).id)
        return response

    async def page(self, place: Place) -> Page[BacktestView]:
        """Back-tests, the newest first, without what each has found."""
        mine = select(Backtest).where(Backtest.organization_id == self.caller.organization_id)
        page = after(mine, Backtest.created_at, Backtest.id, place, newest_first=True)
        rows = list(await self.session.scalars(page))
        shown = rows[: place.limit]
        cursor = encode_cursor(shown[-1].created_at, shown[-1].id) if len(rows) > place.limit else None
        return Page(items=[BacktestView(**_view(row)) for row in shown], next_cursor=cursor)

    async def read(self, backtest_id: UUID) -> BacktestFindingsView:
        """A back-test with its findings so far, or ``not_found``."""
        return _with_findings(await find_own(self.session, self.caller, Backtest, backtest_id, "back-test"))

    async def stop(self, backtest_id: UUID, request: RequestId) -> Response:
        """Stop it; what was found stays. One that is over stays as it is.

        Its workflow learns of it with the next page, so that this needs nobody but Postgres.
        """

        async def work() -> BacktestFindingsView:
            row = await find_own(self.session, self.caller, Backtest, backtest_id, "back-test", lock=True)
            if row.status == BacktestStatus.RUNNING:
                row.status, row.updated_at = BacktestStatus.STOPPED, datetime.now(UTC)
            return _with_findings(row)

        return await once(self.session, self.caller.organization_id, request, work)

    async def _check_room(self) -> None:
        running = await self.session.scalar(
            select(func.count()).where(
                Backtest.organization_id == self.caller.organization_id, Backtest.status == BacktestStatus.RUNNING
            )
        )
        if (running or 0) >= MOST_RUNNING:
            raise Problem("limit_reached", f"{MOST_RUNNING} back-tests run already; wait for one, or stop one.")

    async def _trial(self, rules: AnyRules, document: BacktestDocument, since: datetime, until: datetime) -> Trial:
        """What is tried, checked as if it were saved."""
        kept: RuleVersion | None = None
        name = ""
        if document.rule_id is not None:
            row = await rules.find(document.rule_id)
            kept, name = await self.session.get_one(RuleVersion, (row.id, row.version)), row.name
        draft: Rule[Any] | None = None
        sent = getattr(document, "draft", None)
        if sent is not None:
            draft = sent.rule(uuid4())
            await rules.check(draft)
            name = draft.name
        assert draft is not None or kept is not None
        new = dump_definition(draft) if draft else kept.definition if kept else {}
        mine, kind = self.caller.organization_id, rules.noun.kind
        if kind is RuleKind.ESCALATION_EVENT:
            cases = await count_conversations(self.session, mine)
        else:
            cases = await count_tickets(self.session, mine, since, until)
        return Trial(
            name=name,
            new=new,
            old=kept.definition if kept and draft else None,
            old_version=kept.version if kept and draft else None,
            receivers=tuple(await self._receivers(read_actions(kind, new))),
            cases=cases,
        )

    async def _receivers(self, actions: Any) -> Iterable[Receiver]:
        """The active members whom a rule tells each time it acts: those it notifies, or to whom it gives tickets."""
        if isinstance(actions, EscalationActions):
            in_teams = select(TeamMember.member_id).where(TeamMember.team_id.in_(actions.notify_team_ids))
            wanted = Member.id.in_(actions.notify_member_ids) | Member.id.in_(in_teams)
        else:
            wanted = Member.id == actions.assignee_id
        found = await self.session.scalars(
            select(Member)
            .where(Member.organization_id == self.caller.organization_id, Member.status == "active", wanted)
            .order_by(Member.name, Member.id)
        )
        return [Receiver(id=each.id, name=each.name) for each in found]

    async def _run(self, backtest_id: UUID) -> None:
        settings = self.services.settings
        try:
            # The client's own timeout is for one attempt; while Temporal is away it makes several.
            async with asyncio.timeout(settings.command_timeout.total_seconds()):
                await self.services.temporal.start_workflow(
                    BacktestWorkflow.run,
                    StartBacktest(backtest_id=backtest_id),
                    id=backtest_workflow_id(backtest_id),
                    task_queue=settings.temporal_task_queue,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    static_summary="A rule is tried on what customers wrote",
                    rpc_timeout=settings.command_timeout,
                )
        except WorkflowAlreadyStartedError:
            pass
        except (RPCError, TimeoutError):
            raise Problem(
                "temporal_unavailable",
                "The back-test is kept, but it could not be started: Temporal does not answer. "
                "Send the request again with the same Idempotency-Key.",
            ) from None


def _view(row: Backtest) -> dict[str, Any]:
    trial, findings = Trial.model_validate(row.definition), Findings.model_validate(row.result)
    return {
        "id": row.id,
        "kind": row.kind,
        "rule_id": row.rule_id,
        "replaces_version": trial.old_version,
        "name": trial.name,
        "since": row.since,
        "until": row.until,
        "status": row.status,
        "progress": ProgressView(examined=findings.examined, of=trial.cases, messages=findings.messages),
        "would_have": TallyView.model_validate(findings.new),
        "replaced_would_have": TallyView.model_validate(findings.old) if findings.old else None,
        "difference": findings.counts,
        "notified": [
            NotifiedView(id=each.id, name=each.name, times=findings.new.acted)
            for each in trial.receivers
            if findings.new.acted
        ],
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def _with_findings(row: Backtest) -> BacktestFindingsView:
    trial, findings = Trial.model_validate(row.definition), Findings.model_validate(row.result)
    return BacktestFindingsView(
        **_view(row),
        found=[HitView.model_validate(each) for each in sorted(findings.hits, key=lambda hit: hit.at)],
        definition=dict(trial.new),
        replaced_definition=dict(trial.old) if trial.old is not None else None,
    )
