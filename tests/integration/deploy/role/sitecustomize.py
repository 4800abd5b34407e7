"""Makes a Python process see what a role's container sees: its own dependencies, and a file system that is read-only.

Python imports this at its start where the folder is on PYTHONPATH.
"""

import errno
import os
import sys
from importlib.abc import MetaPathFinder

ABSENT = set(os.environ["TEST_ABSENT_MODULES"].split(","))
WRITABLE = ("/tmp/", "/dev/", "/proc/")  # the tmpfs and what the kernel gives every container
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class _Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"{name} is not in this role's image", name=name)


def _refuse_writing(event, arguments):
    if event == "open":
        path, _, flags = arguments
        writes = bool(flags & _WRITING)
    elif event in ("os.mkdir", "os.remove", "os.rename"):
        path, writes = arguments[0], True
    else:
        return
    if writes and isinstance(path, str) and not path.startswith(WRITABLE):
        raise OSError(errno.EROFS, "Read-only file system", path)


sys.meta_path.insert(0, _Absent())
sys.addaudithook(_refuse_writing)
