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

from crowdmood.settings import Settings, load
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
    """

    frames_per_s: float
    cores: float


def measure(photos: list[Path], workers: int, settings: Settings) -> Rate:
    """Let workers work side by side.

    Args:
        photos: JPEG files; every worker works on all of them. A camera's frames have one size: best the same one.
        workers: How many processes.
        settings: Which detector, and how it is set.
    """
    spawn = multiprocessing.get_context("spawn")
    start = spawn.Barrier(workers + 1)
    used_s: Queue[float] = spawn.Queue()
    processes = [spawn.Process(target=_work, args=(photos, settings, start, used_s)) for _ in range(workers)]
    for process in processes:
        process.start()
    start.wait(_LONGEST_LOAD_S)
    began = time.perf_counter()
    total_s = sum(used_s.get(timeout=_LONGEST_WORK_S) for _ in processes)
    seconds = time.perf_counter() - began
    for process in processes:
        process.join()
    return Rate(workers * len(photos) / seconds, total_s / seconds)


def _work(photos: list[Path], settings: Settings, start: Barrier, used_s: "Queue[float]") -> None:
    finder = load_finder(settings)
    frames = [photo.read_bytes() for photo in photos]
    for frame in frames:
        finder.find(frame, Region())
    start.wait(_LONGEST_LOAD_S)
    began_s = time.process_time()
    for frame in frames:
        finder.find(frame, Region())
    used_s.put(time.process_time() - began_s)


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
