"""SLA policies: what is promised to which tickets."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

from fastapi import APIRouter, Response
from sqlalchemy import Select, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from api.dependencies import AppServices, Caller, Principal, ReadSession, Session
from api.idempotency import Idempotency, once
from api.own import check_own, find_own, in_turn
from api.problems import Problem, unique_or
from api.rollouts import Rollouts
from api.schemas.sla import (
    ApplyDocument,
    ApplyTo,
    ApplyView,
    ChangedPolicyView,
    MetricPreviewView,
    OrderDocument,
    PoliciesView,
    PreviewDocument,
    PreviewView,
    RolloutView,
    SlaPolicyDocument,
    SlaPolicyView,
)
from api.sla_changes import dry_run
from db.audit import note_change
from db.models import CalendarRow, EscalationLadderRow, SlaPolicyRow, SlaPolicyVersion, Team
from db.rules import rule_naming
from db.sla import ALWAYS, load_sla_book, read_policy
from domain.sla import SlaPolicy, TicketFacts, match_policy
from domain.sla_preview import preview

router = APIRouter(tags=["sla"])

MOST_POLICIES = 200
"""An organization's policies are all read for each ticket."""


@router.post("/sla-policies", status_code=201, response_model=SlaPolicyView, summary="Create an SLA policy")
async def create_policy(
    document: SlaPolicyDocument, caller: Caller, session: Session, request: Idempotency
) -> Response:
    """The new policy is the last in order. It is promised to tickets created from now on, until it is applied."""

    async def work() -> SlaPolicyView:
        await in_turn(session, caller)
        mine = select(SlaPolicyRow.position).where(SlaPolicyRow.organization_id == caller.organization_id)
        taken = list(await session.scalars(mine))
        if len(taken) >= MOST_POLICIES:
            raise Problem("invalid_sla_policy", f"An organization has at most {MOST_POLICIES} policies.")
        row = SlaPolicyRow(
            id=uuid4(),
            organization_id=caller.organization_id,
            version=0,
            position=max(taken, default=0) + 1,
            created_at=datetime.now(UTC),
        )
        return await _write(session, caller, row, document)

    return await once(session, caller.organization_id, request, work, status=201)


@router.get("/sla-policies", summary="List SLA policies in the order in which they are tried")
async def list_policies(caller: Caller, session: ReadSession) -> PoliciesView:
    return await _all(session, caller)


async def _all(session: AsyncSession, caller: Principal) -> PoliciesView:
    rows = (
        await session.execute(
            _current()
            .where(SlaPolicyRow.organization_id == caller.organization_id)
            .order_by(SlaPolicyRow.position, SlaPolicyRow.id)
        )
    ).all()
    return PoliciesView([_view(row, kept) for row, kept in rows])


@router.put("/sla-policies/order", response_model=PoliciesView, summary="Put the policies into another order")
async def reorder_policies(document: OrderDocument, caller: Caller, session: Session, request: Idempotency) -> Response:
    """All ids, each once. Running tickets follow the new order when their deadlines are next planned or applied."""

    async def work() -> PoliciesView:
        mine = SlaPolicyRow.organization_id == caller.organization_id
        known = set(await session.scalars(select(SlaPolicyRow.id).where(mine).with_for_update()))
        if known != set(document.ids) or len(document.ids) != len(known):
            raise Problem(
                "invalid_reference", "Send the ids of all policies, each once.", ids=sorted(str(each) for each in known)
            )
        before = [view.id for view in (await _all(session, caller)).root]
        note_change(session, "sla_policies", caller.organization_id, {"order": before}, {"order": document.ids})
        for position, policy_id in enumerate(document.ids, start=1):
            await session.execute(update(SlaPolicyRow).where(SlaPolicyRow.id == policy_id).values(position=position))
        return await _all(session, caller)

    return await once(session, caller.organization_id, request, work)


@router.post("/sla-policies/preview", summary="Created at this moment, due when, and why")
async def preview_policy(document: PreviewDocument, caller: Caller, session: Session) -> PreviewView:
    """What the policies as they stand would make of a ticket, or what one of them would."""
    book = await load_sla_book(session, caller.organization_id)
    newest = [versions[0].policy for versions in book.policies]
    policy: SlaPolicy | None
    if document.policy_id:
        await check_own(session, caller, SlaPolicyRow, document.policy_id, "policy_id")
        policy = next(each for each in newest if each.id == document.policy_id)
    else:
        facts = TicketFacts(
            **document.model_dump(include={"team_id", "channel", "priority", "source"}), tags=frozenset(document.tags)
        )
        policy = match_policy(newest, facts)
    if policy is None:
        return PreviewView(policy_id=None, policy=None, version=None, metrics=[])
    found = preview(policy, book.calendar_for(policy), document.priority, document.created_at)
    metrics = [MetricPreviewView.model_validate(each) for each in found]
    return PreviewView(policy_id=policy.id, policy=policy.name, version=policy.version, metrics=metrics)


@router.get("/sla-policies/{policy_id}", summary="Read an SLA policy")
async def read_one(policy_id: UUID, caller: Caller, session: ReadSession) -> SlaPolicyView:
    row = await find_own(session, caller, SlaPolicyRow, policy_id, "SLA policy")
    return _view(row, await session.get_one(SlaPolicyVersion, (policy_id, row.version)))


@router.put("/sla-policies/{policy_id}", response_model=ChangedPolicyView, summary="Replace an SLA policy")
async def replace_policy(
    policy_id: UUID,
    document: SlaPolicyDocument,
    caller: Caller,
    session: Session,
    services: AppServices,
    *,
    request: Idempotency,
) -> Response:
    """Tickets created from now on are promised the new version, running ones once it is applied.

    Switching a policy on or off concerns running tickets at once.
    """
    rollouts = Rollouts(services, caller)

    async def work() -> ChangedPolicyView:
        row = await find_own(session, caller, SlaPolicyRow, policy_id, "SLA policy", lock=True)
        switched = row.enabled != document.enabled
        view = await _write(session, caller, row, document)
        return ChangedPolicyView(**view.model_dump(), rollout_id=rollouts.id_of(request) if switched else None)

    response = await once(session, caller.organization_id, request, work)
    if ChangedPolicyView.model_validate_json(bytes(response.body)).rollout_id:
        state = "on" if document.enabled else "off"
        await rollouts.start(request, f"The SLA policy {document.name} was switched {state}.")
    return response


@router.delete("/sla-policies/{policy_id}", status_code=204, response_class=Response, summary="Delete an SLA policy")
async def delete_policy(
    policy_id: UUID, caller: Caller, session: Session, services: AppServices, request: Idempotency
) -> Response:
    """Running tickets lose its deadlines, or get those of the policy that matches next; breaches stay recorded."""

    async def work() -> None:
        row = await find_own(session, caller, SlaPolicyRow, policy_id, "SLA policy", lock=True)
        rule = await rule_naming(session, caller.organization_id, policy_id)
        if rule is not None:
            raise Problem("still_in_use", f"The rule {rule} names this policy; give it another one first.")
        await session.delete(row)

    response = await once(session, caller.organization_id, request, work, status=204)
    await Rollouts(services, caller).start(request, "An SLA policy was deleted.")
    return response


@router.post(
    "/sla-policies/{policy_id}/apply",
    response_model=ApplyView,
    summary="Show what a changed policy does to running tickets, and do it",
)
async def apply_policy(
    policy_id: UUID,
    document: ApplyDocument,
    caller: Caller,
    session: Session,
    services: AppServices,
    *,
    request: Idempotency,
) -> Response | ApplyView:
    """With `dry_run` nothing is done: see which running tickets get which deadlines, and how many breach at once."""
    row = await find_own(session, caller, SlaPolicyRow, policy_id, "SLA policy")
    if document.dry_run or document.to is ApplyTo.NEW:
        seconds = services.settings.command_timeout.total_seconds()
        view = await dry_run(session, caller.organization_id, policy_id, to=document.to, seconds=seconds)
        return view.model_copy(update={"dry_run": document.dry_run})
    rollouts, reason = Rollouts(services, caller), f"The SLA policy {row.name} was applied to running tickets."
    await session.commit()

    async def work() -> ApplyView:
        row = await find_own(session, caller, SlaPolicyRow, policy_id, "SLA policy", lock=True)
        newest = await session.get_one(SlaPolicyVersion, (policy_id, row.version))
        newest.effective_from = ALWAYS
        return ApplyView(dry_run=False, to=document.to, rollout_id=rollouts.id_of(request))

    response = await once(session, caller.organization_id, request, work)
    await rollouts.start(request, reason)
    return response


@router.get("/sla-rollouts/{rollout_id}", summary="How far running tickets have been told of changed rules")
async def read_rollout(rollout_id: UUID, caller: Caller, services: AppServices) -> RolloutView:
    return await Rollouts(services, caller).read(rollout_id)


async def _write(
    session: AsyncSession, caller: Principal, row: SlaPolicyRow, document: SlaPolicyDocument
) -> SlaPolicyView:
    """Keep the checked document as the policy's next version; the caller owns the transaction."""
    await check_own(session, caller, CalendarRow, document.calendar_id, "calendar_id")
    await check_own(session, caller, EscalationLadderRow, document.escalation_ladder_id, "escalation_ladder_id")
    for place, team_id in enumerate(document.conditions.team_ids):
        await check_own(session, caller, Team, team_id, f"conditions/team_ids/{place}")
    row.name, row.enabled, row.version = document.name, document.enabled, row.version + 1
    definition = document.model_dump(mode="json", exclude={"name", "enabled"})
    kept = SlaPolicyVersion(
        policy_id=row.id, version=row.version, definition=definition, effective_from=datetime.now(UTC)
    )
    read_policy(row, kept).checked()
    session.add(row)
    with unique_or("An SLA policy with this name exists already."):
        await session.flush()
    session.add(kept)
    await session.flush()
    return _view(row, kept)


def _current() -> Select[SlaPolicyRow, SlaPolicyVersion]:
    return select(SlaPolicyRow, SlaPolicyVersion).join(
        SlaPolicyVersion,
        (SlaPolicyVersion.policy_id == SlaPolicyRow.id) & (SlaPolicyVersion.version == SlaPolicyRow.version),
    )


def _view(row: SlaPolicyRow, kept: SlaPolicyVersion) -> SlaPolicyView:
    return SlaPolicyView(
        **kept.definition,
        name=row.name,
        enabled=row.enabled,
        id=row.id,
        version=row.version,
        position=row.position,
        effective_from=kept.effective_from,
        created_at=row.created_at,
    )
