"""A small OpenID Connect provider on loopback: real keys, real tokens, and a person who always says yes."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlencode
from uuid import uuid4

import uvicorn
from authlib.oauth2.rfc7636 import create_s256_code_challenge  # type: ignore[import-untyped]
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse
from joserfc import jwt
from joserfc.jwk import RSAKey
from joserfc.util import urlsafe_b64encode

from embedded.ports import LOOPBACK
from tests.api.running import Server

CLIENT, SECRET = "baton", "the-client's-secret"


@dataclass
class Provider:
    """What tests change about it; ``claims`` go over those of an honest token."""

    issuer: str = ""
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": str(uuid4())}))
    signs_with: RSAKey | None = None
    claims: dict[str, Any] = field(default_factory=dict)
    asked: dict[str, dict[str, str]] = field(default_factory=dict)

    def token(self, nonce: str, access_token: str) -> str:
        now = int(time.time())
        half = sha256(access_token.encode()).digest()[:16]
        claims = {
            "iss": self.issuer,
            "aud": CLIENT,
            "sub": "person-1",
            "iat": now,
            "exp": now + 300,
            "nonce": nonce,
            "at_hash": urlsafe_b64encode(half).decode(),
            "email_verified": True,
            **self.claims,
        }
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, self.signs_with or self.key)


def application(provider: Provider) -> FastAPI:
    app = FastAPI()

    @app.get("/.well-known/openid-configuration")
    async def discover() -> dict[str, str]:
        paths = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        return {"issuer": provider.issuer} | {name: f"{provider.issuer}/{path}" for name, path in paths.items()}

    @app.get("/keys")
    async def keys() -> dict[str, Any]:
        return {"keys": [provider.key.as_dict(private=False)]}

    @app.get("/authorize")
    async def authorize(request: Request) -> RedirectResponse:
        asked, code = dict(request.query_params), str(uuid4())
        provider.asked[code] = asked
        back = urlencode({"code": code, "state": asked["state"]})
        return RedirectResponse(f"{asked['redirect_uri']}?{back}", 302)

    @app.post("/token")
    async def redeem(request: Request) -> JSONResponse:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        asked = provider.asked.pop(form["code"], None)
        honest = (
            asked is not None
            and asked["redirect_uri"] == form["redirect_uri"]
            and asked["code_challenge_method"] == "S256"
            and create_s256_code_challenge(form["code_verifier"]) == asked["code_challenge"]
            and request.headers.get("Authorization", "").startswith("Basic ")
        )
        if asked is None or not honest:
            return JSONResponse({"error": "invalid_grant"}, 400)
        access = str(uuid4())
        token = provider.token(asked["nonce"], access)
        return JSONResponse({"access_token": access, "token_type": "Bearer", "id_token": token})

    return app


@asynccontextmanager
async def providing() -> AsyncIterator[Provider]:
    """The provider on a free port."""
    provider = Provider()
    server = Server(uvicorn.Config(application(provider), log_config=None, access_log=False, lifespan="off"))
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind((LOOPBACK, 0))
        provider.issuer = f"http://{LOOPBACK}:{listener.getsockname()[1]}"
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)
            yield provider
        finally:
            server.should_exit = True
            await task
