"""Organizations and the API keys of their programs."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from fastapi import APIRouter, Response
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from api.dependencies import AppServices, Caller, Operator, Principal, ReadSession, Services, Session
from api.hand_outs import HandingOut
from api.idempotency import REPLAYED, Idempotency, RequestId, claim, once
from api.pagination import Page, Paging, page_by_time
from api.problems import Problem, not_found
from api.schemas.organization import (
    ApiKeyView,
    CreateApiKey,
    CreateOrganization,
    EditOrganization,
    NewApiKeyView,
    NewOrganizationView,
    OrganizationView,
)
from api.security import hash_api_key, hint, new_api_key
from db.callers import access_ended
from db.models import ApiKey, Organization
from db.walls import enter
from domain.permissions import Role, Scope, has_scope, highest_gift

router = APIRouter(tags=["organization"])


@router.post("/organizations", status_code=201, dependencies=[Operator], summary="Create an organization (operator)")
async def create_organization(
    document: CreateOrganization, session: Session, services: AppServices, request: Idempotency, response: Response
) -> NewOrganizationView:
    """Create a tenant with its first API key, which is shown in this answer and never again."""
    organization_id = uuid5(NAMESPACE_URL, f"organization:{request.key}")
    enter(organization_id)
    # Kept in the new organization's own realm, where its programs' keys are: the prefix keeps the two apart.
    creation = RequestId(key=f"organization:{request.key}", fingerprint=request.fingerprint, given=request.given)
    async with session.begin():
        organization = await session.scalar(
            insert(Organization)
            .values(id=organization_id, **document.model_dump())
            .on_conflict_do_nothing()
            .returning(Organization)
        )
        await claim(session, organization_id, creation)
        if organization is None:
            response.headers[REPLAYED] = "true"
            kept = await session.get_one(Organization, organization_id)
            return NewOrganizationView(**OrganizationView.model_validate(kept).model_dump(), api_key=None)
        row, key = _new_key(organization_id, "first key", services)
        session.add(row)
        await session.flush()
        view = NewApiKeyView(**ApiKeyView.model_validate(row).model_dump(), key=key)
    return NewOrganizationView(**OrganizationView.model_validate(organization).model_dump(), api_key=view)


@router.get("/organization", summary="Read your organization")
async def read_organization(caller: Caller, session: ReadSession) -> OrganizationView:
    return OrganizationView.model_validate(await session.get_one(Organization, caller.organization_id))


@router.patch("/organization", response_model=OrganizationView, summary="Change its settings")
async def edit_organization(
    document: EditOrganization, caller: Caller, session: Session, hands: HandingOut, request: Idempotency
) -> Response:
    """Change settings. Timers that run already stay; later ones follow the new settings."""

    async def work() -> OrganizationView:
        # Not FOR UPDATE: every row that names the organization holds a key share, and two of us would deadlock.
        organization = await session.get_one(Organization, caller.organization_id, with_for_update={"key_share": True})
        changes = document.changes()
        if said := changes.pop("customer_messages", None):
            wanted = {kind: is_said for kind, is_said in said.items() if is_said is not None}
            organization.customer_messages = {**organization.customer_messages, **wanted}
        for name, value in changes.items():
            setattr(organization, name, value)
        await session.flush()
        if "member_capacity" in changes:
            await hands.freed(session)
        return OrganizationView.model_validate(organization)

    return await once(session, caller.organization_id, request, work)


@router.post("/api-keys", status_code=201, response_model=NewApiKeyView, summary="Create an API key")
async def create_api_key(
    document: CreateApiKey, caller: Caller, session: Session, services: AppServices, request: Idempotency
) -> Response:
    """The answer shows the key once; only a hash of it is kept. Nobody makes a key that may do more than they may."""
    _check_scopes(caller, document.scopes)

    async def work() -> NewApiKeyView:
        row, key = _new_key(caller.organization_id, document.name, services)
        row.scopes = [scope.value for scope in Scope if scope in document.scopes] if document.scopes else None
        row.expires_at = document.expires_at
        session.add(row)
        await session.flush()
        return NewApiKeyView(**ApiKeyView.model_validate(row).model_dump(), key=key)

    return await once(session, caller.organization_id, request, work, status=201, secret="key")  # noqa: S106 - a field


@router.get("/api-keys", summary="List API keys")
async def list_api_keys(caller: Caller, session: ReadSession, place: Paging) -> Page[ApiKeyView]:
    mine = select(ApiKey).where(ApiKey.organization_id == caller.organization_id)
    return await page_by_time(session, mine, ApiKey, ApiKeyView, place)


@router.delete("/api-keys/{key_id}", status_code=204, summary="Revoke an API key")
async def revoke_api_key(key_id: UUID, caller: Caller, session: Session) -> None:
    """The key stops working at once. The key a request is made with cannot revoke itself."""
    if key_id == caller.key_id:
        raise Problem("still_in_use", "This is the key you are using; revoke it with another one.")
    async with session.begin():
        row = await session.get(ApiKey, key_id, with_for_update=True)
        if row is None or row.organization_id != caller.organization_id:
            raise not_found("API key")
        row.revoked_at = row.revoked_at or datetime.now(UTC)
        await access_ended(session)


def _check_scopes(caller: Principal, scopes: Sequence[Scope] | None) -> None:
    """All rights, and ``admin``, which holds them, make owners: only who may do that gives them away."""
    wanted = frozenset(scopes or [Scope.ADMIN])
    beyond = sorted(scope for scope in wanted if not has_scope(caller.scopes, scope))
    if Scope.ADMIN in wanted and highest_gift(caller.role, caller.scopes) is not Role.OWNER:
        beyond.append(Scope.ADMIN)
    if beyond:
        raise Problem("forbidden", f"You cannot give a key the scope {beyond[0]}; name scopes that you have.")


def _new_key(organization_id: UUID, name: str, services: Services) -> tuple[ApiKey, str]:
    """A row to add, and the key only its receiver will know."""
    key = new_api_key()
    digest = hash_api_key(key, services.settings.secret_key)
    row = ApiKey(
        id=uuid4(),
        organization_id=organization_id,
        name=name,
        hint=hint(key),
        hash=digest,
        created_at=datetime.now(UTC),
    )
    return row, key
