"""What docs/rules.md tells people to write is what the API takes."""

import json
import re
from pathlib import Path

import pytest

from api.rules import MOST_IN_FORCE, MOST_KEYWORDS
from api.schemas.rule import MOST_RULES, EscalationEventDocument
from domain.rules.conditions import read_conditions
from domain.ticket import ChannelKind
from tests.api.description import OPERATIONS
from tests.api.tenant import Tenant

PAGE = (Path(__file__).parents[2] / "docs" / "rules.md").read_text()
BLOCKS = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
SENT = re.findall(r"^baton (\w+) (\S+)(?: '(\{.*?\})')?$", PAGE, re.DOTALL | re.MULTILINE)


def test_every_condition_is_explained_and_works() -> None:
    shown = [json.loads(block) for block in BLOCKS]
    rules = [each for each in shown if "name" in each]
    conditions = [each for each in shown if "name" not in each]
    assert len(rules) == 1
    assert {next(iter(each)) for each in conditions} == {
        "keyword", "sentiment", "channel", "human_requested", "business_hours", "tag",
    }  # fmt: skip
    for each in conditions:
        read_conditions(each)


async def test_the_whole_rule_is_taken(tenant: Tenant) -> None:
    (document,) = [json.loads(block) for block in BLOCKS if '"name"' in block]
    EscalationEventDocument.model_validate(document)
    made = await tenant.post("/escalation-events", document)
    assert (made["name"], made["cooldown"]) == (document["name"], document["cooldown"])


def test_paths_that_are_typed_exist() -> None:
    known = {(each.method, re.sub(r"\{\w+\}", "*", each.below_prefix)) for each in OPERATIONS}
    typed = {(method, re.sub(r"\$\w+", "*", path)) for method, path, _ in SENT}
    assert len(typed) >= 6
    assert typed <= known


@pytest.mark.parametrize("number", [MOST_IN_FORCE, MOST_KEYWORDS, MOST_RULES])
def test_limits_are_those_of_the_code(number: int) -> None:
    assert f"{number:,}" in PAGE


def test_channels_are_those_there_are() -> None:
    assert all(f"`{kind}`" in PAGE for kind in ChannelKind)


async def test_documents_that_are_typed_are_taken(tenant: Tenant) -> None:
    rule = ""
    for method, path, document in SENT:
        if not document:
            continue
        body = json.loads(document.replace("'$RULE'", rule))
        answer = await tenant.call(method, path.replace("$RULE", rule), body)
        assert answer.is_success, answer.text
        rule = answer.json()["id"] if path == "/escalation-events" else rule
