"""The dashboard and the alerts ask for what running processes really answer."""

import json
import re
from collections.abc import Iterator, Mapping

import pytest

from embedded.schema import CHECKOUT
from tests.telemetry.conftest import Watched

DEPLOY = CHECKOUT / "deploy"
OPERATIONS = CHECKOUT / "docs" / "operations.md"

OF_PROMETHEUS = {"up": {"job", "instance"}}
GIVEN_BY_SCRAPING = {"job", "instance"}

_ALERT = re.compile(r"- alert: (\w+)\n\s+expr: (?:\|\n)?(.*?)\n\s+for: ", re.DOTALL)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_SELECTOR = re.compile(r"([A-Za-z_:][\w:]*)\s*(?:\{([^}]*)\})?")
_BY = re.compile(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)")
_WORDS = {"and", "or", "unless", "bool", "offset"}


def dashboard() -> Iterator[tuple[str, str]]:
    """Every query with the title of its panel."""
    panels = json.loads((DEPLOY / "grafana" / "baton.json").read_text())["panels"]
    for panel in panels:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def alerts() -> Mapping[str, str]:
    """The expression of each alert."""
    return dict(_ALERT.findall((DEPLOY / "prometheus" / "alerts.yml").read_text()))


def asked(query: str) -> Iterator[tuple[str, set[str]]]:
    """Each metric of a query and the labels it is selected by. Functions are followed by a parenthesis."""
    plain = re.sub(r"\[[^\]]*\]", "", _BY.sub(" ", _QUOTED.sub('""', query)))
    for found in _SELECTOR.finditer(plain):
        name, matchers = found.groups()
        if name not in _WORDS and not plain[found.end() :].lstrip().startswith("("):
            yield name, set(re.findall(r"(\w+)\s*[=!]", matchers or ""))


def grouped(query: str) -> set[str]:
    """The labels a query groups by, but for those it makes itself."""
    names = {name.strip() for names in _BY.findall(query) for name in names.split(",") if name.strip()}
    return names - set(re.findall(r'label_replace\(.*?, "(\w+)"', query)) - {"le"}


QUERIES = [*dashboard(), *alerts().items()]


@pytest.fixture(scope="module")
def answered(watched: Watched) -> Mapping[str, set[str]]:
    """Each metric that a process exports, and its labels."""
    found: dict[str, set[str]] = {name: set(labels) for name, labels in OF_PROMETHEUS.items()}
    for samples in (watched.api, watched.worker):
        for name, labels, _ in samples.series():
            found.setdefault(name, set(GIVEN_BY_SCRAPING)).update(labels)
    return found


@pytest.mark.parametrize(("place", "query"), QUERIES, ids=[f"{place}-{n}" for n, (place, _) in enumerate(QUERIES)])
def test_query_asks_for_metrics_and_labels_that_there_are(
    answered: Mapping[str, set[str]], place: str, query: str
) -> None:
    metrics = list(asked(query))
    assert metrics, query
    for name, labels in metrics:
        assert name in answered, f"{place}: nobody exports {name}"
        assert labels <= answered[name], f"{place}: {name} has no label {labels - answered[name]}"
    everything = set[str]().union(*(answered[name] for name, _ in metrics))
    assert grouped(query) <= everything, f"{place}: no label {grouped(query) - everything}"


@pytest.mark.parametrize(
    ("query", "metrics", "groups"),
    [
        ('sum by (a, b) (rate(x_count{c="{d=1}", e!~"f"}[5m])) > 1', [("x_count", {"c", "e"})], {"a", "b"}),
        ("absent(x) and on () (up == 1)", [("x", set()), ("up", set())], set()),
        ('sum by (class) (label_replace(x, "class", "$1", "code", "(.)"))', [("x", set())], set()),
    ],
)
def test_queries_are_read_as_prometheus_reads_them(
    query: str, metrics: list[tuple[str, set[str]]], groups: set[str]
) -> None:
    assert [(name, labels) for name, labels in asked(query) if not name.isdigit()] == metrics
    assert grouped(query) == groups


def test_every_alert_is_explained_to_whoever_is_woken_by_it() -> None:
    names = list(alerts())
    assert len(names) >= 11
    explained = re.findall(r"^### (Baton\w+)$", OPERATIONS.read_text(), re.MULTILINE)
    assert explained == names


def test_panels_have_a_place_of_their_own() -> None:
    panels = json.loads((DEPLOY / "grafana" / "baton.json").read_text())["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_prometheus_looks_where_compose_lets_processes_listen() -> None:
    compose = (CHECKOUT / "docker-compose.yml").read_text()
    scraping = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
    for part in ("API", "WORKER"):
        (port,) = re.findall(rf'BATON_{part}_METRICS_PORT: "(\d+)"', compose)
        assert f"names: [{part.lower()}], type: A, port: {port}" in scraping
        assert f"job_name: baton-{part.lower()}\n" in scraping
