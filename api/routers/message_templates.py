"""Message templates: how the system words what it says to customers."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

from fastapi import APIRouter, Response
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from api.dependencies import Caller, ReadSession, Session
from api.idempotency import Idempotency, once
from api.own import find_own
from api.pagination import Page, Paging, page_by_time
from api.problems import unique_or
from api.schemas.message_template import (
    PreviewTemplate,
    PreviewView,
    TemplateDocument,
    TemplateOrigin,
    TemplateView,
)
from db.models import MessageTemplate, Organization
from db.wording import own_words
from domain.message_template import Values, check_template, render_template
from domain.wording import choose_words, is_said

router = APIRouter(prefix="/message-templates", tags=["organization"])

_SAMPLE: Values = {
    "ticket": {"number": 1093, "title": "The invoice shows the wrong amount"},
    "customer": {"name": "Sam"},
    "agent": {"name": "Ana"},
    "organization": {"name": "Blue Airline"},
}


@router.post("", status_code=201, response_model=TemplateView, summary="Word a kind of message in a language")
async def create_template(
    document: TemplateDocument, caller: Caller, session: Session, request: Idempotency
) -> Response:
    """Refused with `invalid_template`, and the `line`, where it could not be rendered for every ticket."""
    check_template(document.body)

    async def work() -> TemplateView:
        row = MessageTemplate(id=uuid4(), organization_id=caller.organization_id, created_at=datetime.now(UTC))
        return await _write(session, row, document)

    return await once(session, caller.organization_id, request, work, status=201)


@router.get("", summary="List message templates")
async def list_templates(caller: Caller, session: ReadSession, place: Paging) -> Page[TemplateView]:
    mine = select(MessageTemplate).where(MessageTemplate.organization_id == caller.organization_id)
    return await page_by_time(session, mine, MessageTemplate, TemplateView, place)


@router.post("/preview", summary="Show a message as a customer would read it")
async def preview_template(document: PreviewTemplate, caller: Caller, session: Session) -> PreviewView:
    """With words that are given, or with those that a customer of this language is told today."""
    organization = await session.get_one(Organization, caller.organization_id)
    origin, language = TemplateOrigin.GIVEN, None
    if document.body is not None:
        check_template(document.body)
        template = document.body
    else:
        own = await own_words(session, caller.organization_id, document.kind)
        template, language, is_own = choose_words(document.kind, own, document.language, organization.language)
        origin = TemplateOrigin.OWN if is_own else TemplateOrigin.BUILT_IN
    values = {**_SAMPLE, "organization": {"name": organization.name}}
    return PreviewView(
        text=render_template(template, values),
        template=template,
        language=language,
        origin=origin,
        said=is_said(document.kind, organization.customer_messages),
    )


@router.get("/{template_id}", summary="Read a message template")
async def read_template(template_id: UUID, caller: Caller, session: ReadSession) -> TemplateView:
    return TemplateView.model_validate(await find_own(session, caller, MessageTemplate, template_id, "template"))


@router.put("/{template_id}", response_model=TemplateView, summary="Replace a message template")
async def replace_template(
    template_id: UUID, document: TemplateDocument, caller: Caller, session: Session, request: Idempotency
) -> Response:
    check_template(document.body)

    async def work() -> TemplateView:
        row = await find_own(session, caller, MessageTemplate, template_id, "template", lock=True)
        return await _write(session, row, document)

    return await once(session, caller.organization_id, request, work)


@router.delete("/{template_id}", status_code=204, summary="Delete a message template")
async def delete_template(template_id: UUID, caller: Caller, session: Session) -> None:
    """The words of the next language in the chain are used, or the built-in ones."""
    async with session.begin():
        await session.delete(await find_own(session, caller, MessageTemplate, template_id, "template", lock=True))


async def _write(session: AsyncSession, row: MessageTemplate, document: TemplateDocument) -> TemplateView:
    """Put the document into the row. The caller owns the transaction."""
    row.kind, row.language, row.body = document.kind, document.language, document.body
    session.add(row)
    with unique_or("There is a template of this kind in this language already; replace that one."):
        await session.flush()
    return TemplateView.model_validate(row)
