"""What the API says of itself, operation by operation, so that tests meet every route, also one added later."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from api.app import create_app
from domain.permissions import OPERATIONS as OPERATIONS_BY_NAME
from domain.permissions import Access
from settings import Settings

Json = dict[str, Any]

DOCUMENT = create_app(Settings(secret_key=SecretStr("0" * 32))).openapi()
PREFIX = "/api/v1"


@dataclass(frozen=True)
class Operation:
    """One method of one path; ``examples`` are of the document it takes, empty where it takes none."""

    method: str
    path: str
    details: Json
    examples: tuple[Json, ...]

    @property
    def below_prefix(self) -> str:
        return self.path.removeprefix(PREFIX)

    @property
    def access(self) -> Access | None:
        """How somebody has to be known; ``None`` outside of the API proper."""
        permission = OPERATIONS_BY_NAME.get(f"{self.method} {self.below_prefix}")
        return permission.access if permission and self.path.startswith(PREFIX) else None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def operations() -> Iterator[Operation]:
    """Every operation there is."""
    for path, methods in DOCUMENT["paths"].items():
        for method, details in methods.items():
            schema = _resolved(_json(details.get("requestBody", {})))
            yield Operation(method.upper(), path, details, tuple(schema.get("examples", ())))


def _json(part: Json) -> Json:
    schema: Json = part.get("content", {}).get("application/json", {}).get("schema", {})
    return schema


def _resolved(schema: Json) -> Json:
    name = schema.get("$ref", "").rsplit("/", 1)[-1]
    found: Json = DOCUMENT["components"]["schemas"][name] if name else schema
    return found


OPERATIONS = tuple(operations())
