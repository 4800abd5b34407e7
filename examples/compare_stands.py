"""Print which of two stands is more excited: `python compare_stands.py http://127.0.0.1:8000 home away [KEY]`.

One is, where the 90 % intervals of their energy do not overlap. Anything else is level: a board that shows the larger
figure would change by chance.
"""

import sys
import time
from typing import Any

import httpx

PERIOD_S = 1.0


def compare(one: dict[str, Any], other: dict[str, Any]) -> str:
    """Return the zone with more energy, `level`, or `not known` where a mood is missing, stale or of too few people."""
    if any(mood["status"] != "ok" or mood["energy"] is None for mood in (one, other)):
        return "not known"
    for more, less in ((one, other), (other, one)):
        if more["energy_low"] > less["energy_high"]:
            return str(more["zone"])
    return "level"


def main(url: str, one: str, other: str, key: str | None = None) -> None:
    """Print the result whenever it changes."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    shown = ""
    with httpx.Client(base_url=url, headers=headers, timeout=5.0) as http:
        while True:
            try:
                replies = [http.get("/mood", params={"zone": zone}) for zone in (one, other)]
            except httpx.HTTPError:
                result = "not known"
            else:
                for reply in replies:
                    if 400 <= reply.status_code < 500 and reply.status_code != 429:
                        sys.exit(f"HTTP {reply.status_code}: {reply.text}")
                fine = all(reply.status_code == 200 for reply in replies)
                result = compare(replies[0].json(), replies[1].json()) if fine else "not known"
            if result != shown:
                print(result, flush=True)
                shown = result
            time.sleep(PERIOD_S)


if __name__ == "__main__":
    main(*sys.argv[1:])
