"""The codec endpoint: shows what is encrypted to the Temporal UI and command line of those who may read it."""

from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from google.protobuf.json_format import MessageToJson, Parse, ParseError
from pydantic import BaseModel, Field
from temporalio.api.common.v1 import Payloads

from api.codec_access import COOKIE, PATH, SESSION_SECONDS, Reader, may_read, new_session
from api.dependencies import AppServices
from api.problems import Problem
from workflows.encryption import EncryptionCodec, UndecryptableError

router = APIRouter(prefix=PATH, tags=["codec"])

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Baton: read encrypted tickets</title>
<style>body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 4rem auto; padding: 0 1rem }}</style>
<h1>Read encrypted tickets</h1>
{content}
</html>
"""
_FORM = """{message}
<form method="post" action="{path}">
<p><label>Codec token <input type="password" name="token" required autocomplete="current-password"></label>
<button>Sign in</button></p>
</form>"""
_DONE = """<p>This browser may read tickets in the Temporal UI for {hours} hours.</p>
<p>There, in the settings of the codec server, choose your browser's own setting, enter the address of the sign-in page
as the endpoint, and turn on "Include cross-origin credentials". An administrator can set both for everybody.</p>"""
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self';"
    " frame-ancestors 'none'",
}


class PayloadView(BaseModel):
    """A value as Temporal stores it; everything in it is base64."""

    metadata: dict[str, str] = Field(examples=[{"encoding": "anNvbi9wbGFpbg=="}])
    data: str = Field(examples=["eyJ0aXRsZSI6IlRoZSBpbnZvaWNlIGlzIHdyb25nIn0="])


class PayloadsView(BaseModel):
    """What the codec endpoint takes and returns."""

    payloads: list[PayloadView]


@router.post(
    "/decode",
    response_model=PayloadsView,
    dependencies=[Reader],
    summary="Decrypt payloads, as the Temporal UI and CLI send them",
)
async def decode(request: Request, services: AppServices) -> Response:
    """Takes and returns Temporal's `Payloads` as JSON; what is not encrypted comes back as it is."""
    payloads = await _payloads(request)
    try:
        await EncryptionCodec(services.settings.encryption_keys).decode_wrapper(payloads)
    except UndecryptableError as error:
        raise Problem("invalid_request", str(error)) from None
    return _answer(payloads)


@router.post(
    "/encode",
    response_model=PayloadsView,
    dependencies=[Reader],
    summary="Encrypt payloads that the Temporal CLI is about to send",
)
async def encode(request: Request, services: AppServices) -> Response:
    """Takes and returns Temporal's `Payloads` as JSON."""
    payloads = await _payloads(request)
    await EncryptionCodec(services.settings.encryption_keys).encode_wrapper(payloads)
    return _answer(payloads)


@router.get("", include_in_schema=False)
async def sign_in_page() -> Response:
    return _page(_FORM.format(message="", path=PATH))


@router.post("", include_in_schema=False)
async def sign_in(request: Request, services: AppServices) -> Response:
    """Give the browser a cookie that its pages of the Temporal UI send along."""
    form = parse_qs((await request.body()).decode(errors="replace"))
    if not may_read(services.settings, form.get("token", [""])[0]):
        return _page(_FORM.format(message='<p role="alert">That is not the codec token.</p>', path=PATH), 401)
    response = RedirectResponse(f"{PATH}/signed-in", 303)
    response.set_cookie(
        COOKIE,
        new_session(services.settings),
        max_age=SESSION_SECONDS,
        path=PATH,
        secure=services.settings.temporal_ui_url.startswith("https:"),
        httponly=True,
        samesite="strict",
    )
    return response


@router.get("/signed-in", include_in_schema=False)
async def signed_in() -> Response:
    return _page(_DONE.format(hours=SESSION_SECONDS // 3600))


async def _payloads(request: Request) -> Payloads:
    try:
        return Parse(await request.body(), Payloads(), ignore_unknown_fields=True)
    except (ParseError, UnicodeDecodeError):
        raise Problem("invalid_request", "The body must be Temporal's Payloads as JSON.") from None


def _answer(payloads: Payloads) -> Response:
    return Response(MessageToJson(payloads), media_type="application/json", headers={"Cache-Control": "no-store"})


def _page(content: str, status: int = 200) -> Response:
    return HTMLResponse(_PAGE.format(content=content), status, _HEADERS)
