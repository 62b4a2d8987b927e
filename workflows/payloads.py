"""What values look like in Temporal's history: JSON that leaves out what a reader fills in by itself."""

from dataclasses import replace
from typing import Any

from pydantic_core import SchemaSerializer
from pydantic_core.core_schema import any_schema
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import PydanticJSONPlainPayloadConverter, pydantic_data_converter
from temporalio.converter import CompositePayloadConverter, DefaultPayloadConverter, JSONPlainPayloadConverter

_ANY = SchemaSerializer(any_schema())


class _ShortJson(PydanticJSONPlainPayloadConverter):
    """Pydantic's JSON without fields that hold their defaults.

    Most of a ticket's fields do, and every command's answer and record carries the ticket: a life's history is half as
    long this way, which the server stores and three processes write and read.
    """

    def to_payload(self, value: Any) -> Payload | None:
        data = _ANY.to_json(value, exclude_defaults=True)
        return Payload(metadata={"encoding": self.encoding.encode()}, data=data)


# Shared by all: the SDK makes a converter for each workflow and for each message, and one of pydantic's that is new has
# to find out again how every type is read.
_CONVERTERS = tuple(
    _ShortJson() if isinstance(each, JSONPlainPayloadConverter) else each
    for each in DefaultPayloadConverter.default_encoding_payload_converters
)


class _PayloadConverter(CompositePayloadConverter):
    def __init__(self) -> None:
        super().__init__(*_CONVERTERS)


data_converter = replace(pydantic_data_converter, payload_converter_class=_PayloadConverter)
"""For every client, worker and replay. Reads what was written with all fields, too."""
