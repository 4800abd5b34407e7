"""What figures are computed from: exponents, latencies, processor time, and the needs of a stadium."""

from pathlib import Path

import pytest

from benchmarks import capacity
from benchmarks.capacity import Stadium, needs
from benchmarks.growth import exponent, steepest
from benchmarks.live import first_mood_after
from benchmarks.processes import Cost, Usage, spent


@pytest.mark.parametrize(
    ("costs", "overall", "last"),
    [
        ([2, 20, 200], 1.0, 1.0),  # proportional
        ([7, 7, 7], 0.0, 0.0),  # constant
        ([1, 1, 100], 1.0, 2.0),  # a constant part hides the growth of small sizes
    ],
)
def test_the_last_exponent_shows_growth_that_a_constant_part_hides(
    costs: list[float], overall: float, last: float
) -> None:
    assert exponent([1, 10, 100], costs) == pytest.approx(overall)
    assert steepest([1, 10, 100], costs) == pytest.approx(last)


def test_latency_is_from_the_capture_to_the_first_mood_whose_window_ends_after_it() -> None:
    #  windows end:   10      11      12
    #  first seen:      10.4    11.3    12.9
    first_seen = [(10.4, 10.0), (11.3, 11.0), (12.9, 12.0)]
    captured = [9.0, 10.0, 10.9, 11.5, 12.0]  # the last one is in no window yet: a window does not hold its own end
    assert first_mood_after(captured, first_seen) == pytest.approx([1.4, 1.3, 0.4, 1.4])
    assert first_mood_after([9.0], []) == []


def test_processor_time_of_the_workers_of_a_command_is_added_up() -> None:
    before = {"detect-0": Usage(2.0, 1, 1), "detect-1": Usage(3.0, 1, 1), "bus": Usage(1.0, 1, 1)}
    after = {"detect-0": Usage(4.0, 1, 1), "detect-1": Usage(3.5, 1, 1), "bus": Usage(1.25, 1, 1)}
    assert spent(before, after | {"ingest-0": Usage(1.0, 1, 1)}) == {"detect": 2.5, "bus": 0.25, "ingest": 1.0}


def test_costs_of_stages_are_added_up_part_by_part() -> None:
    one = Cost(2.0, 1.0, {"redis": 0.5, "messages": 0.25, "jpeg": 0.0})
    both = one + Cost(3.0, 0.5, {"redis": 0.5, "messages": 0.0, "jpeg": 1.0})
    assert (both.whole_s, both.redis_s, both.coding_s) == (6.5, 2.5, 1.25)


def test_a_stadium_needs_the_cost_of_its_frames_interpolated_between_measured_ones() -> None:
    def measured(faces: float) -> dict[str, float]:
        stages = {"ingest": 50, "detector": 500, "classifier": 0.1 * faces, "aggregator": 0.01 * faces}
        return {"faces found": faces, "of it servers, ms": 20, "JPEG, MB": 1, "faces, MB": 0.002 * faces} | {
            f"{name}, ms a frame": ms for name, ms in stages.items()
        }

    row = needs([measured(1000), measured(3000)], Stadium(60_000, 40, 2))  # 1,500 faces a frame, 80 frames a second
    assert row["faces/s"] == 120_000
    assert row["detector, cores"] == pytest.approx(40)
    assert row["classifier, cores"] == pytest.approx(12)
    assert row["cores to buy, 70% busy"] == 82  # 4 + 40 + 12 + 1.2 are busy
    assert row["of them Redis"] == pytest.approx(1.6)
    assert row["Redis shards"] == 3
    assert row["Gbit/s into the bus"] == pytest.approx(80 * (1 + 3 + 0.054) * 8 / 1000)


def test_the_capacity_page_shows_the_table_of_the_committed_results() -> None:
    assert capacity.page() in (Path(__file__).parents[3] / "docs" / "capacity.md").read_text()
