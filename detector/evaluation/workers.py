"""Measures the rate of several workers: `python -m detector.evaluation.workers FOLDER 1 2`.

Each worker is a process with its own detector, as in a real installation. All process the same frames, from JPEG to
crops; loading is not measured. Each worker needs a free core; the output says how many cores they got.
"""

import multiprocessing
import sys
import time
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

from crowdmood.core.settings import Settings, load
from detector.finder import load_finder
from detector.regions import Region

_FRAMES = 12
_LONGEST_LOAD_S = 120.0
_LONGEST_WORK_S = 600.0


@dataclass(frozen=True, slots=True)
class Rate:
    """The rate of a number of workers together.

    Attributes:
        frames_per_s: Frames per second.
        cores: Processor time per second, in seconds: the number of cores that the workers keep busy.
        ready: Share of the time in which the busiest thread of a worker ran or was runnable; the lowest of all workers.
            Below 1, it waited for something else than a core, such as another worker. 0 if the system does not report
            it.
    """

    frames_per_s: float
    cores: float
    ready: float


def measure(photos: list[Path], workers: int, settings: Settings) -> Rate:
    """Run workers side by side.

    Args:
        photos: JPEG files, all processed by every worker. Use one size, as a camera does.
        workers: Number of processes.
        settings: The detector and its settings.
    """
    spawn = multiprocessing.get_context("spawn")
    start = spawn.Barrier(workers + 1)
    used: Queue[tuple[float, float]] = spawn.Queue()
    processes = [spawn.Process(target=_work, args=(photos, settings, start, used)) for _ in range(workers)]
    for process in processes:
        process.start()
    start.wait(_LONGEST_LOAD_S)
    began = time.perf_counter()
    by_worker = [used.get(timeout=_LONGEST_WORK_S) for _ in processes]
    seconds = time.perf_counter() - began
    for process in processes:
        process.join()
    return Rate(
        workers * len(photos) / seconds,
        sum(busy_s for busy_s, _ in by_worker) / seconds,
        min(ready for _, ready in by_worker),
    )


def _work(photos: list[Path], settings: Settings, start: Barrier, used: "Queue[tuple[float, float]]") -> None:
    finder = load_finder(settings)
    frames = [photo.read_bytes() for photo in photos]
    for frame in frames:
        finder.find(frame, Region())
    start.wait(_LONGEST_LOAD_S)
    began_s, busy_s, ready_s = time.perf_counter(), time.process_time(), _ready_s()
    for frame in frames:
        finder.find(frame, Region())
    seconds = time.perf_counter() - began_s
    used.put((time.process_time() - busy_s, (_ready_s() - ready_s) / seconds))


def _ready_s() -> float:
    """Return how long the busiest thread of this process ran or was runnable, in seconds, as reported by Linux."""
    times_ns = (map(int, file.read_text().split()[:2]) for file in Path("/proc/self/task").glob("*/schedstat"))
    return max((ran + in_line for ran, in_line in times_ns), default=0.0) / 1e9


def _main(folder: Path, counts: list[int]) -> None:
    photo = next(file for file in sorted((folder / "images").iterdir()) if file.suffix == ".jpg")
    settings = load()
    finder = load_finder(settings)  # report an error once, before the workers start
    print(f"{finder.detector.name}, {photo.name}, {settings.detector.threads} thread(s) a worker")
    for workers in counts:
        rate = measure([photo] * _FRAMES, workers, settings)
        print(f"{workers} worker(s): {rate.frames_per_s:.2f} frames/s on {rate.cores:.2f} cores")


if __name__ == "__main__":
    _main(Path(sys.argv[1]), [int(word) for word in sys.argv[2:]] or [1])
