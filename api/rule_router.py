"""The routes of rules, the same for escalation events and routing rules."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from pydantic import RootModel

from api.dependencies import Caller, Session
from api.idempotency import Idempotency
from api.pagination import Page, Paging
from api.rules import Noun, Rules
from api.schemas.decision import DecisionView
from api.schemas.rule import ModeDocument, RuleDocument, RuleOrderDocument, RuleView, VersionView
from domain.rules.rule import Outcome

D = TypeVar("D", bound=RuleDocument)
V = TypeVar("V", bound=RuleView)
O = TypeVar("O", bound=VersionView)  # noqa: E741 - an old version
L = TypeVar("L", bound=RootModel[Any])
Handler = TypeVar("Handler", bound=Callable[..., Any])


@dataclass(frozen=True)
class Words:
    """What the routes' description says of a kind of rules: ``an escalation event``, which judges a ``message``."""

    article: str
    short: str
    judged: str
    gets: str
    """Whom the first that matches gives each field."""


def own_rules(noun: Noun[D, V, O, L]) -> Callable[..., Awaitable[Rules[D, V, O, L]]]:
    """What handlers ask for: the caller's rules of one kind."""

    async def own(caller: Caller, session: Session) -> Rules[D, V, O, L]:
        return Rules(session, caller, noun)

    return own


def rule_router(noun: Noun[D, V, O, L], path: str, words: Words) -> APIRouter:
    """All routes of one kind of rule, below ``path``."""
    router = APIRouter(prefix=path, tags=["rules"])
    plural, one = f"{noun.name}s", f"{words.article} {noun.name}"
    name = noun.name.replace(" ", "_")

    own = Depends(own_rules(noun))

    @router.post(
        "",
        status_code=201,
        response_model=noun.view,
        name=f"create_{name}",
        summary=f"Create {one}",
        description=f"The new {words.short} is the last in order, and looks at the next {words.judged}.",
    )
    @_taking(document=noun.document)
    async def create(document: D, rules: Annotated[Rules[D, V, O, L], own], request: Idempotency) -> Response:
        return await rules.create(document, request)

    @router.get("", response_model=noun.all, name=f"list_{name}s", summary=f"List {plural} in their order")
    async def list_all(rules: Annotated[Rules[D, V, O, L], own]) -> L:
        return await rules.all()

    @router.put(
        "/order",
        response_model=noun.all,
        name=f"reorder_{name}s",
        summary=f"Put the {plural} into another order",
        description="All ids, each once. "
        f"Of several that match a {words.judged}, the first gives {words.gets} each field.",
    )
    async def reorder(
        document: RuleOrderDocument, rules: Annotated[Rules[D, V, O, L], own], request: Idempotency
    ) -> Response:
        return await rules.reorder(document, request)

    @router.get("/{rule_id}", response_model=noun.view, name=f"read_{name}", summary=f"Read {one}")
    async def read(rule_id: UUID, rules: Annotated[Rules[D, V, O, L], own]) -> V:
        return await rules.read(rule_id)

    @router.put(
        "/{rule_id}",
        response_model=noun.view,
        name=f"replace_{name}",
        summary=f"Replace {one} by a new version",
        description=f"The next {words.judged} is judged by the new version; those before it are kept.",
    )
    @_taking(document=noun.document)
    async def replace(
        rule_id: UUID, document: D, rules: Annotated[Rules[D, V, O, L], own], request: Idempotency
    ) -> Response:
        return await rules.replace(rule_id, document, request)

    @router.put(
        "/{rule_id}/mode",
        response_model=noun.view,
        name=f"switch_{name}",
        summary=f"Switch {one} on, into shadow or off",
        description="In shadow it decides and is recorded, and has no effect.",
    )
    async def switch(
        rule_id: UUID, document: ModeDocument, rules: Annotated[Rules[D, V, O, L], own], request: Idempotency
    ) -> Response:
        return await rules.switch(rule_id, document, request)

    @router.delete(
        "/{rule_id}",
        status_code=204,
        response_class=Response,
        name=f"delete_{name}",
        summary=f"Delete {one}",
        description="What it has decided is kept with its conversations and tickets.",
    )
    async def delete(rule_id: UUID, rules: Annotated[Rules[D, V, O, L], own], request: Idempotency) -> Response:
        return await rules.delete(rule_id, request)

    @router.get(
        "/{rule_id}/versions",
        response_model=Page[noun.version],  # type: ignore[name-defined] # one for each kind
        name=f"list_{name}_versions",
        summary=f"List the versions of {one}",
        description="The first version first.",
    )
    async def list_versions(rule_id: UUID, rules: Annotated[Rules[D, V, O, L], own], place: Paging) -> Page[O]:
        return await rules.versions(rule_id, place)

    @router.get(
        "/{rule_id}/decisions",
        name=f"list_{name}_decisions",
        summary=f"List what {one} has decided, and why",
        description="The newest first.",
    )
    async def list_decisions(
        rule_id: UUID,
        rules: Annotated[Rules[D, V, O, L], own],
        place: Paging,
        outcome: Annotated[Outcome | None, Query()] = None,
    ) -> Page[DecisionView]:
        return await rules.decisions(rule_id, place, outcome)

    return router


def _taking(**types: type) -> Callable[[Handler], Handler]:
    """Tell FastAPI the types of parameters that the code knows by a type variable."""

    def typed(handler: Handler) -> Handler:
        handler.__annotations__ |= types
        return handler

    return typed
