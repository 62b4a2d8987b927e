"""Where the link at the end of a mail leads: no more mails, with one click and without signing in (RFC 8058)."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader

from api.dependencies import AppServices, Session
from db.preferences import stop_mails
from domain.unsubscribing import read_unsubscribe_token

# Not among the documented routes: it is called by links in mails and by programs that read mail.
router = APIRouter(prefix="/unsubscribe", include_in_schema=False)

_PAGE = Environment(
    loader=FileSystemLoader(Path(__file__).parent.with_name("templates")), autoescape=True
).get_template("unsubscribe.html")


@router.get("/{token}", response_class=HTMLResponse)
async def ask(token: str, services: AppServices) -> HTMLResponse:
    """Changes nothing: programs that look for dangerous links open every one."""
    known = read_unsubscribe_token(token, services.settings.secret_key.get_secret_value()) is not None
    return _page("asked") if known else _page("unknown", 404)


@router.post("/{token}", response_class=HTMLResponse)
async def unsubscribe(token: str, services: AppServices, session: Session) -> HTMLResponse:
    """Turn email off for the member whom the link was written for. Safe to repeat."""
    member_id = read_unsubscribe_token(token, services.settings.secret_key.get_secret_value())
    if member_id is None:
        return _page("unknown", 404)
    async with session.begin():
        done = await stop_mails(session, member_id)
    return _page("done") if done else _page("unknown", 404)


def _page(state: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(_PAGE.render(state=state), status_code=status)
