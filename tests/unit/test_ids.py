"""Ids that follow from an organization's are never another's, whatever its clients call their things."""

import inspect
from uuid import UUID, uuid4

import pytest

from domain import ids
from tests.unit.tickets import new_ticket
from workflows.attributes import attributes_of
from workflows.search_attributes import TICKET_ORGANIZATION

MADE = [made for name, made in inspect.getmembers(ids, inspect.isfunction) if made.__module__ == ids.__name__]
FROM_AN_ORGANIZATION = [made for made in MADE if "organization_id" in inspect.signature(made).parameters]


@pytest.mark.parametrize("make", FROM_AN_ORGANIZATION, ids=lambda make: make.__name__)
def test_two_organizations_things_of_one_name_have_different_ids(make: object) -> None:
    assert callable(make)
    given = {
        name: uuid4() if parameter.annotation in (UUID, "UUID") else "the same"
        for name, parameter in inspect.signature(make).parameters.items()
    }
    mine, theirs = make(**given), make(**{**given, "organization_id": uuid4()})
    assert mine == make(**given)
    assert mine != theirs


def test_ids_of_everything_else_follow_from_an_id() -> None:
    for made in set(MADE) - {ids.mail_id}:  # a mail's key names what it is about, by ids
        first = next(iter(inspect.signature(made).parameters.values()))
        assert first.annotation in (UUID, "UUID"), made.__name__


def test_a_tickets_search_attributes_carry_its_organization() -> None:
    ticket = new_ticket()
    assert attributes_of(ticket)[TICKET_ORGANIZATION] == str(ticket.organization_id)
