"""Grafana's dashboards for sinkstream: the JSON under dashboards/ is what this makes.

    python deploy/grafana/dashboards.py [FOLDER]    writes fleet.json and instance.json into FOLDER (default: dashboards/ beside this)
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, heatmap, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (BigValueColorMode, LegendDisplayMode, LegendPlacement, StackingMode,
                                                  TooltipDisplayMode)
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DataSourceRef, VariableRefresh, VariableSort
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
FLEET = 'job=~"$job"'
INSTANCE = 'job=~"$job", instance="$instance"'


@dataclass(frozen=True)
class Line:
    """An expression and the name of its series; {{label}} in the name is a label's value."""

    name: str
    expression: str


def query(line: Line, letter: str = "A", *, instant: bool = False, as_heatmap: bool = False) -> prometheus.Dataquery:
    built = prometheus.Dataquery().expr(line.expression).legend_format(line.name).datasource(SOURCE).ref_id(letter)
    if as_heatmap:
        built.format(PromQueryFormat.HEATMAP)
    return built.instant() if instant else built.range()


def figure(title: str, expression: str, unit: str = "short") -> stat.Panel:
    """One number as it is now. Units are Grafana's names: s, bytes, percentunit, short."""
    return (stat.Panel().title(title).datasource(SOURCE).unit(unit).height(4).span(4)
            .color_mode(BigValueColorMode.NONE).with_target(query(Line("", expression), instant=True)))


def chart(title: str, description: str, lines: list[Line], unit: str = "short", stacked: bool = False) -> timeseries.Panel:
    legend = (common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
              .show_legend(True))
    panel = (timeseries.Panel().title(title).description(description).datasource(SOURCE).unit(unit).min(0).height(8).span(8)
             .legend(legend).tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI)).fill_opacity(10))
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL)).fill_opacity(40)
    for letter, line in zip("ABCDEF", lines):
        panel.with_target(query(line, letter))
    return panel


def heat(title: str, metric: str, scope: str, unit: str = "s") -> heatmap.Panel:
    """Where in a histogram's buckets the cases fall, as time goes on."""
    cases = Line("{{le}}", f"sum by (le) (increase({metric}_bucket{{{scope}}}[$__rate_interval]))")
    return (heatmap.Panel().title(title).datasource(SOURCE).calculate(False).height(8).span(8)
            .color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Blues").steps(32))
            .y_axis(heatmap.YAxisConfig().unit(unit)).show_tooltip()
            .with_target(query(cases, as_heatmap=True)))


def summed(expression: str, by: str) -> str:
    return f"sum by ({by}) ({expression})" if by else f"sum({expression})"


def rate(metric: str, scope: str, by: str = "") -> str:
    """A second, of a counter."""
    return summed(f"rate({metric}{{{scope}}}[$__rate_interval])", by)


def total(metric: str, scope: str, by: str = "") -> str:
    """As it is now, of a gauge."""
    return summed(f"{metric}{{{scope}}}", by)


def mean(metric: str, scope: str, by: str = "") -> str:
    return f"{rate(f'{metric}_sum', scope, by)} / {rate(f'{metric}_count', scope, by)}"


def quantile(share: float, metric: str, scope: str) -> str:
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', scope, 'le')})"


def quantiles(metric: str, scope: str) -> list[Line]:
    return [Line(name, quantile(share, metric, scope)) for name, share in (("50 %", 0.5), ("95 %", 0.95), ("99 %", 0.99))]


FIRST_TOKEN = "sinkstream_time_to_first_token_seconds"
TOKEN_GAP = "sinkstream_inter_token_latency_seconds"
QUEUE = "sinkstream_turn_queue_seconds"
FAULTS = 'scope=~"request|stream", code=~"INTERNAL|UNKNOWN|DATA_LOSS"'


def overview(scope: str) -> list[stat.Panel]:
    requests = f"({rate('sinkstream_turns_total', scope)} + {rate('sinkstream_appends_total', scope)})"
    return [
        figure("Ready", total("sinkstream_ready", scope)),
        figure("Sessions, of their limit",
               f"{total('sinkstream_sessions', scope)} / {total('sinkstream_sessions_limit', scope)}", "percentunit"),
        figure("Tokens a second", rate("sinkstream_generated_tokens_total", scope)),
        figure("First token, 50 %", quantile(0.5, FIRST_TOKEN, scope), "s"),
        figure("First token, 99 %", quantile(0.99, FIRST_TOKEN, scope), "s"),
        figure("Between tokens, 99 %", quantile(0.99, TOKEN_GAP, scope), "s"),
        figure("Requests failed by the server", f"{rate('sinkstream_errors_total', f'{scope}, {FAULTS}')} / {requests}",
               "percentunit"),
        figure("Refused a second", rate("sinkstream_admission_rejections_total", scope)),
        figure("KV memory used", f"{total('sinkstream_kv_used_bytes', scope)} / {total('sinkstream_kv_limit_bytes', scope)}",
               "percentunit"),
        figure("Evicted tokens a second", rate("sinkstream_evicted_tokens_total", scope)),
        figure("Attention to the sinks", mean("sinkstream_pinned_attention_ratio", scope), "percentunit"),
        figure("Bad logits", total("sinkstream_nonfinite_logits_total", scope)),
    ]


def sessions(scope: str) -> list[timeseries.Panel]:
    return [
        chart("Sessions", "By state: a request runs, its reader is behind, a stream is attached, none is, on disk.",
              [Line("{{state}}", total("sinkstream_sessions", scope, "state"))], stacked=True),
        chart("Opened, resumed", "A second.", [Line("opened", rate("sinkstream_sessions_opened_total", scope)),
                                               Line("resumed", rate("sinkstream_sessions_resumed_total", scope))]),
        chart("Closed", "A second, by reason.", [Line("{{reason}}", rate("sinkstream_sessions_closed_total", scope, "reason"))]),
    ]


def latency(scope: str) -> list:
    return [
        chart("Time to first token", "From a turn's arrival.", quantiles(FIRST_TOKEN, scope), "s"),
        chart("Between tokens", "As they are handed to their stream.", quantiles(TOKEN_GAP, scope), "s"),
        chart("Wait for a place in a step", "From a turn's arrival.", quantiles(QUEUE, scope), "s"),
        heat("Time to first token", FIRST_TOKEN, scope),
        heat("Between tokens", TOKEN_GAP, scope),
        heat("Turns, from arrival to end", "sinkstream_turn_duration_seconds", scope),
    ]


def scheduler(scope: str) -> list:
    return [
        chart("Tokens a second", "Generated, read, scored.",
              [Line(name, rate(f"sinkstream_{name}_tokens_total", scope)) for name in ("generated", "prompt", "scored")]),
        chart("Requests", "Turns and appends.", [Line("running", total("sinkstream_running_requests", scope)),
                                                 Line("waiting", total("sinkstream_waiting_requests", scope))]),
        chart("A step's time", "Seconds a second, by what it goes to.",
              [Line("{{phase}}", rate("sinkstream_step_phase_seconds_total", scope, "phase"))], "s", stacked=True),
        chart("A step's tokens", "Mean, of prompts and of replies.",
              [Line("{{phase}}", mean("sinkstream_step_rows", scope, "phase"))]),
        chart("Guessed tokens", "A second: fed as guesses at what a reply says next, and whether they were right.",
              [Line("{{outcome}}", rate("sinkstream_guessed_tokens_total", scope, "outcome"))]),
        heat("Steps", "sinkstream_step_seconds", scope),
        heat("Replies in a step", "sinkstream_step_rows", f'{scope}, phase="decode"', "short"),
    ]


def memory(scope: str) -> list[timeseries.Panel]:
    return [
        chart("KV memory", "What holds tokens, what is reserved for open sessions, all there is.",
              [Line(name, total(f"sinkstream_kv_{name}_bytes", scope)) for name in ("used", "reserved", "limit")], "bytes"),
        chart("KV blocks", "By use.", [Line("{{use}}", total("sinkstream_kv_blocks", scope, "use"))], stacked=True),
        chart("Evicted tokens", "A second: those that left their session's window.",
              [Line("evicted", rate("sinkstream_evicted_tokens_total", scope))]),
        chart("Shared system prompts", "New sessions a second that have one, and that found it read already.",
              [Line("asked", rate("sinkstream_shared_prefix_lookups_total", scope)),
               Line("found", rate("sinkstream_shared_prefix_hits_total", scope))]),
        chart("Parked", "Caches of idle sessions on disk.", [Line("parked", total("sinkstream_parked_bytes", scope)),
                                                            Line("limit", total("sinkstream_parked_limit_bytes", scope))],
              "bytes"),
        chart("Saved to disk, loaded", "A second, by outcome.",
              [Line("{{op}} {{outcome}}", rate("sinkstream_park_operations_total", scope, "op, outcome"))]),
    ]


def model(scope: str) -> list[timeseries.Panel]:
    return [
        chart("Attention to the sinks", "Mean part of its attention that a token pays to the pinned tokens.",
              [Line("mean", mean("sinkstream_pinned_attention_ratio", scope))], "percentunit"),
        chart("Surprise", "Mean negative log-likelihood of sampled tokens, in nats.",
              [Line("mean", mean("sinkstream_generated_nll_nats", scope))]),
        chart("Bad logits", "Rows with NaN or infinity, a second.",
              [Line("rows", rate("sinkstream_nonfinite_logits_total", scope))]),
    ]


def streams(scope: str) -> list[timeseries.Panel]:
    return [
        chart("Refused", "A second, by reason.",
              [Line("{{reason}}", rate("sinkstream_admission_rejections_total", scope, "reason"))]),
        chart("Turns", "A second, by how they end.",
              [Line("{{finish_reason}}", rate("sinkstream_turns_total", scope, "finish_reason"))]),
        chart("Errors told", "A second, by gRPC's code.", [Line("{{code}}", rate("sinkstream_errors_total", scope, "code"))]),
        chart("Messages refused", "A second, by reason.",
              [Line("{{reason}}", rate("sinkstream_messages_rejected_total", scope, "reason"))]),
        chart("Streams", "Alive, and the most there may be.", [Line("alive", total("sinkstream_streams", scope)),
                                                               Line("limit", total("sinkstream_streams_limit", scope))]),
        chart("Readers that are behind", "Events that wait, and pauses of sessions a second.",
              [Line("events", total("sinkstream_outbound_events", scope)),
               Line("pauses", rate("sinkstream_decode_pauses_total", scope))]),
    ]


def process(scope: str) -> list[timeseries.Panel]:
    each = "{{instance}}"
    return [
        chart("Resident memory", "", [Line(each, total("process_resident_memory_bytes", scope, "instance"))], "bytes"),
        chart("CPUs", "In use.", [Line(each, rate("process_cpu_seconds_total", scope, "instance"))]),
        chart("Threads, open files", "", [Line("threads", total("process_threads", scope)),
                                          Line("files", total("process_open_fds", scope))]),
    ]


def servers(scope: str) -> list[timeseries.Panel]:
    """Side by side, to see which one is unlike the others."""
    each = "{{instance}}"
    return [
        chart("Sessions", "Of each server.", [Line(each, total("sinkstream_sessions", scope, "instance"))], stacked=True),
        chart("Tokens a second", "Generated by each server.",
              [Line(each, rate("sinkstream_generated_tokens_total", scope, "instance"))]),
        chart("First token, 95 %", "Of each server.",
              [Line(each, f"histogram_quantile(0.95, {rate(f'{FIRST_TOKEN}_bucket', scope, 'instance, le')})")], "s"),
    ]


def variables(with_instance: bool) -> list:
    def labels(name: str, label: str, expression: str) -> dashboard.QueryVariable:
        return (dashboard.QueryVariable(name).label(label).datasource(SOURCE).query(expression)
                .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_ASC))

    job = labels("job", "Job", "label_values(sinkstream_ready, job)").include_all(True).all_value(".+")
    chosen = [dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"), job]
    if with_instance:
        chosen.append(labels("instance", "Server", 'label_values(sinkstream_ready{job=~"$job"}, instance)'))
    return chosen


def assemble(uid: str, title: str, rows: dict[str, list], with_instance: bool) -> dict:
    built = (dashboard.Dashboard(title).uid(uid).tags(["sinkstream"]).timezone("browser").time("now-1h", "now").refresh("15s")
             .tooltip(DashboardCursorSync.CROSSHAIR).readonly().variables(variables(with_instance)))
    number = 0
    for name, panels in rows.items():
        number += 1
        built.with_row(dashboard.Row(name).id(number))
        for panel in panels:
            number += 1
            built.with_panel(panel.id(number))
    return built.build()


def fleet() -> dict:
    return assemble("sinkstream-fleet", "sinkstream: all servers", {
        "Overview": overview(FLEET), "Servers": servers(FLEET), "Sessions": sessions(FLEET), "Latency": latency(FLEET),
        "Admission and streams": streams(FLEET), "Process": process(FLEET)}, with_instance=False)


def instance() -> dict:
    return assemble("sinkstream-instance", "sinkstream: one server", {
        "Overview": overview(INSTANCE), "Sessions": sessions(INSTANCE), "Latency": latency(INSTANCE),
        "Scheduler": scheduler(INSTANCE), "KV memory": memory(INSTANCE), "Model": model(INSTANCE),
        "Admission and streams": streams(INSTANCE), "Process": process(INSTANCE)}, with_instance=True)


def text_of(built) -> str:
    return JSONEncoder(sort_keys=True, indent=1).encode(built) + "\n"


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "dashboards"
    for name, built in (("fleet", fleet()), ("instance", instance())):
        (folder / f"{name}.json").write_text(text_of(built))


if __name__ == "__main__":
    main()
