"""Whether the process lives, and whether it can do its work."""

import asyncio
from collections.abc import Awaitable

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy import text

from api.dependencies import AppServices, Services

router = APIRouter(tags=["health"])

_PATIENCE_SECONDS = 2


class HealthView(BaseModel):
    """``ok`` or, part by part, what is away."""

    status: str = Field(examples=["ok"])
    parts: dict[str, str] = Field(default_factory=dict, examples=[{"database": "ok", "temporal": "ok"}])


@router.get("/healthz", summary="The process lives")
async def healthz() -> HealthView:
    return HealthView(status="ok")


@router.get(
    "/readyz",
    response_model=HealthView,
    responses={503: {"model": HealthView, "description": "A part is away"}},
    summary="The process can work",
)
async def readyz(services: AppServices) -> Response:
    """200 when Postgres and Temporal answer and the read model is listened to, else 503 with what is away."""
    checks = {"database": _database(services), "temporal": services.temporal.service_client.check_health()}
    results = await asyncio.gather(*(_state(check) for check in checks.values()))
    parts = dict(zip(checks, results, strict=True))
    parts["read_model"] = "ok" if services.read_model.listening else "away"
    ready = all(state == "ok" for state in parts.values())
    view = HealthView(status="ok" if ready else "not ready", parts=parts)
    return Response(view.model_dump_json(), 200 if ready else 503, media_type=JSONResponse.media_type)


async def _database(services: Services) -> bool:
    async with services.sessions.begin() as session:
        await session.execute(text("SELECT 1"))
    return True


async def _state(check: Awaitable[bool]) -> str:
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            return "ok" if await check else "away"
    except Exception:
        return "away"
