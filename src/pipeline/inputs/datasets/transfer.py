"""One address to one local file: HTTP with retries and resumption, and local paths.

Content is checked in `verification`.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import requests
from urllib3.exceptions import HTTPError

from pipeline.errors import InputError

log = logging.getLogger(__name__)
Progress = Callable[[str, int, int], None]

SCHEMES = ("http", "https", "file")
BLOCK = 2**18  # bytes
LEAST_SENT = 2**16  # bytes, below which an expansion is not judged
LARGEST_EXPANSION = 200  # a body of numbers is not compressed further; 1000 is what zeros give
MEGABYTE = 1_000_000
AGENT = "Mozilla/5.0 (compatible; pipeline, hyperspectral image fusion)"  # some hosts refuse others
PASSING = {408, 425, 429, 500, 502, 503, 504}  # HTTP states after which another try may succeed


class TransferError(Exception):
    """Failure of an address to deliver.

    Parameters
    ----------
    reason : str
        Why, in a few words.
    broken : bool
        Another try, from where it stopped, may succeed.
    """

    def __init__(self, reason: str, broken: bool = False) -> None:
        super().__init__(reason)
        self.broken = broken


@dataclass(frozen=True)
class Patience:
    """Time limits of a transfer.

    Attributes
    ----------
    seconds : float
        Time to connect, to the next byte, and for each piece of `bytes`.
    bytes : int
        Least number of bytes that must arrive in that time.
    attempts : int
        Number of tries.
    pause : float
        Seconds before the second attempt; doubled before each further one.
    """

    seconds: float = 30.0
    bytes: int = 2**14
    attempts: int = 4
    pause: float = 1.0


def configured_patience() -> Patience:
    """Return the default time limits, with the seconds of `$PIPELINE_TIMEOUT`."""
    text = os.environ.get("PIPELINE_TIMEOUT")
    if text is None:
        return Patience()
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise InputError(f"PIPELINE_TIMEOUT: {text!r} is not a number of seconds above 0")
    return Patience(seconds=seconds)


def transfer(
    address: str, target: Path, *, name: str, resume: bool, patience: Patience, progress: Progress
) -> None:
    """Write what an address offers to `target`.

    Parameters
    ----------
    address : str
        A URL or a local path.
    target : Path
        The file, which exists.
    name : str
        Name of the file, for the progress.
    resume : bool
        Go on where the content of `target` ends. Only with a known checksum is it safe that the rest
        comes from another server or day.
    patience : Patience
        Time limits.
    progress : callable
        Called with the name and megabytes done and to come.

    Raises
    ------
    TransferError
        The address does not deliver.
    """
    scheme = address.partition("://")[0].lower() if "://" in address else "file"
    if scheme not in SCHEMES:
        raise TransferError(f"addresses of the kind {scheme}:// are not supported, only {', '.join(SCHEMES)}")
    if not resume:
        target.write_bytes(b"")
    if scheme == "file":
        _copied(_local(address), target)
        return
    try:
        Resuming(name, patience, progress, verified=resume)(address, target)
    except (ValueError, *TROUBLE) as error:
        raise TransferError(_in_one_line(error)) from None


def _local(address: str) -> Path:
    """Return the path of an address that names a local file, as a path or as `file:///path`."""
    if "://" not in address:
        return Path(address)
    parts = urlsplit(address)
    if parts.netloc not in ("", "localhost"):
        raise TransferError(f"{parts.netloc} is another machine, whose files have no file:// address here")
    return Path(url2pathname(parts.path))


def _copied(source: Path, target: Path) -> None:
    try:
        if source.exists() and not (source.is_file() or source.is_dir()):
            raise TransferError("is neither a file nor a folder")
        with source.open("rb") as stream, target.open("r+b") as sink:
            shutil.copyfileobj(stream, sink)
            sink.truncate()
    except FileNotFoundError:
        raise TransferError("no such file") from None
    except (IsADirectoryError, NotADirectoryError, PermissionError) as error:
        raise TransferError(str(error.strerror).lower()) from None
    except ValueError as error:  # a NUL character
        raise TransferError(_in_one_line(error)) from None


@dataclass
class Resuming:
    """HTTP downloader that tries again, from where it stopped, when a connection breaks.

    Attributes
    ----------
    name : str
        Name of the file, for the progress.
    patience : Patience
        Time limits.
    progress : callable
        Called with the name and megabytes done and to come.
    verified : bool
        The whole is compared with a checksum later. Else a transfer goes on only where the server can
        confirm that its file is unchanged (RFC 9110, `If-Range`).
    """

    name: str
    patience: Patience
    progress: Progress
    verified: bool
    _validator: str | None = field(default=None, init=False)

    def __call__(self, url: str, target: Path) -> None:
        """Fetch `url`; a `target` with content is continued."""
        pause = self.patience.pause
        for left in reversed(range(self.patience.attempts)):
            try:
                self._attempt(url, target)
                return
            except TransferError as error:
                if not (error.broken and left):
                    raise
                log.warning("%s: %s; trying again in %g s", url, error, pause)
            time.sleep(pause)
            pause *= 2

    def _attempt(self, url: str, target: Path) -> None:
        have = target.stat().st_size if self.verified or self._validator else 0
        headers = {"User-Agent": AGENT, "Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if self._validator:
                headers["If-Range"] = self._validator
        try:
            with requests.get(url, headers=headers, stream=True, timeout=self.patience.seconds) as response:
                self._receive(response, target, have)
        except requests.TooManyRedirects as error:
            raise TransferError(f"redirects without end ({_in_one_line(error)})") from None
        except (requests.Timeout, TimeoutError):
            raise TransferError(f"no answer for {self.patience.seconds:g} s", broken=True) from None
        except TROUBLE as error:
            permanent = isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema)
            raise TransferError(f"connection failed ({_in_one_line(error)})", broken=not permanent) from None

    def _receive(self, response: requests.Response, target: Path, have: int) -> None:
        """Append the body to the first `have` bytes, or replace them if the server sent the whole file."""
        status = response.status_code
        if status == 416 and have:
            if response.headers.get("Content-Range", "").endswith(f"/{have}"):
                return  # nothing is missing
            target.write_bytes(b"")
            raise TransferError("cannot be continued", broken=True)
        if not response.ok:
            raise TransferError(f"HTTP status {status} {response.reason}", broken=status in PASSING)
        start = have if status == 206 else 0
        coded = _is_coded(response)
        if status == 206 and coded:  # a part of it cannot be decoded
            target.write_bytes(b"")
            raise TransferError("continued in another encoding than asked", broken=True)
        if status == 206 and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            target.write_bytes(b"")
            raise TransferError("continued at another place than asked", broken=True)
        if status == 200:
            etag = response.headers.get("ETag", "")  # a weak one says nothing about bytes
            self._validator = etag if etag.startswith('"') else response.headers.get("Last-Modified")
        length = response.headers.get("Content-Length")
        total = start + int(length) if length and not coded else None
        with target.open("r+b") as sink:
            sink.truncate(start)
            sink.seek(start)
            done = self._stream(response, sink, start, total)
        if total is not None and done != total:
            raise TransferError(f"broke off after {done} of {total} bytes", broken=True)

    def _stream(self, response: requests.Response, sink: Any, done: int, total: int | None) -> int:
        """Copy the body piece by piece as it arrives, and return the number of bytes that are there then."""
        coded = _is_coded(response)
        until, mark = time.monotonic() + self.patience.seconds, done
        try:
            while piece := response.raw.read1(BLOCK, decode_content=coded):
                sink.write(piece)
                done += len(piece)
                if coded and done > LARGEST_EXPANSION * max(response.raw.tell(), LEAST_SENT):
                    raise TransferError(f"expands to more than {LARGEST_EXPANSION} times what is sent")
                if total:
                    self.progress(f"{self.name} (MB)", done // MEGABYTE, max(1, total // MEGABYTE))
                if done - mark >= self.patience.bytes:
                    until, mark = time.monotonic() + self.patience.seconds, done
                elif time.monotonic() > until:
                    raise TransferError(
                        f"too slow ({done - mark} bytes in {self.patience.seconds:g} s, {done} in all)",
                        broken=True,
                    )
        except HTTPError as error:
            if "timed out" in str(error):
                raise TransferError(
                    f"no byte for {self.patience.seconds:g} s after {done}", broken=True
                ) from None
            of = "" if total is None else f" of {total}"
            raise TransferError(f"broke off after {done}{of} bytes", broken=True) from None
        return done


def _is_coded(response: requests.Response) -> bool:
    """Return whether the body is compressed on the way, though it was asked for as it is.

    Some servers declare so of a file that is itself compressed, which stays as it is.
    """
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    if encoding == "identity" or urlsplit(response.url).path.endswith((".gz", ".tgz")):
        return False
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise TransferError(f"is sent in the encoding {encoding!r}, which is not known")
    return True


TROUBLE = (requests.RequestException, HTTPError, ConnectionError, EOFError)


def _in_one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
