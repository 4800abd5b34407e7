"""How much faster several workers are than one: `python -m detector.evaluation.workers FOLDER 1 2`.

Each worker is a process with a detector of its own, as in a real installation, and finds the faces of the same frames
from JPEG to crops; what loading costs is left out.
"""

import multiprocessing
import sys
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path

from crowdmood.settings import Settings, load
from detector.loading import load_finder
from detector.regions import Region

_FRAMES = 12
_LONGEST_LOAD_S = 120.0


def frames_per_second(photos: list[Path], workers: int, settings: Settings) -> float:
    """Frames that so many workers finish together in a second.

    Args:
        photos: JPEG files; every worker works on all of them. A camera's frames have one size: best the same one.
        workers: How many processes.
        settings: Which detector, and how it is set.
    """
    spawn = multiprocessing.get_context("spawn")
    start, end = spawn.Barrier(workers + 1), spawn.Barrier(workers + 1)
    processes = [spawn.Process(target=_work, args=(photos, settings, start, end)) for _ in range(workers)]
    for process in processes:
        process.start()
    start.wait(_LONGEST_LOAD_S)
    began = time.perf_counter()
    end.wait()
    seconds = time.perf_counter() - began
    for process in processes:
        process.join()
    return workers * len(photos) / seconds


def _work(photos: list[Path], settings: Settings, start: Barrier, end: Barrier) -> None:
    finder = load_finder(settings)
    frames = [photo.read_bytes() for photo in photos]
    for frame in frames:
        finder.find(frame, Region())
    start.wait(_LONGEST_LOAD_S)
    for frame in frames:
        finder.find(frame, Region())
    end.wait()


def _main(folder: Path, counts: list[int]) -> None:
    photo = next(file for file in sorted((folder / "images").iterdir()) if file.suffix == ".jpg")
    photos = [photo] * _FRAMES
    settings = load()
    load_finder(settings)  # what is wrong is said here, once
    for workers in counts:
        print(f"{workers} worker(s): {frames_per_second(photos, workers, settings):.2f} frames/s")


if __name__ == "__main__":
    _main(Path(sys.argv[1]), [int(word) for word in sys.argv[2:]] or [1])
