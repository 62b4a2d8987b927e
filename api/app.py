"""The API, put together."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache
from tomllib import TOMLDecodeError

from fastapi import APIRouter, FastAPI
from starlette.routing import BaseRoute

from api import problems
from api.body_limit import BodyLimit
from api.codec_access import CodecOrigin
from api.dependencies import Services
from api.gauges import measure
from api.intake import TOGETHER
from api.listener import Listener
from api.live_feed import LiveFeed
from api.oidc import OidcClient
from api.passwords import Passwords
from api.permission_check import check_permissions
from api.rate_limits import RateLimits
from api.read_model import ReadModel
from api.reader import Reader
from api.request_log import RequestLog
from api.response_headers import ResponseHeaders
from api.routers import (
    analytics,
    audit,
    availability,
    backtests,
    bulk_changes,
    calendars,
    channel_secrets,
    channels,
    chatwoot,
    codec,
    conversations,
    decisions,
    deliveries,
    doors,
    escalation_events,
    escalation_ladders,
    escalations,
    health,
    incoming_webhooks,
    invitations,
    links,
    live_events,
    members,
    message_templates,
    messages,
    notifications,
    organizations,
    privacy,
    reminder_ladders,
    requesters,
    routing_rules,
    sessions,
    sla_policies,
    teams,
    tickets,
    unsubscribing,
    watchers,
    webchat,
)
from api.rule_book import RuleBooks
from api.second_opinion import second_opinion
from api.webchat_feed import WebchatFeed
from api.webchat_origins import WebchatOrigins
from db.engine import make_application_engine, make_reading_engine, make_reads, make_sessions
from db.together import Together
from domain.detection.human_request import HumanRequestDetector, builtin_detector
from domain.detection.language import InvalidTable
from domain.sentiment.support import builtin_scorer
from settings import Settings
from telemetry import ApiMetrics, api_telemetry
from tracing import Tracing
from workflows.bell import make_bell
from workflows.connection import connect

LARGEST_BODY = 1_000_000
"""Bytes; the largest document the API takes has 20,000 characters of text."""

LAST_CALLS = 0.25
"""Seconds in which Temporal's runtime may still call back for finished RPCs; an interpreter that exits in such a moment
crashes (https://github.com/temporalio/sdk-python/issues/300)."""

# Each request looks through them in this order until it finds its own: the busiest come first.
_NOUNS = (
    conversations,
    tickets,
    messages,
    watchers,
    links,
    channels,
    channel_secrets,
    incoming_webhooks,
    chatwoot,
    webchat,
    bulk_changes,
    deliveries,
    escalations,
    requesters,
    decisions,
    escalation_events,
    routing_rules,
    backtests,
    sla_policies,
    calendars,
    reminder_ladders,
    escalation_ladders,
    message_templates,
    organizations,
    members,
    availability,
    teams,
    notifications,
    live_events,
    invitations,
    audit,
    doors,
    sessions,
    analytics,
    privacy,
)

_DESCRIPTION = """Tickets that are never dropped: each one is a durable Temporal workflow.

* **Sign in** with `Authorization: Bearer <API key>`; `Baton-On-Behalf-Of: <member id>` says for whom a program acts.
  People sign in with `POST /sign-in`, which sets a cookie.
* **Send every write with an `Idempotency-Key`**: after a time-out, send it again with the same key.
* **Errors** are RFC 9457 problem details; branch on `code`.
* Times are RFC 3339 in UTC, lengths of time ISO 8601 (`PT4H`), lists are read by `next_cursor`.
"""


def create_app(settings: Settings, tracing: Tracing | None = None, metrics: ApiMetrics | None = None) -> FastAPI:
    """The application; it connects when it starts and lets go of everything when it stops.

    ``tracing`` and ``metrics`` belong to the process, which stops them.
    """
    tracing, metrics = tracing or Tracing(), metrics or ApiMetrics()
    app = FastAPI(
        title="Baton",
        version="1",
        description=_DESCRIPTION,
        lifespan=_lifespan(settings, tracing, _detector(settings)),
        routes=list(_operations()),
        redoc_url=None,
        telemetry=api_telemetry(tracing, metrics),
    )
    longest = settings.command_timeout + settings.database_timeout + settings.read_model_wait
    app.add_middleware(BodyLimit, largest=LARGEST_BODY)
    app.add_middleware(WebchatOrigins)
    app.add_middleware(RequestLog)
    app.add_middleware(problems.LastResort, seconds=longest.total_seconds())  # around the log, which it may cut short
    measure(metrics, settings)
    app.add_middleware(CodecOrigin, ui_url=settings.temporal_ui_url)
    app.add_middleware(ResponseHeaders, https=settings.web_url.startswith("https:"))
    problems.install(app)
    check_permissions(app, "/api/v1")
    return app


@cache
def _operations() -> Sequence[BaseRoute]:
    """Every route, without anything of one application's own.

    Once for a process: looking through all their parameters takes longer than all else at a start, and a process of
    the tests makes many applications.
    """
    router = APIRouter()
    router.include_router(health.router)
    router.include_router(codec.router, responses=problems.DOCUMENTED)
    router.include_router(unsubscribing.router)
    for module in _NOUNS:
        router.include_router(module.router, prefix="/api/v1", responses=problems.DOCUMENTED)
    return router.routes


def _detector(settings: Settings) -> HumanRequestDetector:
    """The built-in, with the operator's own tables where there are some; ends the process where one is not usable."""
    if settings.detector_tables is None:
        return builtin_detector()
    try:
        return HumanRequestDetector.reading(settings.detector_tables)
    except (InvalidTable, TOMLDecodeError, OSError) as error:
        raise SystemExit(f"BATON_DETECTOR_TABLES: {settings.detector_tables} cannot be used. {error}") from None


def _lifespan(
    settings: Settings, tracing: Tracing, detector: HumanRequestDetector
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine, reading_engine = make_application_engine(settings), make_reading_engine(settings)
        reads = make_reads(reading_engine)
        listener = Listener(settings)
        read_model, live_feed = ReadModel(listener), LiveFeed(listener, reads)
        webchat_feed = WebchatFeed(listener)
        listener.start()
        live_feed.start()
        try:
            # Lazily, so that the API starts, and says what is away, before Temporal does.
            temporal = await connect(settings, lazy=True, plugins=tracing.plugins)
            async with second_opinion(settings) as opinion:
                app.state.services = Services(
                    settings=settings,
                    sessions=make_sessions(engine),
                    reads=reads,
                    temporal=temporal,
                    read_model=read_model,
                    live_feed=live_feed,
                    webchat_feed=webchat_feed,
                    bell=make_bell(temporal, settings),
                    callers=Together(TOGETHER),
                    front_door=Together(TOGETHER),
                    rule_books=RuleBooks(reads),
                    reader=Reader(detector, builtin_scorer(), opinion),
                    passwords=Passwords(),
                    rate_limits=RateLimits(settings.rate_limit),
                    visitor_limits=RateLimits(settings.visitor_rate_limit, whose="A visitor"),
                    strangers=RateLimits(settings.stranger_rate_limit, whose="A network"),
                    oidc=OidcClient.of(settings),
                )
                yield
                await asyncio.gather(*app.state.services.ringing, return_exceptions=True)
        finally:
            webchat_feed.stop()
            await live_feed.stop()
            await listener.stop()
            await engine.dispose()
            await reading_engine.dispose()
            await asyncio.sleep(LAST_CALLS)

    return lifespan
