import uuid
from datetime import timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.common import SearchAttributeIndexedValueType
from temporalio.service import RPCError

from embedded.temporal import EmbeddedTemporal
from tests.support import eventually
from workflows.registration import WANTED, SearchAttributesError, ensure_search_attributes

KEYWORD = int(SearchAttributeIndexedValueType.KEYWORD)
NUMBERS = {name: int(kind) for name, kind in WANTED.items()}


@pytest.fixture
async def fresh(temporal_server: EmbeddedTemporal, temporal_client: Client) -> Client:
    """A namespace that knows nothing of tickets."""
    retention = Duration()
    retention.FromTimedelta(timedelta(days=1))
    name = f"fresh-{uuid.uuid4()}"
    await temporal_client.workflow_service.register_namespace(
        RegisterNamespaceRequest(namespace=name, workflow_execution_retention_period=retention)
    )
    client = await Client.connect(temporal_server.address, namespace=name)

    async def visible() -> bool:
        try:
            return await known(client) == {}
        except RPCError as error:  # the server's list of namespaces is refreshed in the background
            raise AssertionError from error

    await eventually(visible, timeout=15)
    return client


async def known(client: Client) -> dict[str, int]:
    listing = ListSearchAttributesRequest(namespace=client.namespace)
    found = (await client.operator_service.list_search_attributes(listing)).custom_attributes
    return {name: int(kind) for name, kind in found.items() if name in WANTED or name.startswith("Other")}


async def add(client: Client, attributes: dict[str, int]) -> None:
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(namespace=client.namespace, search_attributes=attributes)  # type: ignore[arg-type]
    )
    await eventually(lambda: has(client, attributes))


async def has(client: Client, attributes: dict[str, int]) -> bool:
    return attributes.items() <= (await known(client)).items()


async def test_missing_search_attributes_are_registered_once(fresh: Client) -> None:
    await ensure_search_attributes(fresh)
    assert await known(fresh) == NUMBERS
    await ensure_search_attributes(fresh)
    assert await known(fresh) == NUMBERS


async def test_what_the_cluster_does_not_take_is_explained_with_the_commands_that_add_it(fresh: Client) -> None:
    await add(fresh, {f"Other{number}": KEYWORD for number in range(8)})  # of the ten keywords that SQL has room for
    with pytest.raises(SearchAttributesError) as caught:
        await ensure_search_attributes(fresh)
    message = str(caught.value)
    assert f"tcld namespace search-attributes add --namespace {fresh.namespace}" in message
    assert '"TicketStatus=Keyword"' in message
    assert "--name TicketBreached --type Bool" in message


async def test_search_attribute_of_another_type_is_named(fresh: Client) -> None:
    await add(fresh, {"TicketBreached": KEYWORD})
    with pytest.raises(SearchAttributesError, match=r"TicketBreached \(must be Bool\)"):
        await ensure_search_attributes(fresh)
