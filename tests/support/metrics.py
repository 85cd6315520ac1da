"""What a running server counts, as numbers."""

from __future__ import annotations

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from support.server import RunningServer

Sample = tuple[str, frozenset[tuple[str, str]]]


def samples_at(url: str, headers: dict[str, str] | None = None) -> dict[Sample, float]:
    """Every sample at an address, by name and labels."""
    answer = httpx2.get(url, headers=headers, trust_env=False, timeout=20)
    assert answer.status_code == 200, answer.text
    families = text_string_to_metric_families(answer.text)
    return {(sample.name, frozenset(sample.labels.items())): sample.value for family in families for sample in family.samples}


def samples_of(server: RunningServer) -> dict[Sample, float]:
    """As the API tells them to an organisation's key."""
    return samples_at(f"{server.url}/metrics", server.headers)


def value_of(samples: dict[Sample, float], name: str, **labels: str) -> float:
    """One sample, 0 when there is none."""
    return samples.get((name, frozenset(labels.items())), 0.0)
