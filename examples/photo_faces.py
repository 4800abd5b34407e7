"""Print what the faces of an image show: `python photo_faces.py http://127.0.0.1:8000 IMAGE [KEY]`.

The image is classified as a camera's frame is, by the same workers. The service neither keeps nor counts it.
"""

import sys
from pathlib import Path

import httpx

TIMEOUT_S = 20.0
"""The workers get 5 s, and the image has to arrive."""


def main(url: str, image: str, key: str | None = None) -> None:
    """Print one line for each face, the largest first; exit with the reason when the API refuses the image."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    reply = httpx.post(f"{url}/predict", content=Path(image).read_bytes(), headers=headers, timeout=TIMEOUT_S)
    if reply.status_code != 200:
        sys.exit(f"HTTP {reply.status_code}: {reply.text}")
    found = reply.json()
    print(f"{len(found['faces'])} faces in {found['width']}x{found['height']}, found by {found['detector']}")
    for face in sorted(found["faces"], key=lambda face: face["box"][0] - face["box"][2]):
        left, top, right, bottom = face["box"]
        share = face["probabilities"].get(face["label"])
        sure = "" if share is None else f" {share:.0%}"  # of an unreadable face nothing is certain
        print(f"{left},{top} {right - left}x{bottom - top}: {face['label']}{sure}")


if __name__ == "__main__":
    main(*sys.argv[1:])
