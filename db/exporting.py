"""What an organization is given of what it owns: every table row by row, less what is secret or of Baton's own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Text, cast, func, literal, literal_column, select, tuple_
from sqlalchemy import Table as CoreTable
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Table

ROWS_A_PAGE = 200
"""A row is at most some 100 KB of text, so that a page fits into memory many times."""

LEFT_OUT: Mapping[str, str] = MappingProxyType(
    {
        "idempotent_requests": "what clients may send again, for a while",
        "ticket_openings": "tickets that are about to be made",
        "untold_messages": "messages that are about to be told",
        "exports": "about this very thing",
        "export_pages": "about this very thing",
        "accounts": "of people, who may belong to other organizations too",
        "identities": "of people, who may belong to other organizations too",
        "account_sessions": "of people, who may belong to other organizations too",
        "password_resets": "secrets of people",
        "attempts": "counts against guessing",
        "live_events": "repeats what other files say",
        "ticket_presences": "who looks at a ticket at this moment",
        "mails": "letters to members about what other files say",
    }
)
"""Tables that no export has, each with what it is."""

WITHHELD: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "api_keys": frozenset({"hash"}),
        "channel_secrets": frozenset({"sealed"}),
        "invitations": frozenset({"token_hash"}),
        "tickets": frozenset({"search"}),
        "escalation_changes": frozenset({"answer", "fingerprint", "request_id"}),
        "escalation_reasons": frozenset({"raising"}),
        # For the same command sent again; the row and the events say all of it.
        "ticket_events": frozenset({"answer", "fingerprint", "request_id"}),
    }
)
"""Columns that are secrets, or follow from others."""

PARENTS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "team_members": ("team_id", "teams"),
        "rule_versions": ("rule_id", "rules"),
        "sla_policy_versions": ("policy_id", "sla_policies"),
    }
)
"""Tables whose rows belong to whom their parent belongs."""


def exported() -> Mapping[str, CoreTable]:
    """The tables of an export by their files' names, in order."""
    tables = {table.name: table for table in Table.metadata.sorted_tables if table.name not in LEFT_OUT}
    return {f"{name}.jsonl": tables[name] for name in sorted(tables)}


@dataclass(frozen=True)
class Rows:
    """A page: one JSON document a row, and where the next begins; ``last`` is ``None`` on the last page."""

    documents: Sequence[str]
    last: tuple[str, ...] | None


async def read_rows(
    session: AsyncSession, organization_id: UUID, file: str, after: Sequence[str] | None, limit: int = ROWS_A_PAGE
) -> Rows:
    """The organization's rows of a file behind the key ``after``, in the order of their keys."""
    table = exported()[file]
    key = list(table.primary_key.columns)
    withheld = WITHHELD.get(table.name, frozenset())
    document: ColumnElement[Any] = func.to_jsonb(literal_column(table.name))
    for name in sorted(withheld):
        document = document.op("-", return_type=JSONB)(literal(name, Text))
    statement = (
        select(cast(document, Text), *(cast(column, Text) for column in key))
        .select_from(table)
        .where(_belongs_to(table, organization_id))
        .order_by(*key)
        .limit(limit + 1)
    )
    if after is not None:
        values = [cast(literal(value, Text), column.type) for value, column in zip(after, key, strict=True)]
        statement = statement.where(tuple_(*key) > tuple_(*values))
    found = (await session.execute(statement)).all()
    shown = found[:limit]
    return Rows([row[0] for row in shown], tuple(shown[-1][1:]) if len(found) > limit else None)


def _belongs_to(table: CoreTable, organization_id: UUID) -> ColumnElement[Any]:
    if table.name == "organizations":
        return table.c.id == organization_id
    if table.name not in PARENTS:
        return table.c.organization_id == organization_id
    column, parent = PARENTS[table.name]
    owner = Table.metadata.tables[parent]
    return table.c[column].in_(select(owner.c.id).where(owner.c.organization_id == organization_id))
