"""Files of the catalogue, and others with an address: complete and verified, or not there at all.

A file that is there is verified; a missing one is fetched beside its place (`claim`, `transfer`,
`unpacking`), verified (`verification`) and then renamed. Pixels are not read.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipeline.config.scenes import FileSource
from pipeline.errors import InputError
from pipeline.inputs.datasets import catalogue
from pipeline.inputs.datasets.catalogue import Content, Dataset, File, Image
from pipeline.inputs.datasets.claim import Claim, claim
from pipeline.inputs.datasets.lock import NAME as LOCK
from pipeline.inputs.datasets.lock import locked, record
from pipeline.inputs.datasets.transfer import (
    Patience,
    Progress,
    TransferError,
    configured_patience,
    transfer,
)
from pipeline.inputs.datasets.unpacking import unpack
from pipeline.inputs.datasets.verification import WEB_PAGE, fault

__all__ = ["fault", "fetch_file", "fetch_image"]


@dataclass(frozen=True)
class Origin:
    """Somewhere that a file comes from.

    Attributes
    ----------
    name : str
        Address or archive, for messages.
    write : callable
        Writes the file; takes the target, and whether to go on where its content ends.
    """

    name: str
    write: Callable[[Path, bool], None]


def fetch_image(
    name: str,
    which: str | None = None,
    *,
    folder: Path,
    accept_change: bool = False,
    patience: Patience | None = None,
    progress: Progress = lambda *_: None,
) -> Path:
    """Make sure that an image of the catalogue is there, with the files beside it that reading needs.

    Parameters
    ----------
    name : str
        Name of the data set.
    which : str, optional
        Name of the image; by default the first.
    folder : Path
        Holds a sub-folder for each data set, and `datasets.lock.json`.
    accept_change : bool
        Record the checksums of present and newly downloaded files, whatever was recorded before.
    patience : Patience, optional
        Time limits; default: from `$PIPELINE_TIMEOUT`.
    progress : callable
        Called with a name, and megabytes done and in all.

    Returns
    -------
    Path
        The image's file.

    Raises
    ------
    InputError
        One line naming file and addresses, the fault and what to do. No file is left behind, but
        `X.part.Y` after a broken transfer of a file with a known checksum: the next one goes on there.
    """
    accept = f"run `pipeline datasets fetch {name} --accept-change`"
    fetcher = Fetcher(folder, patience or configured_patience(), progress, accept, accept_change)
    return fetcher.image(name, catalogue.dataset(name), catalogue.image(name, which))


def fetch_file(
    source: FileSource, *, patience: Patience | None = None, progress: Progress = lambda *_: None
) -> None:
    """Make sure that the file of a source with a `url` is there; see `fetch_image` for errors.

    Parameters
    ----------
    source : FileSource
        Path, address and perhaps digest of the file.
    patience : Patience, optional
        Time limits; default: from `$PIPELINE_TIMEOUT`.
    progress : callable
        Called with a name, and megabytes done and in all.
    """
    assert source.url is not None
    path = Path(source.path)
    accept = f"remove {path.name} from {path.parent / LOCK}"
    fetcher = Fetcher(path.parent, patience or configured_patience(), progress, accept, False)
    content = Content(path=path.name, urls=[source.url], sha256=source.sha256, format="raw")
    fetcher.ensure(path, content, fetcher.addresses(path, content.urls))


@dataclass(frozen=True)
class Fetcher:
    """Settings of a fetch, the same for all of its files.

    Attributes
    ----------
    folder : Path
        Holds the lock file; all files lie below it.
    patience : Patience
        Time limits.
    progress : callable
        Called with a name, and megabytes done and in all.
    how_to_accept : str
        How the user accepts a changed file, for messages.
    accepts_change : bool
        Record checksums anew, whatever was recorded before.
    """

    folder: Path
    patience: Patience
    progress: Progress
    how_to_accept: str
    accepts_change: bool

    def addresses(self, path: Path, urls: list[str]) -> list[Origin]:
        """Return addresses of the file `path` as origins."""
        return [Origin(url, partial(self._transfer, path.name, url)) for url in urls]

    def image(self, name: str, entry: Dataset, image: Image) -> Path:
        """Make sure that an image of a data set is there, and first the files beside it.

        Parameters
        ----------
        name : str
            Name of the data set.
        entry : Dataset
            Its entry.
        image : Image
            The image.

        Returns
        -------
        Path
            The image's file.
        """
        for file in (*image.beside, image.file):
            path = self.folder / name / file.path
            self.ensure(path, file, _origins(self, name, entry, file, image))
        return path

    def ensure(self, path: Path, content: Content, origins: list[Origin]) -> None:
        """Verify a file that is there, or fetch it from the first origin that has it.

        Parameters
        ----------
        path : Path
            The file.
        content : Content
            Published size and checksum.
        origins : list of Origin
            Origins of the file, in the order to try.

        Raises
        ------
        InputError
            The file does not match, or no origin has it.
        """
        expected = content if self.accepts_change else locked(self.folder, path, content)
        if not path.exists():
            with claim(path) as claimed:
                if not path.exists():  # nor came while we waited for another process
                    self._fetch(claimed, content, expected, origins)
                    return
        wrong = fault(path, expected)
        if wrong is not None:
            hint = self._hint(path, content, expected)
            raise InputError(
                f"{path}: {wrong}; delete it to fetch it again, or replace it by the right one{hint}"
            )
        if expected is content:
            record(self.folder, path, path, content)

    def _fetch(self, claimed: Claim, content: Content, expected: Content, origins: list[Origin]) -> None:
        claimed.keep = bool(expected.sha256 or expected.md5)
        failures = []
        for origin in origins:
            wrong = self._try(origin, claimed.part, content, expected)
            if wrong is None:
                record(self.folder, claimed.path, claimed.part, content)
                claimed.settle()
                return
            failures.append(wrong)
        raise InputError("; ".join([*failures, f"fetch it by other means and put it at {claimed.path}"]))

    def _try(self, origin: Origin, part: Path, content: Content, expected: Content) -> str | None:
        """Fetch from an origin into `part`, and return the fault, or None after success.

        After a fault, `part` holds the beginning of a file.
        """
        known = bool(expected.sha256 or expected.md5)
        continued = known and part.stat().st_size > 0
        try:
            origin.write(part, known)
        except TransferError as error:
            return f"{origin.name}: could not be fetched: {error}"
        except InputError as error:
            return str(error)
        wrong = fault(part, expected)
        if wrong is None:
            return None
        hint = self._hint(part, content, expected)
        part.write_bytes(b"")
        if continued:  # the bytes in `part` may have been the beginning of another file
            return self._try(origin, part, content, expected)
        return f"{origin.name}: {'answered by a web page, not data' if wrong == WEB_PAGE else wrong}{hint}"

    def _hint(self, path: Path, content: Content, expected: Content) -> str:
        """Return how to accept a file that differs from the recorded one alone."""
        if expected is content or not path.exists() or fault(path, content) is not None:
            return ""
        return f"; it is not the one recorded in {self.folder / LOCK}: to accept it, {self.how_to_accept}"

    def _transfer(self, name: str, address: str, target: Path, resume: bool) -> None:
        transfer(address, target, name=name, resume=resume, patience=self.patience, progress=self.progress)


def _origins(fetcher: Fetcher, name: str, entry: Dataset, file: File, image: Image) -> list[Origin]:
    """Return where a file of a data set comes from: the mirror, the archive, its own addresses."""
    path = fetcher.folder / name / file.path
    origins = fetcher.addresses(path, _mirrored(name, file))
    if file.member is not None and entry.archive is not None:
        archive = fetcher.folder / name / entry.archive.path
        urls = _mirrored(name, entry.archive) + entry.archive.urls

        def extract(target: Path, resume: bool) -> None:
            assert entry.archive is not None
            assert file.member is not None
            fetcher.ensure(archive, entry.archive, fetcher.addresses(archive, urls))
            try:
                unpack(archive, file.member, target, image.bands, image.size)
            except InputError:
                target.write_bytes(b"")
                raise

        origins.append(Origin(archive.name, extract))
    return origins + fetcher.addresses(path, file.urls)


def _mirrored(name: str, content: Content) -> list[str]:
    """Return the address in the mirror that `$PIPELINE_MIRROR` names, a URL or a folder."""
    mirror = os.environ.get("PIPELINE_MIRROR")
    return [f"{mirror.rstrip('/')}/{name}/{content.path}"] if mirror else []
