"""The doors: signing up and in, and getting back in with a new password."""

from typing import Annotated

from fastapi import APIRouter, Cookie, Query, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from api.accounts import Accounts
from api.dependencies import AppServices, Session, SignedIn
from api.oidc import CALLBACK, COOKIE, COOKIE_SECONDS, OidcClient
from api.problems import Problem
from api.schemas.account import (
    AcceptedResetView,
    ChangePassword,
    ConfirmReset,
    RequestReset,
    SignedInView,
    SignIn,
    SignUp,
)
from api.sessions import refuse_other_sites, set_cookie
from settings import Settings

router = APIRouter(tags=["sign-in"])


@router.post("/sign-up", status_code=201, response_model=SignedInView, summary="Make an organization, and be its owner")
async def sign_up(document: SignUp, request: Request, session: Session, services: AppServices) -> Response:
    """Open to everybody, to the first one there, or to nobody: `BATON_SIGN_UP` says which."""
    refuse_other_sites(request, cookie=False)
    token, view = await Accounts(session, services, request).sign_up(document)
    return _signed_in(request, services.settings, token, view, 201)


@router.post("/sign-in", response_model=SignedInView, summary="Sign in by address and password")
async def sign_in(document: SignIn, request: Request, session: Session, services: AppServices) -> Response:
    """Sets the session's cookie. After ten wrong passwords an address has to wait a quarter of an hour."""
    refuse_other_sites(request, cookie=False)
    accounts = Accounts(session, services, request)
    token, view = await accounts.sign_in(document.email, document.password.get_secret_value())
    return _signed_in(request, services.settings, token, view)


@router.get("/sign-in/oidc", include_in_schema=False)
async def sign_in_elsewhere(
    services: AppServices, return_to: Annotated[str, Query(max_length=500, pattern=r"^/([^/\\].*)?$")] = "/"
) -> Response:
    """Send the browser to the provider; it comes back to the path ``return_to`` of ours."""
    began = await _provider(services.oidc).begin(return_to)
    response = RedirectResponse(began.url, 302)
    response.set_cookie(
        COOKIE,
        began.cookie,
        max_age=COOKIE_SECONDS,
        path=CALLBACK,
        secure=services.settings.web_url.startswith("https:"),
        httponly=True,
        samesite="lax",
    )
    return response


@router.get("/sign-in/oidc/callback", include_in_schema=False)
async def come_back(
    request: Request,
    session: Session,
    services: AppServices,
    *,
    state: Annotated[str | None, Query()] = None,
    code: Annotated[str | None, Query()] = None,
    began: Annotated[str | None, Cookie(alias=COOKIE, include_in_schema=False)] = None,
) -> Response:
    """Where the provider sends the browser back to."""
    person, return_to = await _provider(services.oidc).finish(began, state, code)
    token, _ = await Accounts(session, services, request).sign_in_elsewhere(person)
    response = RedirectResponse(return_to, 303)
    response.delete_cookie(COOKIE, path=CALLBACK)
    set_cookie(response, request, services.settings, token)
    return response


@router.post("/password-resets", status_code=202, summary="Have a link mailed that sets a new password")
async def request_reset(
    document: RequestReset, request: Request, session: Session, services: AppServices
) -> AcceptedResetView:
    """Answers the same whether there is such an account or not. The link works once, for an hour."""
    refuse_other_sites(request, cookie=False)
    await Accounts(session, services, request).request_reset(document.email)
    return AcceptedResetView(detail="If there is an account with this address, a mail is on its way to it.")


@router.post("/password-resets/confirm", status_code=204, summary="Set a new password with the token from the mail")
async def confirm_reset(document: ConfirmReset, request: Request, session: Session, services: AppServices) -> None:
    """Ends every session of the account."""
    refuse_other_sites(request, cookie=False)
    accounts = Accounts(session, services, request)
    await accounts.confirm_reset(document.token.get_secret_value(), document.password.get_secret_value())


@router.put("/password", status_code=204, summary="Change your password")
async def change_password(
    document: ChangePassword, request: Request, signed_in: SignedIn, session: Session, services: AppServices
) -> None:
    """Ends the other sessions of the account."""
    current, new = (each.get_secret_value() for each in (document.current_password, document.password))
    await Accounts(session, services, request).change_password(signed_in, current, new)


def _provider(client: OidcClient | None) -> OidcClient:
    if client is None:
        raise Problem("not_found", "No sign-in provider is set up (BATON_OIDC_ISSUER).")
    return client


def _signed_in(request: Request, settings: Settings, token: str, view: SignedInView, status: int = 200) -> Response:
    response = JSONResponse(view.model_dump(mode="json"), status, {"Cache-Control": "no-store"})
    set_cookie(response, request, settings, token)
    return response
