"""Write past moods as CSV, the oldest first: `python export_history.py http://127.0.0.1:8000 --zone home > moods.csv`.

A share that the network does not know, and every figure of a mood without enough people, is an empty cell.
"""

import argparse
import csv
import sys
from collections.abc import Iterator
from typing import Any

import httpx

FIGURES = (
    "people",
    "readable",
    "dominant",
    "valence",
    "valence_low",
    "valence_high",
    "energy",
    "energy_low",
    "energy_high",
)


def moods(http: httpx.Client, **wanted: str | None) -> Iterator[dict[str, Any]]:
    """Yield moods, the newest first, page by page; a page may be empty before the last one."""
    query = {name.rstrip("_"): value for name, value in wanted.items() if value is not None} | {"limit": "1000"}
    while True:
        reply = http.get("/moods", params=query)
        if reply.status_code != 200:
            sys.exit(f"HTTP {reply.status_code}: {reply.text}")
        page = reply.json()
        yield from page["moods"]
        if page["next"] is None:
            return
        query["cursor"] = page["next"]


def main() -> None:
    """Export what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("url")
    parser.add_argument("--key")
    parser.add_argument("--zone", help="default: the whole stadium")
    parser.add_argument("--from", dest="from_", metavar="TIME", help="RFC 3339, inclusive, as 2026-05-01T15:00:00Z")
    parser.add_argument("--to", metavar="TIME", help="exclusive")
    given = parser.parse_args()
    headers = {"Authorization": f"Bearer {given.key}"} if given.key else {}
    with httpx.Client(base_url=given.url, headers=headers, timeout=30.0) as http:
        found = list(moods(http, zone=given.zone, from_=given.from_, to=given.to))
    labels = next((list(mood["shares"]) for mood in found if mood["shares"]), [])
    table = csv.writer(sys.stdout)
    table.writerow(["as_of", "status", *FIGURES, *labels])
    for mood in reversed(found):
        shares = mood["shares"] or {}
        table.writerow([mood["as_of"], mood["status"], *(mood[name] for name in FIGURES), *map(shares.get, labels)])


if __name__ == "__main__":
    main()
