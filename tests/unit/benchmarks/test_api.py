"""Reports of wrk."""

import pytest

from benchmarks.api import Measured, parse

REPORT = """\
Running 5s test @ http://127.0.0.1:8000/mood
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     6.93ms    2.10ms  79.06ms   95.26%
    Req/Sec     4.68k   613.05     5.11k    88.00%
  Latency Distribution
     50%    6.51ms
     75%    6.98ms
     90%    8.02ms
     99%   13.00ms
  23310 requests in 5.01s, 28.83MB read
Requests/sec:   4653.87
Transfer/sec:      5.76MB
"""


@pytest.mark.parametrize(("written", "p99_ms"), [("13.00ms", 13.0), ("980.00us", 0.98), ("1.20s", 1200.0)])
def test_rate_and_99th_percentile_are_read(written: str, p99_ms: float) -> None:
    assert parse(REPORT.replace("13.00ms", written)) == Measured(4653.87, pytest.approx(p99_ms))


@pytest.mark.parametrize(
    "report",
    [
        "",
        REPORT + "  Non-2xx or 3xx responses: 3\n",
        REPORT + "  Socket errors: connect 0, read 4, write 0, timeout 0\n",
    ],
)
def test_a_report_with_errors_is_refused(report: str) -> None:
    with pytest.raises(ValueError, match="did not measure good answers"):
        parse(report)
