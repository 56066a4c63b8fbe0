"""What /metrics tells, of one process and of several."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.metrics import SHARED, Metrics
from tests.serving import serving

WORKER = """
from app.metrics import Metrics
made = Metrics()
made.request("/recommend", "POST", 200, 0.002)
made.bundle("old")
made.bundle("new")
made.state_up.set(1)
"""


def test_one_process_tells_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SHARED, raising=False)
    made = Metrics()
    made.request("/recommend", "POST", 200, 0.002)
    made.answered("popular", degraded=True)
    made.answered(None, degraded=False)
    made.stage("rank", 0.001)
    for version in ("old", "old", "new"):
        made.bundle(version)
    text = made.text().decode()
    for line in (
        'polyrank_requests_total{method="POST",route="/recommend",status="200"} 1.0',
        'polyrank_request_seconds_bucket{le="0.002",route="/recommend"} 1.0',
        'polyrank_stage_seconds_count{stage="rank"} 1.0',
        'polyrank_fallbacks_total{fallback="popular"} 1.0',
        "polyrank_degraded_total 1.0",
        'polyrank_bundle_info{version="new"} 1.0',
    ):
        assert line in text
    assert 'version="old"' not in text


def test_several_processes_are_told_together(tmp_path: Path) -> None:
    import os

    env = {**os.environ, SHARED: str(tmp_path)}
    for _ in range(2):
        subprocess.run([sys.executable, "-c", WORKER], env=env, check=True)
    code = "import sys; from app.metrics import Metrics; sys.stdout.write(Metrics().text().decode())"
    text = subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True).stdout
    assert 'polyrank_requests_total{method="POST",route="/recommend",status="200"} 2.0' in text
    assert text.count('version="new"} 1.0') == 2


def test_every_route_is_counted_by_its_template_and_its_status() -> None:
    with serving() as client:
        client.get("/items/i1")
        client.get("/items/nowhere")
        client.post("/recommend", json={"n": 0})
        answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    for line in (
        'polyrank_requests_total{method="GET",route="/items/{item_id}",status="200"} 1.0',
        'polyrank_requests_total{method="GET",route="/items/{item_id}",status="404"} 1.0',
        'polyrank_requests_total{method="POST",route="/recommend",status="422"} 1.0',
        "polyrank_catalogue_items 60.0",
        "polyrank_state_up 1.0",
    ):
        assert line in answer.text
