"""Grafana's dashboards for sinkstream: the JSON under dashboards/ is what this makes.

    python deploy/grafana/dashboards.py [FOLDER]    writes fleet.json and instance.json into FOLDER (default: dashboards/ beside this)
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (BigValueColorMode, LegendDisplayMode, LegendPlacement, StackingMode,
                                                  TooltipDisplayMode)
from grafana_foundation_sdk.models.dashboard import (DashboardCursorSync, DataSourceRef, DataTransformerConfig, Threshold,
                                                     ThresholdsMode, VariableRefresh, VariableSort)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
FLEET = 'job=~"$job"'
INSTANCE = 'job=~"$job", instance="$instance"'
# Of figures, which are of now: long enough to tell something where little happens.
RECENTLY = "5m"


@dataclass(frozen=True)
class Line:
    """An expression and the name of its series; {{label}} in the name is a label's value."""

    name: str
    expression: str


def query(line: Line, letter: str = "A", *, instant: bool = False,
          form: PromQueryFormat = PromQueryFormat.TIME_SERIES) -> prometheus.Dataquery:
    built = prometheus.Dataquery().expr(line.expression).legend_format(line.name).datasource(SOURCE).ref_id(letter).format(form)
    return built.instant() if instant else built.range()


def figure(title: str, expression: str, unit: str = "short", *, orange: float | None = None, red: float | None = None,
           green: float | None = None) -> stat.Panel:
    """One number as it is now. Units are Grafana's names: s, bytes, percentunit, short. It is orange, red from there on; with
    `green`, red until there; without any of them it has no colour."""
    steps = [Threshold(color="green" if green is None else "red")]
    steps += [Threshold(color=color, value=value)
              for color, value in (("orange", orange), ("red", red), ("green", green)) if value is not None]
    colored = len(steps) > 1
    return (stat.Panel().title(title).datasource(SOURCE).unit(unit).height(4).span(3)
            .color_mode(BigValueColorMode.BACKGROUND if colored else BigValueColorMode.NONE)
            .thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
            .with_target(query(Line("", expression), instant=True)))


def alerts(scope: str) -> table.Panel:
    """What fires now; nothing where all is well."""
    firing = Line("", f'ALERTS{{alertstate="firing", {scope}}}')
    hidden = {name: True for name in ("Time", "Value", "__name__", "alertstate", "job")}
    return (table.Panel().title("Firing alerts").description("docs/operations.md, \"Alerts\", says what to do.").datasource(SOURCE)
            .height(5).span(24).no_value("None").with_target(query(firing, instant=True, form=PromQueryFormat.TABLE))
            .with_transformation(DataTransformerConfig(id_val="organize", options={"excludeByName": hidden})))


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
            .with_target(query(cases, form=PromQueryFormat.HEATMAP)))


def summed(expression: str, by: str) -> str:
    return f"sum by ({by}) ({expression})" if by else f"sum({expression})"


def rate(metric: str, scope: str, by: str = "", window: str = "$__rate_interval") -> str:
    """A second, of a counter."""
    return summed(f"rate({metric}{{{scope}}}[{window}])", by)


def total(metric: str, scope: str, by: str = "") -> str:
    """As it is now, of a gauge."""
    return summed(f"{metric}{{{scope}}}", by)


def mean(metric: str, scope: str, by: str = "", window: str = "$__rate_interval") -> str:
    return f"{rate(f'{metric}_sum', scope, by, window)} / {rate(f'{metric}_count', scope, by, window)}"


def quantile(share: float, metric: str, scope: str, window: str = "$__rate_interval") -> str:
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', scope, 'le', window)})"


def quantiles(metric: str, scope: str) -> list[Line]:
    return [Line(name, quantile(share, metric, scope)) for name, share in (("50 %", 0.5), ("95 %", 0.95), ("99 %", 0.99))]


# Objectives of deploy/prometheus/rules/recording.yaml, in seconds and as a part.
FIRST_TOKEN_WITHIN, TOKEN_GAP_WITHIN, FAULTS_WITHIN = 2.5, 0.3, 0.001
FIRST_TOKEN = "sinkstream_time_to_first_token_seconds"
TOKEN_GAP = "sinkstream_inter_token_latency_seconds"
QUEUE = "sinkstream_turn_queue_seconds"
UNANSWERED = "sinkstream_unanswered_turn_seconds"
SERVER_CODES = 'code=~"INTERNAL|UNKNOWN|DATA_LOSS"'
FAULTS, STREAM_FAULTS = f'scope=~"request|stream", {SERVER_CODES}', f'scope="stream", {SERVER_CODES}'


def overview(scope: str) -> list:
    def recent(metric: str, more: str = "") -> str:
        return rate(metric, f"{scope}{more}", window=RECENTLY)

    def part(metric: str, of: str) -> str:
        return f"{total(metric, scope)} / {total(of, scope)}"

    # Of servers that know their limit: it is 0 while the model loads.
    known = f"(sinkstream_memory_limit_bytes{{{scope}}} > 0)"
    memory = f"sum(process_resident_memory_bytes{{{scope}}} and on (job, instance) {known}) / sum{known}"

    # As in the recording rules: a stream that fails by itself is a request.
    requests = (f"({recent('sinkstream_turns_total')} + {recent('sinkstream_appends_total')}"
                f" + {recent('sinkstream_errors_total', f', {STREAM_FAULTS}')})")
    return [
        figure("Servers down", f"count(up{{{scope}}}) - sum(up{{{scope}}})", red=1),
        figure("Ready, of all servers", f"{total('sinkstream_ready', scope)} / count(up{{{scope}}})", "percentunit", green=1),
        figure("Alerts firing", f'count(ALERTS{{alertstate="firing", {scope}}}) or vector(0)', orange=1),
        figure("First token, 50 %", quantile(0.5, FIRST_TOKEN, scope, RECENTLY), "s", red=FIRST_TOKEN_WITHIN),
        figure("First token, 99 %", quantile(0.99, FIRST_TOKEN, scope, RECENTLY), "s", red=FIRST_TOKEN_WITHIN),
        figure("Between tokens, 50 %", quantile(0.5, TOKEN_GAP, scope, RECENTLY), "s", red=TOKEN_GAP_WITHIN),
        figure("Between tokens, 99 %", quantile(0.99, TOKEN_GAP, scope, RECENTLY), "s", red=TOKEN_GAP_WITHIN),
        figure("Failed by the server", f"{recent('sinkstream_errors_total', f', {FAULTS}')} / {requests}", "percentunit",
               red=FAULTS_WITHIN),
        figure("Sessions, of their limit", part("sinkstream_sessions", "sinkstream_sessions_limit"), "percentunit", orange=0.7, red=0.9),
        figure("KV memory used", part("sinkstream_kv_used_bytes", "sinkstream_kv_limit_bytes"), "percentunit"),
        figure("Refused a second", recent("sinkstream_admission_rejections_total"), orange=1 / 60),
        figure("Tokens a second", recent("sinkstream_generated_tokens_total")),
        figure("Evicted tokens a second", recent("sinkstream_evicted_tokens_total")),
        figure("Attention to the sinks", mean("sinkstream_pinned_attention_ratio", scope, window=RECENTLY), "percentunit"),
        figure("Bad logits in an hour", f"sum(increase(sinkstream_nonfinite_logits_total{{{scope}}}[1h]))", red=1),
        figure("Memory, of its limit", memory, "percentunit", red=1),
        alerts(scope),
    ]


def sessions(scope: str) -> list:
    return [
        chart("Sessions", "By state: a request runs, a reader is behind, a stream is attached, none is, on disk.",
              [Line("{{state}}", total("sinkstream_sessions", scope, "state"))], stacked=True),
        chart("Opened, resumed", "A second.", [Line("opened", rate("sinkstream_sessions_opened_total", scope)),
                                               Line("resumed", rate("sinkstream_sessions_resumed_total", scope))]),
        chart("Closed", "A second, by reason.", [Line("{{reason}}", rate("sinkstream_sessions_closed_total", scope, "reason"))]),
        heat("Lives of sessions", "sinkstream_session_duration_seconds", scope),
    ]


def latency(scope: str) -> list:
    late = f'{scope}, le="{FIRST_TOKEN_WITHIN}"'
    return [
        chart("Time to first token", "From a turn's arrival.", quantiles(FIRST_TOKEN, scope), "s"),
        chart("Between tokens", "As they are handed to their stream.", quantiles(TOKEN_GAP, scope), "s"),
        chart("Wait for a place in a step", "From a turn's arrival.", quantiles(QUEUE, scope), "s"),
        heat("Time to first token", FIRST_TOKEN, scope),
        heat("Between tokens", TOKEN_GAP, scope),
        heat("Wait for a place in a step", QUEUE, scope),
        heat("Turns, from arrival to end", "sinkstream_turn_duration_seconds", scope),
        chart("Turns without a token", "A second: given up, or failed, before the first one; and of these, those that had waited for long.",
              [Line("all", rate(f"{UNANSWERED}_count", scope)),
               Line("late", f'{rate(f"{UNANSWERED}_count", scope)} - {rate(f"{UNANSWERED}_bucket", late)}')]),
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
        chart("Steps", "A second, by outcome.", [Line("{{outcome}}", rate("sinkstream_steps_total", scope, "outcome"))]),
        chart("The step at hand", "How long it has run, and from when on it is stuck.",
              [Line("step", f"max(sinkstream_step_in_flight_seconds{{{scope}}})"),
               Line("limit", f"max(sinkstream_stuck_step_limit_seconds{{{scope}}})")], "s"),
        heat("Steps", "sinkstream_step_seconds", scope),
        heat("Replies in a step", "sinkstream_step_rows", f'{scope}, phase="decode"', "short"),
    ]


def memory(scope: str) -> list:
    return [
        chart("KV memory", "What holds tokens, the most that has, what is reserved for open sessions and can be, all there is.",
              [Line(name.replace("_", " "), total(f"sinkstream_kv_{name}_bytes", scope))
               for name in ("used", "peak", "reserved", "sessions_limit", "limit")], "bytes"),
        chart("KV blocks", "By use.", [Line("{{use}}", total("sinkstream_kv_blocks", scope, "use"))], stacked=True),
        chart("Tokens in memory", "That sessions see: sinks and windows.", [Line("tokens", total("sinkstream_kv_tokens", scope))]),
        chart("Evicted tokens", "A second: those that left their session's window.",
              [Line("evicted", rate("sinkstream_evicted_tokens_total", scope))]),
        chart("Evicted blocks", "A second: those that windows have moved past, and those that went back to the pool, which are as many.",
              [Line(name, rate(f"sinkstream_kv_blocks_{name}_total", scope)) for name in ("evicted", "freed")]),
        chart("Shared system prompts", "New sessions a second that have one, and that found it read already.",
              [Line("asked", rate("sinkstream_shared_prefix_lookups_total", scope)),
               Line("found", rate("sinkstream_shared_prefix_hits_total", scope))]),
        chart("Parked", "Caches of idle sessions on disk.", [Line("parked", total("sinkstream_parked_bytes", scope)),
                                                            Line("limit", total("sinkstream_parked_limit_bytes", scope))],
              "bytes"),
        chart("Saved to disk, loaded", "A second, by outcome.",
              [Line("{{op}} {{outcome}}", rate("sinkstream_park_operations_total", scope, "op, outcome"))]),
        heat("Time to save or load", "sinkstream_park_seconds", scope),
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


def admission(scope: str) -> list[timeseries.Panel]:
    return [
        chart("Refused", "A second, by reason.",
              [Line("{{reason}}", rate("sinkstream_admission_rejections_total", scope, "reason"))]),
        chart("Turns", "A second, by how they end.",
              [Line("{{finish_reason}}", rate("sinkstream_turns_total", scope, "finish_reason"))]),
        chart("Appends", "A second, by how they end.", [Line("{{outcome}}", rate("sinkstream_appends_total", scope, "outcome"))]),
    ]


def grpc(scope: str) -> list[timeseries.Panel]:
    return [
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
        chart("Age", "Since the process started.", [Line(each, f"time() - {total('process_start_time_seconds', scope, 'instance')}")], "s"),
        chart("CPUs", "In use.", [Line(each, rate("process_cpu_seconds_total", scope, "instance"))]),
        chart("Threads", "Of the process, and those of them that compute.",
              [Line("all", total("process_threads", scope)), Line("{{pool}}", total("sinkstream_threads", scope, "pool"))]),
        chart("Open files", "And the most there may be.", [Line("open", total("process_open_fds", scope)),
                                                           Line("limit", total("process_max_fds", scope))]),
        chart("Certificate", "Until the one in force expires; 0 where nothing is encrypted.",
              [Line(each, f"clamp_min({total('sinkstream_tls_certificate_expiry_seconds', scope, 'instance')} - time(), 0)")], "s"),
        chart("Security files", "1 while certificate, key and tokens are those of their files.",
              [Line(each, total("sinkstream_security_files_current", scope, "instance"))]),
        chart("Log", "Lines a second, by level, and those that were lost.",
              [Line("{{level}}", rate("sinkstream_log_lines_total", scope, "level")),
               Line("lost", rate("sinkstream_log_lines_dropped_total", scope))]),
        chart("Distributions that nobody has read yet", "And the most of them.",
              [Line("unread", total("sinkstream_distribution_bytes", scope)),
               Line("limit", total("sinkstream_distribution_limit_bytes", scope))], "bytes"),
    ]


def servers(scope: str) -> list[timeseries.Panel]:
    """Side by side, to see which one is unlike the others; a line leads to the dashboard of its server."""
    each = "{{instance}}"
    link = (dashboard.DashboardLink("This server").url(
        "/d/sinkstream-instance?var-datasource=${datasource}&${job:queryparam}&var-instance=${__field.labels.instance}&${__url_time_range}"))
    charts = [
        chart("Up", "1: Prometheus reads it.", [Line(each, f"up{{{scope}}}")]),
        chart("Sessions", "Of each server.", [Line(each, total("sinkstream_sessions", scope, "instance"))], stacked=True),
        chart("Tokens a second", "Generated by each server.",
              [Line(each, rate("sinkstream_generated_tokens_total", scope, "instance"))]),
        chart("First token, 95 %", "Of each server.",
              [Line(each, f"histogram_quantile(0.95, {rate(f'{FIRST_TOKEN}_bucket', scope, 'instance, le')})")], "s"),
    ]
    return [built.data_links([link]) for built in charts]


def variables(with_instance: bool) -> list:
    def labels(name: str, label: str, expression: str) -> dashboard.QueryVariable:
        return (dashboard.QueryVariable(name).label(label).datasource(SOURCE).query(expression)
                .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_ASC))

    job = labels("job", "Job", "label_values(sinkstream_ready, job)").include_all(True)
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
        "Admission": admission(FLEET), "gRPC": grpc(FLEET), "Process": process(FLEET)}, with_instance=False)


def instance() -> dict:
    return assemble("sinkstream-instance", "sinkstream: one server", {
        "Overview": overview(INSTANCE), "Sessions": sessions(INSTANCE), "Latency": latency(INSTANCE),
        "Scheduler": scheduler(INSTANCE), "KV memory": memory(INSTANCE), "Model": model(INSTANCE),
        "Admission": admission(INSTANCE), "gRPC": grpc(INSTANCE), "Process": process(INSTANCE)}, with_instance=True)


def text_of(built) -> str:
    return JSONEncoder(sort_keys=True, indent=1).encode(built) + "\n"


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "dashboards"
    for name, built in (("fleet", fleet()), ("instance", instance())):
        (folder / f"{name}.json").write_text(text_of(built))


if __name__ == "__main__":
    main()
