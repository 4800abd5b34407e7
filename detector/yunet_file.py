"""YuNet's model file: its address and hash, and a download that resumes and is checked before it is installed."""

import hashlib
import http.client
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

from crowdmood.core.errors import ModelError

SHA256: Final = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
SIZE_BYTES: Final = 232_589
URL: Final = (
    "https://github.com/opencv/opencv_zoo/raw/82b38c8f98e7b52aa171400f3e4c722352d0669f/models/face_detection_yunet/"
    "face_detection_yunet_2023mar.onnx"
)
"""OpenCV's model zoo, at the commit that added the file."""

_CHUNK_BYTES: Final = 64 * 1024
_TIMEOUT_S: Final = 30.0


def missing(file: Path | None) -> str:
    """Return the error text for a missing model."""
    return (
        f"YuNet's model does not exist ({file}): download it with `crowdmood models pull yunet`, set another path with "
        "CROWDMOOD_DETECTOR__YUNET_MODEL, or set CROWDMOOD_DETECTOR__KIND=haar"
    )


def pull(url: str, file: Path) -> bool:
    """Download the model, unless it is present.

    Args:
        url: The address, http:// or https://.
        file: The path; its folder is created.

    Returns:
        Whether anything was downloaded.

    Raises:
        ModelError: The address is unreachable, the transfer broke off (the partial file is kept for the next call), or
            the file is not the pinned model.
    """
    part = file.with_name(file.name + ".part")
    try:
        if file.is_file() and _is_genuine(file):
            return False
        file.parent.mkdir(parents=True, exist_ok=True)
        _download(url, part)
        if part.stat().st_size < SIZE_BYTES:
            raise ModelError(
                f"{url} broke off after {part.stat().st_size:,} of {SIZE_BYTES:,} bytes; run the command again to "
                "resume"
            )
        if not _is_genuine(part):
            part.unlink()
            raise ModelError(
                f"the file from {url} is not the pinned model (sha256 {SHA256}): nothing was installed; check "
                "CROWDMOOD_DETECTOR__YUNET_URL, and proxies between this machine and the server"
            )
        part.replace(file)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        raise ModelError(
            f"{url} cannot be downloaded ({reason}): run the command again with a network connection, or copy the file "
            f"to {file}"
        ) from None
    except OSError as error:
        raise ModelError(f"{file} cannot be written: {error.strerror}") from None
    return True


def _is_genuine(file: Path) -> bool:
    return file.stat().st_size == SIZE_BYTES and hashlib.sha256(file.read_bytes()).hexdigest() == SHA256


def _download(url: str, part: Path) -> None:
    """Append the missing bytes to `part`, and one byte more if the server sends it: then it is another file."""
    have = part.stat().st_size if part.is_file() else 0
    if have >= SIZE_BYTES:
        part.unlink()
        have = 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 (the setting allows only http and https)
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)  # nosec B310  # noqa: S310 (as above)
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)
        raise
    with response:
        content_range = response.headers.get("Content-Range", "")
        resumes = response.status == http.client.PARTIAL_CONTENT and content_range.startswith(f"bytes {have}-")
        with part.open("ab" if resumes else "wb") as out:
            left = SIZE_BYTES + 1 - out.tell()
            while left > 0 and (chunk := response.read(min(_CHUNK_BYTES, left))):
                out.write(chunk)
                left -= len(chunk)
