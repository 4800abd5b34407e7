"""Fetches YuNet's model: resumed where it broke off, checked byte for byte, and never half there under its name."""

import http.client
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

from crowdmood.core.errors import ModelError
from detector.yunet_file import SHA256, SIZE_BYTES, is_genuine

_CHUNK_BYTES: Final = 64 * 1024
_TIMEOUT_S: Final = 30.0
_PARTIAL: Final = 206
_NOTHING_LEFT: Final = 416


def pull(url: str, file: Path) -> bool:
    """Fetch the model unless it is there already.

    Args:
        url: Where it is, http:// or https://.
        file: Where it goes; its folder is made.

    Returns:
        Whether anything was fetched.

    Raises:
        ModelError: It cannot be reached, broke off (what came is kept for the next try), or is not the pinned model.
    """
    part = file.with_name(file.name + ".part")
    try:
        if file.is_file() and is_genuine(file):
            return False
        file.parent.mkdir(parents=True, exist_ok=True)
        _fetch(url, part)
        if part.stat().st_size < SIZE_BYTES:
            raise ModelError(
                f"{url} broke off after {part.stat().st_size:,} of {SIZE_BYTES:,} bytes: what came is kept, run the "
                "command again to go on"
            )
        if not is_genuine(part):
            part.unlink()
            raise ModelError(
                f"what {url} gave is not the pinned model (sha256 {SHA256}): nothing was installed; check "
                "CROWDMOOD_DETECTOR__YUNET_URL, or what stands between you and it"
            )
        part.replace(file)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        raise ModelError(
            f"{url} cannot be fetched ({reason}): run the command again when the network is there, or bring the file "
            f"by hand to {file}"
        ) from None
    except OSError as error:
        raise ModelError(f"{file} cannot be written: {error.strerror}") from None
    return True


def _fetch(url: str, part: Path) -> None:
    """Append to `part` what is missing of it; one byte more than there should be shows that it is something else."""
    have = part.stat().st_size if part.is_file() else 0
    if have >= SIZE_BYTES:
        part.unlink()
        have = 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 (the setting admits http and https alone)
    try:
        answer = urllib.request.urlopen(request, timeout=_TIMEOUT_S)  # nosec B310  # noqa: S310 (as above)
    except urllib.error.HTTPError as error:
        if error.code == _NOTHING_LEFT:
            part.unlink(missing_ok=True)
        raise
    with answer:
        goes_on = answer.status == _PARTIAL and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        with part.open("ab" if goes_on else "wb") as out:
            left = SIZE_BYTES + 1 - out.tell()
            while left > 0 and (chunk := answer.read(min(_CHUNK_BYTES, left))):
                out.write(chunk)
                left -= len(chunk)
