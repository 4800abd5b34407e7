"""Writes the two dashboards that Grafana is provisioned with, by Grafana's own library: run it after a change.

Every query is listed here once. A test runs each against a Prometheus that scrapes a real pipeline.
"""

from pathlib import Path
from typing import Final, TypeAlias

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.statetimeline import Panel as StateTimeline
from grafana_foundation_sdk.builders.timeseries import Panel as TimeSeries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DataSourceRef

DASHBOARDS: Final = Path(__file__).parent / "dashboards"
SOURCE: Final = DataSourceRef(type_val="prometheus", uid="prometheus")
"""As provisioning/datasources/prometheus.yml calls it."""

Query: TypeAlias = tuple[str, str]
"""What is asked, and how a line of the answer is called."""


def main() -> None:
    """Write both dashboards."""
    DASHBOARDS.mkdir(exist_ok=True)
    for dashboard in (match_day(), pipeline()):
        made = dashboard.build()
        text = JSONEncoder(sort_keys=True, indent=2).encode(made)
        (DASHBOARDS / f"{str(made.uid).removeprefix('crowdmood-')}.json").write_text(text + "\n")


def match_day() -> Dashboard:
    """For operators during a match: is every camera there, is the mood fresh."""
    return (
        _dashboard("match-day", "CrowdMood: match day")
        .with_row(Row("Now"))
        .with_panel(_stat("Alerts", ("count(ALERTS{alertstate='firing'}) or vector(0)", "firing")))
        .with_panel(_stat("Moods in the last minute", ("crowdmood:moods_published:increase1m", "")))
        .with_panel(_stat("Age of the newest mood", ("crowdmood:mood_age_seconds", ""), "s"))
        .with_panel(_stat("Processes up", ("sum by (job) (up)", "{{job}}")))
        .with_row(Row("Cameras"))
        .with_panel(
            StateTimeline()
            .title("Cameras that are down (1)")
            .datasource(SOURCE)
            .span(12)
            .height(8)
            .with_target(_query(("crowdmood:camera_down", "{{camera}}")))
        )
        .with_panel(
            StateTimeline()
            .title("Cameras that are frozen (1)")
            .datasource(SOURCE)
            .span(12)
            .height(8)
            .with_target(_query(("crowdmood:camera_frozen", "{{camera}}")))
        )
        .with_panel(_lines("Frames from each camera", "reqps", ("crowdmood:frames_ingested:rate1m", "{{camera}}")))
        .with_panel(_lines("Frames lost in five minutes", "short", ("crowdmood:frames_lost:increase5m", "{{reason}}")))
        .with_row(Row("Mood"))
        .with_panel(
            _lines(
                "Attempts to deliver webhooks, a minute",
                "short",
                ("sum by (outcome) (60 * rate(crowdmood_webhook_attempts_total[1m]))", "{{outcome}}"),
            )
        )
        .with_panel(
            _lines(
                "Moods a second, by status",
                "short",
                ("sum by (status) (rate(crowdmood_moods_total[1m]))", "{{status}}"),
            )
        )
        .with_panel(_lines("Overrides in force", "short", ("crowdmood:overrides", "overrides")))
        .with_panel(
            _lines(
                "Faces classified a second",
                "short",
                ('sum(rate(crowdmood_faces_total{stage="classifier"}[1m]))', "faces"),
            )
        )
    )


def pipeline() -> Dashboard:
    """For engineers who find out why it is slow, or wrong."""
    return (
        _dashboard("pipeline", "CrowdMood: pipeline internals")
        .with_row(Row("Load"))
        .with_panel(_lines("Stream entries", "short", ("crowdmood:stream_entries:max", "{{stream}}")))
        .with_panel(
            _lines("Messages a second", "short", ("sum by (stage) (rate(crowdmood_messages_total[1m]))", "{{stage}}"))
        )
        .with_panel(_lines("Time for one batch, 95th percentile", "s", ("crowdmood:work_seconds:p95_1m", "{{stage}}")))
        .with_panel(
            _lines(
                "Share of each worker's time at work",
                "percentunit",
                ("sum by (stage, instance) (rate(crowdmood_work_seconds_sum[1m]))", "{{stage}} {{instance}}"),
            )
        )
        .with_panel(
            _lines(
                "Faces in one call of the network, mean",
                "short",
                ("sum(rate(crowdmood_batch_faces_sum[1m])) / sum(rate(crowdmood_batch_faces_count[1m]))", "faces"),
            )
        )
        .with_panel(
            _lines("How certain the network is, mean", "percentunit", ("crowdmood:confidence:mean5m", "confidence"))
        )
        .with_row(Row("Trouble"))
        .with_panel(_lines("Dead letters in five minutes", "short", ("crowdmood:dead_letters:increase5m", "{{stage}}")))
        .with_panel(
            _lines(
                "Messages taken over from others",
                "short",
                ("sum by (stage) (increase(crowdmood_claimed_total[5m]))", "{{stage}}"),
            )
        )
        .with_panel(
            _lines(
                "Frames delivered again, and too late",
                "short",
                ("sum(increase(crowdmood_frames_duplicate_total[5m]))", "again"),
                ("sum(increase(crowdmood_frames_late_total[5m])) or vector(0)", "late"),
            )
        )
        .with_panel(
            _lines(
                "Reaches its server (1)", "short", ("min by (job, server) (crowdmood_server_up)", "{{job}} {{server}}")
            )
        )
        .with_panel(
            _lines("Networks in use", "short", ("sum by (model, engine) (crowdmood_model)", "{{model}} {{engine}}"))
        )
        .with_panel(
            _lines("Networks refused in 15 minutes", "short", ("crowdmood:models_refused:increase15m", "refused"))
        )
        .with_row(Row("Processes"))
        .with_panel(_lines("Cores", "short", ("sum by (job) (rate(process_cpu_seconds_total[1m]))", "{{job}}")))
        .with_panel(_lines("Memory", "bytes", ("sum by (job) (process_resident_memory_bytes)", "{{job}}")))
    )


def _dashboard(uid: str, title: str) -> Dashboard:
    return (
        Dashboard(title)
        .uid(f"crowdmood-{uid}")
        .tags(["crowdmood"])
        .refresh("5s")
        .time("now-30m", "now")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
    )


def _stat(title: str, query: Query, unit: str = "short") -> Stat:
    return Stat().title(title).unit(unit).decimals(0).datasource(SOURCE).span(6).height(5).with_target(_query(query))


def _lines(title: str, unit: str, *queries: Query) -> TimeSeries:
    panel = TimeSeries().title(title).unit(unit).min(0).datasource(SOURCE).span(12).height(8)
    for letter, query in zip("ABC", queries, strict=False):
        panel = panel.with_target(_query(query, letter))
    return panel


def _query(query: Query, letter: str = "A") -> Dataquery:
    expression, legend = query
    return Dataquery().expr(expression).legend_format(legend).ref_id(letter)


if __name__ == "__main__":
    main()
