"""An organization's export: everything of its own, nothing of others, no secrets, and gone in time."""

import io
import json
import zipfile

import httpx
import psycopg
from temporalio.client import Client

from db.exporting import LEFT_OUT, PARENTS, WITHHELD, exported
from db.models import Table
from settings import Settings
from tests.api.tenant import Json, Tenant, new_tenant
from tests.support import eventually
from workflows.search_attributes import TICKET_ORGANIZATION

Files = dict[str, list[Json]]


def test_every_table_is_exported_or_left_out_for_a_reason() -> None:
    files = {name.removesuffix(".jsonl") for name in exported()}
    assert files | set(LEFT_OUT) == set(Table.metadata.tables)
    for name in files - {"organizations"}:
        table = Table.metadata.tables[name]
        assert ("organization_id" in table.columns) != (name in PARENTS), "say in db/exporting.py whose its rows are"
        assert WITHHELD.get(name, frozenset()) <= set(table.columns.keys())
    for name in files:
        secret = {each.name for each in Table.metadata.tables[name].columns if "hash" in each.name}
        assert secret <= WITHHELD.get(name, frozenset()), "a hash is for nobody but Baton"


async def exported_by(tenant: Tenant, key: str | None = None) -> tuple[Json, Files]:
    made = await tenant.call("POST", "/exports", {"keep_for": "P1D"}, key=key)
    assert made.status_code == 202, made.text
    done = await tenant.finished(f"/exports/{made.json()['id']}")
    answer = await tenant.call("GET", f"/exports/{done['id']}/download")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/zip")
    files: Files = {}
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        facts = json.loads(archive.read("export.json"))
        for name in set(archive.namelist()) - {"export.json"}:
            files[name] = [json.loads(line) for line in archive.read(name).decode().split("\n")[:-1]]
    assert (facts["format"], facts["organization_id"]) == (1, tenant.id)
    assert facts["rows"] == done["rows"] == {name: len(rows) for name, rows in files.items()}
    return done, files


async def test_an_export_has_all_of_ones_own_and_nothing_of_anybody_else(
    tenant: Tenant, http: httpx.AsyncClient, settings: Settings
) -> None:
    other = await new_tenant(http)
    for each in (tenant, other):
        ticket = await each.ticket("in_progress", requester={"external_id": "c", "name": "Ünsal \u2028 \U0001f600"})
        await each.message(ticket, body='Two\nlines, "quoted"')
        member = await each.member()
        await each.team(member_ids=[member["id"]])
    done, files = await exported_by(tenant)
    assert set(files) == set(exported())
    with psycopg.connect(settings.psycopg_url) as owner:
        for name in Table.metadata.tables:
            if f"{name}.jsonl" not in files or name in PARENTS:
                continue
            whose = "id" if name == "organizations" else "organization_id"
            rows = owner.execute(f"SELECT count(*) FROM {name} WHERE {whose} = %s", [tenant.id]).fetchone()
            # The export's own idempotency key is no row of it, and that it was downloaded was written later.
            assert rows is not None
            assert rows[0] == len(files[f"{name}.jsonl"]) + (name == "audit_log"), name
            assert {row[whose] for row in files[f"{name}.jsonl"]} <= {tenant.id}
        everything = json.dumps(files)
        for name in Table.metadata.tables:
            whose = "id" if name == "organizations" else "organization_id"
            if {"id", whose} <= set(Table.metadata.tables[name].columns.keys()):
                theirs = owner.execute(f"SELECT id::text FROM {name} WHERE {whose} = %s", [other.id]).fetchall()
                assert not [each for (each,) in theirs if len(each) > 30 and each in everything], name
        hashes = owner.execute("SELECT encode(hash, 'hex') FROM api_keys").fetchall()
    assert not [each for (each,) in hashes if each in everything]
    assert tenant.key not in everything
    assert [row["body"] for row in files["messages.jsonl"]] == ['Two\nlines, "quoted"']
    assert files["requesters.jsonl"][0]["name"] == "Ünsal \u2028 \U0001f600"
    assert len(files["team_members.jsonl"]) == 1
    assert {"hash", "search"} & {name for rows in files.values() for row in rows for name in row} == set()
    assert done["size"] > 0


async def test_many_rows_come_in_pages_without_a_gap(tenant: Tenant, settings: Settings) -> None:
    with psycopg.connect(settings.psycopg_url) as owner:
        owner.execute(
            "INSERT INTO requesters (id, organization_id, external_id)"
            " SELECT gen_random_uuid(), %s, 'customer-' || n FROM generate_series(1, 450) AS n",
            [tenant.id],
        )
    _, files = await exported_by(tenant)
    named = {row["external_id"] for row in files["requesters.jsonl"]}
    assert named == {f"customer-{number}" for number in range(1, 451)}
    assert len(files["requesters.jsonl"]) == 450


async def test_the_same_request_is_one_export(tenant: Tenant, http: httpx.AsyncClient) -> None:
    first, _ = await exported_by(tenant, "once")
    second, _ = await exported_by(tenant, "once")
    assert first == second
    assert [each["id"] async for each in tenant.pages("/exports")] == [first["id"]]
    stranger = await new_tenant(http)
    refusal = await stranger.call("GET", f"/exports/{first['id']}/download")
    assert (refusal.status_code, refusal.json()["code"]) == (404, "not_found")


async def test_an_export_expires(tenant: Tenant, settings: Settings) -> None:
    made = await tenant.post("/exports", {"keep_for": "PT0.001S"})

    async def is_gone() -> bool:
        return str((await tenant.get(f"/exports/{made['id']}"))["status"]) == "expired"

    await eventually(is_gone, timeout=20)
    refusal = await tenant.call("GET", f"/exports/{made['id']}/download")
    assert (refusal.status_code, refusal.json()["code"]) == (409, "export_not_ready")
    with psycopg.connect(settings.psycopg_url) as owner:
        assert not owner.execute("SELECT FROM export_pages WHERE export_id = %s", [made["id"]]).fetchall()


async def test_its_workflow_carries_the_organization_and_no_words(tenant: Tenant, temporal_client: Client) -> None:
    made = await tenant.post("/exports", {})
    await tenant.finished(f"/exports/{made['id']}")
    handle = temporal_client.get_workflow_handle(f"export-{tenant.id}-{made['id']}")
    described = await handle.describe()
    assert described.typed_search_attributes[TICKET_ORGANIZATION] == tenant.id
