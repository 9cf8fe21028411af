"""The console pages in a browser. SINKSTREAM_SCREENSHOTS: a folder to keep the pictures in, as for docs/images."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import Watch, as_upstream

CHROMIUM = shutil.which("chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--virtual-time-budget=4000"]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here; scripts/setup --tests installs it")


def look(watch: Watch, page: str, folder: Path, *flags: str) -> str:
    """What chromium prints. The page's scripts have run for some seconds of their own time."""
    url = f"{watch.url}/consoles/{page}?instance={watch.instance}&range=120"
    ran = subprocess.run([CHROMIUM, *FLAGS, f"--user-data-dir={folder}", *flags, url], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize("page,charts", [("index", 9), ("instance", 18)])
def test_every_chart_is_drawn(watch, tmp_path, page, charts):
    document = look(watch, f"{page}.html", tmp_path, "--dump-dom")
    assert document.count('class="chart"') == charts
    assert document.count('class="rickshaw_legend"') == charts and "prom_graph_error" not in document.split("<body>")[1]


def test_every_chart_is_drawn_with_the_scripts_of_prometheus_own_builds(watch, tmp_path):
    with as_upstream(watch) as upstream:
        document = look(upstream, "index.html", tmp_path, "--dump-dom")
        assert document.count('class="rickshaw_legend"') == 9 and "prom_graph_error" not in document.split("<body>")[1]


@pytest.mark.parametrize("page,height", [("index", 890), ("instance", 1500)])
def test_a_picture_can_be_taken(watch, tmp_path, page, height):
    folder = Path(os.environ.get("SINKSTREAM_SCREENSHOTS", tmp_path)).resolve()
    picture = folder / f"console-{page}.png"
    look(watch, f"{page}.html", tmp_path / "profile", f"--window-size=1420,{height}", f"--screenshot={picture}")
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" and picture.stat().st_size > 20_000
