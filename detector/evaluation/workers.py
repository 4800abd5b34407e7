"""How much faster several workers are than one: `python -m detector.evaluation.workers FOLDER 1 2`.

Each worker is a process with a detector of its own, as in a real installation, and finds the faces of the same frames
from JPEG to crops; what loading costs is left out. Needs a free core for each worker, and says how many they got.
"""

import multiprocessing
import sys
import time
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

from crowdmood.core.settings import Settings, load
from detector.loading import load_finder
from detector.regions import Region

_FRAMES = 12
_LONGEST_LOAD_S = 120.0
_LONGEST_WORK_S = 600.0


@dataclass(frozen=True, slots=True)
class Rate:
    """What so many workers do together.

    Attributes:
        frames_per_s: Frames that are finished in a second.
        cores: Processor time they take in a second, all together, in seconds: how many cores they keep busy.
        ready: Share of its time in which the thread that does a worker's work ran, or stood in line for a core that
            somebody else had; of the worker with the least. Below 1 it waited for something else, as for another
            worker. 0 where the system does not tell.
    """

    frames_per_s: float
    cores: float
    ready: float


def measure(photos: list[Path], workers: int, settings: Settings) -> Rate:
    """Let workers work side by side.

    Args:
        photos: JPEG files; every worker works on all of them. A camera's frames have one size: best the same one.
        workers: How many processes.
        settings: Which detector, and how it is set.
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
    """How long our busiest thread has run or could have run since it began, in seconds, as Linux counts it."""
    times_ns = (map(int, file.read_text().split()[:2]) for file in Path("/proc/self/task").glob("*/schedstat"))
    return max((ran + in_line for ran, in_line in times_ns), default=0.0) / 1e9


def _main(folder: Path, counts: list[int]) -> None:
    photo = next(file for file in sorted((folder / "images").iterdir()) if file.suffix == ".jpg")
    settings = load()
    finder = load_finder(settings)  # what is wrong is said here, once
    print(f"{finder.detector.name}, {photo.name}, {settings.detector.threads} thread(s) a worker")
    for workers in counts:
        rate = measure([photo] * _FRAMES, workers, settings)
        print(f"{workers} worker(s): {rate.frames_per_s:.2f} frames/s on {rate.cores:.2f} cores")


if __name__ == "__main__":
    _main(Path(sys.argv[1]), [int(word) for word in sys.argv[2:]] or [1])
