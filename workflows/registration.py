"""What a Temporal cluster has to know before tickets can live on it: their search attributes."""

import asyncio
from datetime import timedelta

import structlog
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.common import SearchAttributeIndexedValueType
from temporalio.service import RPCError, RPCStatusCode

from workflows import search_attributes

log = structlog.get_logger(__name__)

WANTED = {key.name: key.indexed_value_type for key in search_attributes.ALL}

_AWAY = {RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED}
_FORBIDDEN = {RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED}


class SearchAttributesError(Exception):
    """The namespace lacks search attributes, and who can add them has to."""


async def ensure_search_attributes(client: Client, *, timeout: timedelta = timedelta(minutes=2)) -> None:
    """Register what is missing in the client's namespace, and wait until the cluster knows it. Safe to repeat.

    A cluster caches the list for up to a minute. Raises ``TimeoutError`` after ``timeout``, ``RPCError`` where the
    cluster is away, and ``SearchAttributesError``, which says what to do, where the cluster does not take them
    (Temporal Cloud has them registered with its own tools).
    """
    try:
        lacking = await _lacking(client)
    except RPCError as error:
        if error.status not in _FORBIDDEN:
            raise
        # Nothing says that they are missing; if they are, the first ticket's start is refused and names one.
        log.warning("search_attributes_not_checked", namespace=client.namespace, reason=error.message)
        return
    if not lacking:
        return
    numbers = {name: int(kind) for name, kind in lacking.items()}
    try:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=client.namespace, search_attributes=numbers)  # type: ignore[arg-type]
        )
    except RPCError as error:
        if error.status in _AWAY:
            raise
        # Of workers that start at the same time one comes first, and the others are told that it is there already.
        if await _lacking(client):
            raise SearchAttributesError(_instructions(client.namespace, lacking, error.message)) from error
    async with asyncio.timeout(timeout.total_seconds()):
        while await _lacking(client):  # noqa: ASYNC110 - only asking again tells that the cluster's cache is fresh
            await asyncio.sleep(0.5)


async def _lacking(client: Client) -> dict[str, SearchAttributeIndexedValueType]:
    listing = ListSearchAttributesRequest(namespace=client.namespace)
    known = (await client.operator_service.list_search_attributes(listing)).custom_attributes
    others = {name: known[name] for name, kind in WANTED.items() if known.get(name, int(kind)) != int(kind)}
    if others:
        names = ", ".join(f"{name} (must be {type_name(WANTED[name])})" for name in others)
        raise SearchAttributesError(
            f"The namespace {client.namespace!r} has search attributes of another type: {names}. "
            "Give Baton a namespace of its own, or remove them there."
        )
    return {name: kind for name, kind in WANTED.items() if name not in known}


def _instructions(namespace: str, lacking: dict[str, SearchAttributeIndexedValueType], reason: str) -> str:
    pairs = [(name, type_name(kind)) for name, kind in lacking.items()]
    own = " ".join(f"--name {name} --type {kind}" for name, kind in pairs)
    cloud = " ".join(f'--search-attribute "{name}={kind}"' for name, kind in pairs)
    return (
        f"The namespace {namespace!r} lacks search attributes, and did not take them from here: {reason}\n"
        "Somebody with the right to do so has to add them, then start the worker again.\n"
        f"On Temporal Cloud:\n  tcld namespace search-attributes add --namespace {namespace} {cloud}\n"
        f"On a cluster of your own:\n  temporal operator search-attribute create --namespace {namespace} {own}"
    )


def type_name(kind: SearchAttributeIndexedValueType) -> str:
    """As Temporal's tools spell it: ``KEYWORD_LIST`` is ``KeywordList``."""
    return "".join(word.title() for word in kind.name.split("_"))
