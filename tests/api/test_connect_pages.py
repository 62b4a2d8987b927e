"""The pages that tell how to connect something work when they are typed in, from nothing to the first escalation."""

import asyncio
import re
import shutil
from pathlib import Path

import httpx
import pytest

from domain.permissions import OPERATIONS
from settings import PREFIX, Settings
from tests.api.tenant import Tenant

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("connect-webhook.md", "connect-chatwoot.md", "connect-webchat.md")
BEGINS = "export BATON=http://localhost:8000 KEY=baton_…"

needs_tools = pytest.mark.skipif(
    any(shutil.which(each) is None for each in ("bash", "curl", "openssl", "python3")),
    reason="the pages are typed into a shell with curl, openssl and python3",
)


@needs_tools
@pytest.mark.parametrize("page", PAGES)
async def test_what_the_page_says_to_type_leads_to_a_ticket(http: httpx.AsyncClient, tenant: Tenant, page: str) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    script = "\n".join(blocks)
    assert script.count(BEGINS) == 1
    script = script.replace(BEGINS, f"export BATON={str(http.base_url).rstrip('/')} KEY={tenant.key}")
    shell = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", script),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "no_proxy": "*"},
    )
    said, complained = await asyncio.wait_for(shell.communicate(), 60)
    assert shell.returncode == 0, f"{said.decode()}\n{complained.decode()}"
    assert "Let me talk to a human!" in said.decode().splitlines()


@pytest.mark.parametrize("page", PAGES)
def test_links_and_settings_are_there(page: str) -> None:
    text = (DOCS / page).read_text()
    for target in re.findall(r"\]\(([\w./-]+)\)", text):
        assert (DOCS / target).exists()
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    assert set(re.findall(r"BATON_[A-Z_]+[A-Z]", text)) <= known


def test_the_web_chats_page_has_all_of_its_routes() -> None:
    text = (DOCS / "connect-webchat.md").read_text()
    for operation in OPERATIONS:
        method, path = operation.split(" ")
        if path.startswith("/webchat/"):
            assert f"`{method} {path.rpartition('/')[2]}" in text, operation
