"""Rules and dashboards by themselves: they are sound, each alert is tried both ways, and each tells what to do."""

import re
import subprocess
import sys

import pytest

from sources import GRAFANA, PROMETHEUS, ROOT, RULES, dashboards, panels, rule_tests, rules, selectors


def promtool(*arguments) -> None:
    ran = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_prometheus_takes_the_settings_and_the_rules():
    promtool("check", "config", PROMETHEUS / "prometheus.yaml")
    promtool("check", "rules", *RULES)


def test_alerts_fire_when_they_should_and_at_no_other_time():
    promtool("test", "rules", *sorted((PROMETHEUS / "tests").glob("*.yaml")))


@pytest.mark.parametrize("alert", [rule["alert"] for rule in rules("alert")])
def test_each_alert_is_tried_firing_and_not_firing(alert):
    tried = [case for test in rule_tests() for case in test.get("alert_rule_test", []) if case["alertname"] == alert]
    silent = [case for test in rule_tests() for case in test.get("promql_expr_test", [])
              for names in re.findall(r'alertname=~?"([^"]+)"', case["expr"])
              if not case["exp_samples"] and re.fullmatch(names, alert)]
    assert any(case["exp_alerts"] for case in tried)
    assert silent or any(not case["exp_alerts"] or len(case["exp_alerts"]) < len(instances(case)) for case in tried)


def instances(case: dict) -> set[str]:
    """The servers that a case's test has series of."""
    [test] = [test for test in rule_tests() if case in test.get("alert_rule_test", [])]
    return set(re.findall(r'instance="(\w+)"', str(test["input_series"])))


@pytest.mark.parametrize("rule", rules("alert"), ids=lambda rule: rule["alert"])
def test_each_alert_says_how_urgent_it_is_and_what_to_do(rule):
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"] and rule["annotations"]["description"]
    file, anchor = rule["annotations"]["runbook"].split("#")
    headings = re.findall(r"^#+ (\w+)$", (ROOT / file).read_text(), flags=re.MULTILINE)
    assert anchor in [heading.lower() for heading in headings]
    assert anchor == rule["alert"].lower()


def test_what_is_asked_for_is_in_the_list_of_metrics():
    listed = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/metrics.md").read_text(), flags=re.MULTILINE)) | {"up"}
    asked = [target["expr"] for dashboard in dashboards().values() for panel in panels(dashboard) for target in panel["targets"]]
    asked += [rule["expr"] for kind in ("record", "alert") for rule in rules(kind)]
    asked += [file.read_text() for folder in ("consoles", "console_libraries") for file in (PROMETHEUS / folder).iterdir()]
    named = {re.match(r"\w+", selector)[0] for expression in asked for selector in selectors(expression)}
    templates = set(re.findall(r'define "(\w+)"', (PROMETHEUS / "console_libraries/sinkstream.lib").read_text()))
    of_histograms = {f"{name}_{part}" for name in listed for part in ("bucket", "sum", "count")}
    assert named - templates <= listed | of_histograms


def test_dashboards_are_what_their_code_makes(tmp_path):
    subprocess.run([sys.executable, str(GRAFANA / "dashboards.py"), str(tmp_path)], check=True)
    for made in ("fleet.json", "instance.json"):
        assert (tmp_path / made).read_text() == (GRAFANA / "dashboards" / made).read_text(), f"run {GRAFANA / 'dashboards.py'}"


def test_every_metric_of_the_server_is_drawn():
    """But what is told once, and what another one holds."""
    listed = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/metrics.md").read_text(), flags=re.MULTILINE))
    drawn = "".join(target["expr"] for panel in panels(dashboards()["instance"]) for target in panel["targets"])
    elsewhere = {"sinkstream_build_info", "sinkstream_model_info", "sinkstream_kv_session_bytes",
                 "sinkstream_shared_prefix_tokens_total", "sinkstream_park_transfer_bytes_total", "process_virtual_memory_bytes"}
    assert {metric for metric in listed if metric not in drawn} == elsewhere


@pytest.mark.parametrize("name", ["fleet", "instance"])
def test_panels_have_numbers_and_places_of_their_own(name):
    board = dashboards()[name]
    numbers = [panel["id"] for panel in board["panels"]]
    places = [tuple(panel["gridPos"].values()) for panel in board["panels"]]
    assert board["uid"] == f"sinkstream-{name}"
    assert len(set(numbers)) == len(numbers) and len(set(places)) == len(places)


def test_failures_are_told_as_a_part_of_all_that_can_fail():
    """Streams that fail while nobody has a turn are not infinitely many of none."""
    for dashboard in dashboards().values():
        [panel] = [panel for panel in panels(dashboard) if panel["title"] == "Failed by the server"]
        _, requests = panel["targets"][0]["expr"].split(" / ")
        assert re.search(r'sinkstream_errors_total\{[^}]*scope="stream", code=~"INTERNAL\|UNKNOWN\|DATA_LOSS"', requests)


def test_all_jobs_are_those_of_the_servers():
    """A value for All would be every job of a Prometheus that reads others too."""
    for dashboard in dashboards().values():
        [job] = [variable for variable in dashboard["templating"]["list"] if variable["name"] == "job"]
        assert job["includeAll"] and "allValue" not in job and job["query"] == "label_values(sinkstream_ready, job)"
