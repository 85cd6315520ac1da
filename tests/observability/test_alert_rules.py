"""The alert rules as Prometheus itself evaluates them: each fires when it should, and none does over a healthy server."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from support.debian import require_program
from support.documents import ROOT, read

ALERTS = "deploy/prometheus/alerts.yaml"
MINUTES = 240
LABELS = 'job="fileplane",instance="a"'
HEALTHY = {
    "up{@}": "1",
    "fileplane_start_timestamp_seconds{@}": "0",
    "fileplane_workers{@}": "2",
    "fileplane_worker_starts_total{@}": "2",
    "fileplane_janitor_interval_seconds{@}": "60",
    "fileplane_janitor_last_success_timestamp_seconds{@}": "0+60",
    "fileplane_janitor_failures_total{@}": "0",
    "fileplane_integrity_failures_total{@,kind='missing_blob',source='read'}": "0",
    "fileplane_requests_total{@,operation='list_files',status_class='2xx'}": "0+600",
    "fileplane_requests_total{@,operation='list_files',status_class='5xx'}": "0+1",
    "fileplane_requests_total{@,operation='ready',status_class='5xx'}": "0+60",
    "fileplane_request_duration_seconds_bucket{@,operation='list_files',status_class='2xx',le='1.0'}": "0+600",
    "fileplane_request_duration_seconds_bucket{@,operation='list_files',status_class='2xx',le='5.0'}": "0+601",
    "fileplane_request_duration_seconds_bucket{@,operation='list_files',status_class='2xx',le='+Inf'}": "0+601",
    "fileplane_request_duration_seconds_bucket{@,operation='upload_file',status_class='2xx',le='1.0'}": "0",
    "fileplane_request_duration_seconds_bucket{@,operation='upload_file',status_class='2xx',le='300.0'}": "0+60",
    "fileplane_request_duration_seconds_bucket{@,operation='upload_file',status_class='2xx',le='+Inf'}": "0+60",
    "fileplane_disk_free_bytes{@,disk='blobs'}": "50",
    "fileplane_disk_size_bytes{@,disk='blobs'}": "100",
    "fileplane_min_free_disk_bytes{@}": "5",
    "fileplane_scrub_interval_seconds{@}": "3600",
    "fileplane_scrub_bytes_per_second{@}": "100",
    "fileplane_scrub_last_completed_timestamp_seconds{@}": "0+60",
    "fileplane_stored_bytes{@}": "1000",
    "fileplane_live_files{@}": "1",
    "fileplane_deleted_files{@}": "0",
    "fileplane_storage_last_observed_timestamp_seconds{@}": "0+60",
    "fileplane_trace_spans_total{@,outcome='exported'}": "0+60",
    "fileplane_trace_spans_total{@,outcome='failed'}": "0",
}
"""Series as they are every minute: a value, or the first one and by how much it grows. ``@`` stands for the target's labels."""

TROUBLE = {
    "FileplaneDown": {"up{@}": "0"},
    "FileplaneErrors": {"fileplane_requests_total{@,operation='list_files',status_class='5xx'}": "0+60"},
    "FileplaneSlow": {"fileplane_request_duration_seconds_bucket{@,operation='list_files',status_class='2xx',le='1.0'}": "0+500"},
    "FileplaneDiskNearlyFull": {"fileplane_disk_free_bytes{@,disk='blobs'}": "9"},
    "FileplaneDiskFull": {"fileplane_disk_free_bytes{@,disk='blobs'}": "4", "fileplane_disk_size_bytes{@,disk='blobs'}": "10"},
    "FileplaneIntegrityFailure": {"fileplane_integrity_failures_total{@,kind='missing_blob',source='read'}": "0x200 1"},
    "FileplaneJanitorNotSucceeding": {"fileplane_janitor_last_success_timestamp_seconds{@}": "0"},
    "FileplaneJanitorFailing": {"fileplane_janitor_failures_total{@}": "0+1"},
    "FileplaneScrubOverdue": {"fileplane_scrub_last_completed_timestamp_seconds{@}": "60"},
    "FileplaneStorageNotObserved": {"fileplane_storage_last_observed_timestamp_seconds{@}": "60"},
    "FileplaneWorkersRestarting": {"fileplane_worker_starts_total{@}": "0+1"},
    "FileplaneTracesLost": {"fileplane_trace_spans_total{@,outcome='failed'}": "0+60"},
}
SILENT = {
    "a janitor that is turned off": {
        "fileplane_janitor_interval_seconds{@}": "0",
        "fileplane_janitor_last_success_timestamp_seconds{@}": "0",
    },
    "a scrub that is turned off": {
        "fileplane_scrub_interval_seconds{@}": "0",
        "fileplane_scrub_bytes_per_second{@}": "0",
        "fileplane_scrub_last_completed_timestamp_seconds{@}": "0",
    },
    "more files than the scrub reads in a day": {
        "fileplane_stored_bytes{@}": "10000000",
        "fileplane_scrub_last_completed_timestamp_seconds{@}": "0",
    },
    "a restart": {"fileplane_worker_starts_total{@}": "2x210 2"},
    "a collector that is not used": {"fileplane_trace_spans_total{@,outcome='failed'}": "_"},
}


def firing(tmp_path: Path, series: dict[str, str]) -> str:
    """What promtool finds to fire in the end, or an empty text where that is nothing."""
    promtool = require_program("promtool", "prometheus")
    inputs = [{"series": name.replace("@", LABELS).replace("'", '"'), "values": f"{value}x{MINUTES}"} for name, value in series.items()]
    expected = {"expr": 'count by (alertname) (ALERTS{alertstate="firing"})', "eval_time": f"{MINUTES}m", "exp_samples": []}
    test = {"interval": "1m", "input_series": inputs, "promql_expr_test": [expected]}
    path = tmp_path / "test.yaml"
    path.write_text(json.dumps({"rule_files": [str(ROOT / ALERTS)], "evaluation_interval": "1m", "tests": [test]}), "utf-8")
    done = subprocess.run([promtool, "test", "rules", str(path)], capture_output=True, text=True, timeout=120, check=False)
    output = done.stdout + done.stderr
    assert ("got:" in output) == (done.returncode != 0), output
    return "" if done.returncode == 0 else output.partition("got:")[2].strip()


@pytest.mark.full
def test_promtool_finds_nothing_wrong_with_the_rules():
    promtool = require_program("promtool", "prometheus")
    done = subprocess.run([promtool, "check", "rules", str(ROOT / ALERTS)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_every_alert_has_a_trouble_that_it_is_tried_with():
    assert set(TROUBLE) == {rule["alert"] for group in yaml.safe_load(read(ALERTS))["groups"] for rule in group["rules"]}


@pytest.mark.full
@pytest.mark.parametrize("alert", TROUBLE)
def test_an_alert_fires_at_its_trouble_and_no_other_does(tmp_path: Path, alert: str):
    assert firing(tmp_path, HEALTHY | TROUBLE[alert]) == f'{{alertname="{alert}"}} 1E+00'


@pytest.mark.full
@pytest.mark.parametrize("case", ["a healthy server", *SILENT])
def test_none_fires_at_what_is_no_trouble(tmp_path: Path, case: str):
    assert firing(tmp_path, HEALTHY | SILENT.get(case, {})) == ""
