"""Signing in at an OpenID Connect provider: code flow with state, nonce and PKCE."""

import base64
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import httpx
import structlog
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri  # type: ignore[import-untyped]
from authlib.oauth2.rfc7636 import create_s256_code_challenge  # type: ignore[import-untyped]
from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped]
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from pydantic import SecretStr

from api.problems import Problem
from settings import Settings

log = structlog.get_logger(__name__)

CALLBACK = "/api/v1/sign-in/oidc/callback"
COOKIE = "baton_oidc"
COOKIE_SECONDS = 600
"""How long somebody may take at the provider."""

_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"]  # none that a shared secret signs
_LEEWAY_SECONDS = 60
_TIMEOUT_SECONDS = 5


@dataclass(frozen=True)
class Person:
    """Whom the provider says somebody is; ``email`` is case-folded, ``None`` unless the provider has verified it."""

    issuer: str
    subject: str
    email: str | None
    name: str | None


@dataclass(frozen=True)
class Began:
    """A sign-in that has begun: where the browser goes, and what it keeps until it is back."""

    url: str
    cookie: str


class OidcClient:
    """One provider, asked for its addresses and keys when they are first needed."""

    def __init__(self, settings: Settings, issuer: str, client_id: str, client_secret: SecretStr) -> None:
        self._issuer = issuer
        self._client_id = client_id
        self._client_secret = client_secret
        self._scopes = settings.oidc_scopes
        self._redirect_uri = f"{settings.web_url}{CALLBACK}"
        self._secret = settings.secret_key
        self._metadata: dict[str, Any] | None = None
        self._keys: KeySet | None = None

    @classmethod
    def of(cls, settings: Settings) -> "OidcClient | None":
        """The client the settings describe; ``None`` where they name no provider."""
        if settings.oidc_issuer is None or settings.oidc_client_id is None or settings.oidc_client_secret is None:
            return None
        return cls(settings, settings.oidc_issuer, settings.oidc_client_id, settings.oidc_client_secret)

    async def begin(self, return_to: str) -> Began:
        """Send a browser to the provider; it comes back to ``return_to`` in the end."""
        metadata = await self._discovered()
        kept = {
            "state": secrets.token_urlsafe(),
            "nonce": secrets.token_urlsafe(),
            "verifier": secrets.token_urlsafe(48),
            "return_to": return_to,
            "until": time.time() + COOKIE_SECONDS,
        }
        url = prepare_grant_uri(
            metadata["authorization_endpoint"],
            self._client_id,
            "code",
            redirect_uri=self._redirect_uri,
            scope=self._scopes,
            state=kept["state"],
            nonce=kept["nonce"],
            code_challenge=create_s256_code_challenge(kept["verifier"]),
            code_challenge_method="S256",
        )
        return Began(url, self._seal(kept))

    async def finish(self, cookie: str | None, state: str | None, code: str | None) -> tuple[Person, str]:
        """Who has come back with the provider's ``code``, and where to go now.

        Raises ``sign_in_refused`` for what this browser has not begun or the provider does not vouch for.
        """
        kept = self._open(cookie)
        if kept is None or state is None or not hmac.compare_digest(state.encode(), kept["state"].encode()):
            raise Problem(
                "sign_in_refused", "This sign-in was not begun in this browser, or too long ago; begin again."
            )
        if not code:
            raise Problem("sign_in_refused", "The provider did not sign you in.")
        answer = await self._redeem(code, kept["verifier"])
        claims = await self._claims(answer, kept["nonce"])
        verified = claims.get("email_verified") in (True, "true") and isinstance(claims.get("email"), str)
        person = Person(
            issuer=self._issuer,
            subject=str(claims["sub"]),
            email=claims["email"].casefold() if verified else None,
            name=claims.get("name") if isinstance(claims.get("name"), str) else None,
        )
        return person, kept["return_to"]

    async def _discovered(self) -> dict[str, Any]:
        if self._metadata is None:
            metadata = await self._get(f"{self._issuer}/.well-known/openid-configuration")
            if str(metadata.get("issuer", "")).rstrip("/") != self._issuer:
                log.warning("oidc_failed", why="the provider calls itself something else than BATON_OIDC_ISSUER")
                raise _unavailable()
            self._metadata = metadata
        return self._metadata

    async def _redeem(self, code: str, verifier: str) -> Mapping[str, Any]:
        metadata = await self._discovered()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "code_verifier": verifier,
        }
        client, secret = self._client_id, self._client_secret.get_secret_value()
        by_header: httpx.Auth | None = httpx.BasicAuth(client, secret)
        if metadata.get("token_endpoint_auth_methods_supported") == ["client_secret_post"]:
            by_header, form = None, form | {"client_id": client, "client_secret": secret}
        auth = by_header or httpx.USE_CLIENT_DEFAULT
        async with self._http() as http:
            try:
                answer = await http.post(metadata["token_endpoint"], data=form, auth=auth)
                document = answer.json()
            except (httpx.HTTPError, ValueError) as error:
                log.warning("oidc_failed", why=type(error).__name__)
                raise _unavailable() from None
        if not answer.is_success or not isinstance(document, dict) or "id_token" not in document:
            log.warning("oidc_failed", why="the code was not taken", status=answer.status_code)
            raise Problem("sign_in_refused", "The provider did not confirm the sign-in.")
        return document

    async def _claims(self, answer: Mapping[str, Any], nonce: str) -> Mapping[str, Any]:
        """The identity token's claims, once it has been checked who signed it, for whom, when and for which request."""
        wanted = {
            "iss": {"essential": True, "value": (await self._discovered())["issuer"]},
            "aud": {"essential": True, "value": self._client_id},
        }
        params = {"nonce": nonce, "client_id": self._client_id, "access_token": answer.get("access_token")}
        try:
            try:
                token = jwt.decode(str(answer["id_token"]), await self._key_set(), algorithms=_ALGORITHMS)
            except InvalidKeyIdError:  # the provider has changed its keys
                token = jwt.decode(str(answer["id_token"]), await self._key_set(anew=True), algorithms=_ALGORITHMS)
            claims = CodeIDToken(token.claims, token.header, wanted, params)
            claims.validate(leeway=_LEEWAY_SECONDS)
        except (JoseError, ValueError) as error:
            log.warning("oidc_failed", why=type(error).__name__)
            raise Problem("sign_in_refused", "What the provider says about you cannot be trusted.") from None
        return dict(claims)

    async def _key_set(self, *, anew: bool = False) -> KeySet:
        if self._keys is None or anew:
            metadata = await self._discovered()
            self._keys = KeySet.import_key_set(await self._get(metadata["jwks_uri"]))  # type: ignore[arg-type]
        return self._keys

    async def _get(self, url: str) -> dict[str, Any]:
        try:
            async with self._http() as http:
                answer = (await http.get(url)).raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            log.warning("oidc_failed", why=type(error).__name__)
            raise _unavailable() from None
        if not isinstance(answer, dict):
            raise _unavailable()
        return answer

    @staticmethod
    def _http() -> httpx.AsyncClient:
        return httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, follow_redirects=False)

    def _seal(self, kept: Mapping[str, Any]) -> str:
        body = base64.urlsafe_b64encode(json.dumps(kept).encode()).decode()
        return f"{body}.{self._signature(body)}"

    def _open(self, cookie: str | None) -> dict[str, Any] | None:
        """What was kept; ``None`` where it is not ours or has expired."""
        body, _, signature = (cookie or "").partition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(body).encode()):
            return None
        kept: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body))
        return kept if time.time() < kept["until"] else None

    def _signature(self, body: str) -> str:
        return hmac.digest(self._secret.get_secret_value().encode(), f"oidc:{body}".encode(), sha256).hex()


def _unavailable() -> Problem:
    return Problem("sign_in_unavailable", "The sign-in provider does not answer as it should; try again.")
