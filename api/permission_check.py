"""The API starts only if each of its routes is in the table of permissions and asks for whom the table says."""

from collections.abc import Callable, Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts

from api.channel_doors import by_chatwoot, by_webhook
from api.dependencies import operator, principal, signed_in
from api.webchat import visitor
from domain.permissions import OPERATIONS, Access

_ASKED_BY: dict[Access, Callable[..., Any]] = {
    Access.GRANTED: principal,
    Access.OPERATOR: operator,
    Access.SIGNED_IN: signed_in,
    Access.VISITOR: visitor,
}
_ASKED_BY_ANY: dict[Access, tuple[Callable[..., Any], ...]] = {Access.CHANNEL: (by_webhook, by_chatwoot)}
"""Where one of several will do."""


def check_permissions(app: FastAPI, prefix: str) -> None:
    """Raise ``RuntimeError`` that names each route below ``prefix`` which the table lacks, or whose guard it lacks."""
    faults = [fault for operation, route in operations_of(app, prefix) if (fault := _fault(operation, route))]
    if faults:
        raise RuntimeError("domain/permissions.py and the routes differ:\n" + "\n".join(faults))


def operations_of(app: FastAPI, prefix: str) -> Iterator[tuple[str, APIRoute]]:
    """Every method and path below ``prefix``, as the table names them."""
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, APIRoute) and (context.path or "").startswith(f"{prefix}/"):
            yield from ((f"{method} {route.path}", route) for method in sorted(route.methods or ()))


def _fault(operation: str, route: APIRoute) -> str | None:
    permission = OPERATIONS.get(operation)
    if permission is None:
        return f"{operation} is not in the table"
    asked = set(_calls(route.dependant))
    for access, guard in _ASKED_BY.items():
        if (guard in asked) != (access is permission.access):
            verb = "asks" if guard in asked else "does not ask"
            return f"{operation} is {permission.access}, but {verb} {guard.__name__}"
    for access, guards in _ASKED_BY_ANY.items():
        found = [guard for guard in guards if guard in asked]
        if len(found) != int(access is permission.access):
            verb = "asks" if found else "asks none of"
            return f"{operation} is {permission.access}, but {verb} {' and '.join(each.__name__ for each in guards)}"
    return None


def _calls(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    if dependant.call is not None:
        yield dependant.call
    for each in dependant.dependencies:
        yield from _calls(each)
