import pytest

from tests.api.tenant import Tenant

RESOLVED = {"kind": "resolved", "language": "es", "body": "Listo: {{ ticket.title }}."}


async def test_words_are_kept_replaced_and_given_up(tenant: Tenant) -> None:
    made = await tenant.post("/message-templates", {**RESOLVED, "language": "pt-BR"})
    assert made["language"] == "pt-br"
    again = await tenant.call("POST", "/message-templates", {**RESOLVED, "language": "pt-br"})
    assert (again.status_code, again.json()["code"]) == (409, "already_exists")
    path = f"/message-templates/{made['id']}"
    changed = await tenant.call("PUT", path, {**RESOLVED, "body": "Hecho."})
    assert changed.json() == await tenant.get(path) == {**made, "language": "es", "body": "Hecho."}
    assert (await tenant.get("/message-templates"))["items"] == [changed.json()]
    assert (await tenant.call("DELETE", path)).status_code == 204
    assert (await tenant.get("/message-templates"))["items"] == []


@pytest.mark.parametrize(
    ("body", "line", "why"),
    [("One\n{{ ticket.titel }}", 2, "there is no ticket.titel"), ("{% for a in b %}x{% endfor %}", 1, "for is not")],
)
async def test_what_cannot_be_rendered_is_refused_with_its_place(
    tenant: Tenant, body: str, line: int, why: str
) -> None:
    for path in ("/message-templates", "/message-templates/preview"):
        document = {**RESOLVED, "body": body}
        refusal = await tenant.call("POST", path, document)
        assert (refusal.status_code, refusal.json()["code"], refusal.json()["line"]) == (422, "invalid_template", line)
        assert why in refusal.json()["detail"]
    for language in ("english", "e", "es_MX", "es-"):
        refusal = await tenant.call("POST", "/message-templates", {**RESOLVED, "language": language})
        assert (refusal.status_code, refusal.json()["code"]) == (422, "invalid_request"), language


async def test_a_preview_shows_what_is_given_or_what_is_used(tenant: Tenant) -> None:
    given = await tenant.post("/message-templates/preview", {"kind": "closed", "body": "Bye, {{ customer.name }}"})
    assert (given["text"], given["origin"], given["language"], given["said"]) == ("Bye, Sam", "given", None, False)
    await tenant.post("/message-templates", RESOLVED)
    own = await tenant.post("/message-templates/preview", {"kind": "resolved", "language": "es-AR"})
    assert (own["text"], own["origin"], own["language"]) == ("Listo: The invoice shows the wrong amount.", "own", "es")
    built_in = await tenant.post("/message-templates/preview", {"kind": "resolved", "language": "fi"})
    assert (built_in["origin"], built_in["language"], built_in["said"]) == ("built_in", "en", True)
    changed = await tenant.call("PATCH", "/organization", {"language": "es", "customer_messages": {"resolved": False}})
    assert changed.json()["customer_messages"] == {
        "reminder": True,
        "resolved": False,
        "closed": False,
        "reopened": False,
    }
    now = await tenant.post("/message-templates/preview", {"kind": "resolved", "language": "fi"})
    assert (now["origin"], now["language"], now["said"]) == ("own", "es", False)


async def test_a_customer_is_told_in_their_language_as_the_organization_words_it(tenant: Tenant) -> None:
    await tenant.post("/message-templates", {**RESOLVED, "body": "Listo, {{ customer.name }}."})
    requester = {"external_id": "customer-1", "name": "Sam", "language": "es-MX"}
    ticket = await tenant.ticket("resolved", requester=requester)
    said = [each["body"] async for each in tenant.pages(f"/tickets/{ticket['id']}/messages")]
    assert said == ["Listo, Sam."]
    message = {"external_id": "m-1", "author": "customer", "body": "Hi", "requester": {"external_id": "customer-1"}}
    await tenant.post("/conversations/chat-1/messages", message)
    [known] = (await tenant.get("/requesters", external_id="customer-1"))["items"]
    assert known["language"] == "es-mx", "what is not said again stays"
    message = {**message, "external_id": "m-2", "requester": {"external_id": "customer-1", "language": "de"}}
    await tenant.post("/conversations/chat-1/messages", message)
    [known] = (await tenant.get("/requesters", external_id="customer-1"))["items"]
    assert (known["language"], known["name"]) == ("de", "Sam")

    off = await tenant.call("PATCH", "/organization", {"customer_messages": {"resolved": False}})
    assert off.status_code == 200
    ticket = await tenant.ticket("resolved")
    assert [each async for each in tenant.pages(f"/tickets/{ticket['id']}/messages")] == []
