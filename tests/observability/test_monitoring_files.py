"""The dashboard and the alert rules ask for nothing that a real server does not tell, and leave out nothing that it does."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import promql_parser
import pytest
import yaml

from fileplane.http.routes import OPERATIONS
from fileplane.metrics import METRICS
from support.collector import running_collector
from support.documents import ROOT, read, without_blocks
from support.expect import assert_file
from support.metrics import samples_at, samples_of, value_of
from support.polling import eventually
from support.promql import parse
from support.server import RunningServer, running_server

DASHBOARD = "deploy/grafana/fileplane.json"
ALERTS = "deploy/prometheus/alerts.yaml"
OF_PROMETHEUS = {"up": {"job", "instance"}}
OF_THE_TARGET = {"job", "instance"}
NOT_ON_THE_DASHBOARD: dict[str, str] = {}
"""Metrics that no panel shows, each with the reason."""
HANDLERS = {operation.handler.__name__ for operation in OPERATIONS}
"""Every value of the label ``operation``, of which one server here tells few."""


@dataclass(frozen=True)
class Expression:
    """Where it stands, and the labels that texts beside it show."""

    place: str
    text: str
    shown: frozenset[str]


def dashboard() -> dict[str, Any]:
    return json.loads(read(DASHBOARD))


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(read(ALERTS))["groups"] for rule in group["rules"]]


def expressions() -> Iterator[Expression]:
    for panel in panels():
        for target in panel["targets"]:
            yield Expression(panel["title"], target["expr"], frozenset(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])))
    for rule in rules():
        texts = " ".join(rule["annotations"].values())
        yield Expression(rule["alert"], rule["expr"], frozenset(re.findall(r"\$labels\.(\w+)", texts)))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, set[str]]]:
    """The names of all samples of a server that has been through everything, each with its labels and their values."""
    data_dir = tmp_path_factory.mktemp("told") / "data"
    options = {"janitor_interval_seconds": 0.2, "deleted_retention_seconds": 0, "metrics_interval_seconds": 0.2}
    with running_collector(status=400) as collector, running_server(data_dir, otlp_endpoint=collector.endpoint, **options) as server:
        go_through_everything(server)
        found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for name, labels in samples_of(server):
            found[name].update({label: found[name][label] | {value} for label, value in labels})
    return found


def go_through_everything(server: RunningServer) -> None:
    with server.client() as client:
        kept, deleted = (
            assert_file(client.post("/files", data={"purpose": "batch"}, files={"file": ("a.jsonl", b"no json\n")}))["id"] for _ in range(2)
        )
        client.get(f"/files/{kept}/content")
        client.get("/files/unknown")
        client.delete(f"/files/{deleted}")
        eventually(lambda: _counted(server, "fileplane_janitor_collected_files_total", kind="file"), "it is collected", seconds=10)
        for blob in server.data_dir.glob("blobs/[0-9a-f][0-9a-f]/*"):
            blob.unlink()
        assert client.get(f"/files/{kept}/content").status_code == 500
    eventually(lambda: _counted(server, "fileplane_trace_spans_total", outcome="failed"), "spans are lost", seconds=20)
    eventually(lambda: _counted(server, "fileplane_disk_size_bytes", disk="blobs"), "the disks are looked at", seconds=10)


def _counted(server: RunningServer, name: str, **labels: str) -> float:
    return value_of(samples_at(f"{server.url}/metrics", server.headers), name, **labels)


def labels_of(told: dict[str, dict[str, set[str]]], name: str) -> set[str]:
    return OF_PROMETHEUS[name] if name in OF_PROMETHEUS else set(told[name]) | OF_THE_TARGET


@pytest.mark.parametrize("expression", list(expressions()), ids=lambda expression: expression.place)
def test_every_metric_label_and_value_that_is_asked_for_is_told(told: dict[str, dict[str, set[str]]], expression: Expression):
    asked = parse(expression.text)
    assert asked.selected
    for selected in asked.selected:
        assert selected.name in told or selected.name in OF_PROMETHEUS, selected.name
        for label, operator, value in selected.matchers:
            assert label in labels_of(told, selected.name), (selected.name, label)
            if operator == promql_parser.MatchOp.Equal and label not in OF_THE_TARGET:
                assert value in told[selected.name][label], (selected.name, label, value)
    known = set().union(*(labels_of(told, selected.name) for selected in asked.selected))
    assert asked.grouped_by | expression.shown <= known


def test_every_value_that_a_pattern_names_is_told(told: dict[str, dict[str, set[str]]]):
    patterns = [
        (selected.name, label, value)
        for expression in expressions()
        for selected in parse(expression.text).selected
        for label, operator, value in selected.matchers
        if operator != promql_parser.MatchOp.Equal and "$" not in value
    ]
    assert patterns
    for name, label, pattern in patterns:
        for word in pattern.split("|"):
            assert word in told[name][label] | {"exported"} | (HANDLERS if label == "operation" else set()), (name, label, word)


def test_every_metric_of_the_table_is_on_the_dashboard_or_left_out_for_a_reason():
    shown = {selected.name for panel in panels() for target in panel["targets"] for selected in parse(target["expr"]).selected}
    shown |= {name.removesuffix(end) for name in shown for end in ("_bucket", "_sum", "_count")}
    names = {metric.name for metric in METRICS}
    assert names - shown == set(NOT_ON_THE_DASHBOARD)


def test_the_dashboard_can_be_imported_as_it_is():
    board = dashboard()
    assert {"uid", "title", "schemaVersion", "templating", "panels"} <= set(board)
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
    assert len(places) == len(set(places))
    variables = {variable["name"] for variable in board["templating"]["list"]} | {"__rate_interval", "__all"}
    assert set(re.findall(r"\$\{?(\w+)\}?", read(DASHBOARD))) <= variables
    for panel in panels():
        assert panel["datasource"]["uid"] == "${datasource}"
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])


def test_the_variables_of_the_dashboard_ask_for_what_is_told(told: dict[str, dict[str, set[str]]]):
    queries = [variable["definition"] for variable in dashboard()["templating"]["list"] if variable["type"] == "query"]
    assert queries
    for query in queries:
        match = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
        assert match is not None, query
        (selected,) = parse(match[1]).selected
        assert match[2] in labels_of(told, selected.name)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_alert_says_what_is_wrong_and_where_to_read_on(rule: dict[str, Any]):
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["description"].endswith(".")
    document, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^#{2,6} (.+)$", without_blocks(read(document)), re.MULTILINE)
    assert anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert anchor == f"alert-{rule['alert'].lower()}"


def test_every_runbook_is_that_of_an_alert():
    documented = re.findall(r"^#{2,6} Alert: (\w+)$", read("docs/operations.md"), re.MULTILINE)
    assert documented == [rule["alert"] for rule in rules()]
    assert (ROOT / ALERTS).is_file()


def test_no_alert_takes_a_client_that_sends_or_reads_slowly_for_a_slow_server() -> None:
    [slow] = [rule["expr"] for rule in rules() if rule.get("alert") == "FileplaneSlow"]
    left_out = re.search(r'operation!~"([^"]*)"', slow)
    assert left_out is not None
    with_form = {"upload_file", "add_part"}
    moving = {one.handler.__name__ for one in OPERATIONS if one.takes_bytes or one.answer == "application/octet-stream"}
    assert set(left_out[1].split("|")) == moving | with_form
