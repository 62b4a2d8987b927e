"""What the pages about clusters tell people to type is what the code and the compose file know."""

import re

import pytest

from settings import PREFIX, SECRETS_DIR_VARIABLE, Settings
from tests.deploy.compose import CHECKOUT, Compose, read
from workflows.registration import WANTED, type_name

PAGES = {name: (CHECKOUT / "docs" / name).read_text() for name in ("cluster.md", "encryption.md")}


@pytest.fixture(scope="module")
def compose() -> Compose:
    return read()


@pytest.mark.parametrize("page", PAGES)
def test_variables_are_known(page: str) -> None:
    settings = {PREFIX + name.upper() for name in Settings.model_fields} | {SECRETS_DIR_VARIABLE}
    file = (CHECKOUT / "docker-compose.yml").read_text()
    chosen = set(re.findall(r"\$\{(BATON_\w+):-", file))
    assert set(re.findall(r"BATON_[A-Z_]+[A-Z]", PAGES[page])) <= settings | chosen
    assert set(re.findall(r"TEMPORAL_CODEC_\w+", PAGES[page])) <= set(re.findall(r"TEMPORAL_CODEC_\w+", file))


def test_search_attributes_for_temporal_cloud_are_those_that_tickets_have() -> None:
    told = dict(re.findall(r'--search-attribute "(\w+)=(\w+)"', PAGES["cluster.md"]))
    assert told == {name: type_name(kind) for name, kind in WANTED.items()}


def test_every_secret_is_explained(compose: Compose) -> None:
    for name in compose.document["secrets"]:
        assert f"`{name}`" in PAGES["cluster.md"]


def test_services_that_are_named_exist(compose: Compose) -> None:
    for name in ("temporal-schema", "temporal", "temporal-namespace"):
        assert f"`{name}`" in PAGES["cluster.md"]
        assert name in compose.services


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([\w./-]+)\)", PAGES[page]):
        assert (CHECKOUT / "docs" / target).exists()
