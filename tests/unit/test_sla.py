"""Which policy a ticket falls under, and which policies are refused."""

from datetime import timedelta
from uuid import UUID

import pytest
from pydantic import ValidationError

from domain.clocks import Metric
from domain.errors import InvalidPolicy
from domain.priority import Priority
from domain.sla import LONGEST_TARGET, SlaConditions, SlaPolicy, TicketFacts, match_policy
from domain.ticket import ChannelKind, Source
from tests.unit.promises import HOUR, POLICY, promising
from tests.unit.tickets import named

BILLING, BUGS = named("Billing"), named("Bugs")
FACTS = TicketFacts(
    team_id=BILLING,
    tags=frozenset({"vip", "refund"}),
    channel=ChannelKind.EMAIL,
    priority=Priority.HIGH,
    source=Source.FLOW,
)


@pytest.mark.parametrize(
    ("conditions", "matches"),
    [
        pytest.param({}, True, id="none are for everybody"),
        pytest.param({"team_ids": (BUGS, BILLING)}, True, id="one of the teams"),
        pytest.param({"team_ids": (BUGS,)}, False, id="another team"),
        pytest.param({"tags": ("vip", "press")}, True, id="any of the tags"),
        pytest.param({"tags": ("press",)}, False, id="none of the tags"),
        pytest.param({"channels": (ChannelKind.EMAIL,)}, True, id="the channel"),
        pytest.param({"channels": (ChannelKind.SMS,)}, False, id="another channel"),
        pytest.param({"priorities": (Priority.HIGH, Priority.URGENT)}, True, id="one of the priorities"),
        pytest.param({"priorities": (Priority.LOW,)}, False, id="another priority"),
        pytest.param({"sources": (Source.FLOW,)}, True, id="the source"),
        pytest.param({"sources": (Source.API,)}, False, id="another source"),
        pytest.param({"tags": ("vip",), "channels": (ChannelKind.EMAIL,)}, True, id="all of them"),
        pytest.param({"tags": ("vip",), "channels": (ChannelKind.SMS,)}, False, id="one, but not the other"),
    ],
)
def test_conditions(conditions: dict[str, object], matches: bool) -> None:
    assert SlaConditions.model_validate(conditions).match(FACTS) is matches


def test_a_ticket_without_a_team_is_not_one_of_a_team() -> None:
    assert not SlaConditions(team_ids=(BILLING,)).match(FACTS.model_copy(update={"team_id": None}))


def test_the_first_enabled_policy_that_matches_applies() -> None:
    off = _policy(1, enabled=False)
    elsewhere = _policy(2, conditions=SlaConditions(team_ids=(BUGS,)))
    tagged = _policy(3, conditions=SlaConditions(tags=("vip",)))
    everybody = _policy(4)
    assert match_policy([off, elsewhere, tagged, everybody], FACTS) == tagged
    assert match_policy([everybody, tagged], FACTS) == everybody
    assert match_policy([off, elsewhere], FACTS) is None


def test_a_target_may_differ_by_priority_and_be_missing() -> None:
    assert POLICY.target(Metric.RESOLUTION, Priority.NORMAL) == 20 * HOUR
    assert POLICY.target(Metric.RESOLUTION, Priority.URGENT) == 4 * HOUR
    assert POLICY.target(Metric.NEXT_RESPONSE, Priority.URGENT) is None
    assert promising({Metric.RESOLUTION: HOUR}).target(Metric.FIRST_RESPONSE, Priority.NORMAL) is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"name": "  "}, "needs a name", id="no name"),
        pytest.param({"warn_at": 0}, "between 0 and 1", id="warns at once"),
        pytest.param({"warn_at": 1}, "between 0 and 1", id="warns with the breach"),
        pytest.param({"warn_at": float("nan")}, "between 0 and 1", id="warns nowhere"),
        pytest.param({"targets": {}}, "at least one", id="no targets"),
        pytest.param({"targets": {Metric.RESOLUTION: {}}}, "at least one", id="a metric without targets"),
        pytest.param(
            {"targets": {Metric.RESOLUTION: {Priority.LOW: timedelta(0)}}},
            "resolution target for low must be longer",
            id="no time at all",
        ),
        pytest.param(
            {"targets": {Metric.RESOLUTION: {Priority.LOW: LONGEST_TARGET + HOUR}}},
            "resolution target for low is longer",
            id="longer than a target can be",
        ),
    ],
)
def test_a_policy_that_cannot_be_kept_is_refused(changes: dict[str, object], says: str) -> None:
    assert POLICY.checked() is POLICY
    with pytest.raises(InvalidPolicy, match=says) as refusal:
        POLICY.model_copy(update=changes).checked()
    assert refusal.value.code == "invalid_sla_policy"


def test_a_policy_survives_json_and_knows_its_metrics() -> None:
    assert SlaPolicy.model_validate_json(POLICY.model_dump_json()) == POLICY
    with pytest.raises(ValidationError):
        SlaPolicy.model_validate({"id": POLICY.id, "name": "-", "targets": {"happiness": {"low": "PT1H"}}})


def _policy(number: int, **changes: object) -> SlaPolicy:
    return POLICY.model_copy(update={"id": UUID(int=number), **changes})
