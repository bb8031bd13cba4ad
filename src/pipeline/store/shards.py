"""Large rasters written shard by shard, by several processes at once, and killed at any moment.

A write unit owns whole shards outright. Each shard is encoded in memory, written aside, synced and
renamed, and only then recorded in the writer's journal; the store's metadata comes last, and after
it the ledger. So a file in place is whole, a recorded file is on the disk, a store with metadata is
complete, and shards of a killed writer are kept if they are recorded and unchanged, else written again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from math import isqrt, lcm
from pathlib import Path
from typing import Any

import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.storage import MemoryStore

from pipeline.core.sensing.observation import Progress, no_progress
from pipeline.core.window import LARGEST_CORE, Window
from pipeline.store.files import is_link, json_digest, named, sync, write_bytes, write_json, write_text
from pipeline.store.store import CHUNK, KEEP_EMPTY, is_raster, ledger_content, ledger_of, write_zarr
from pipeline.store.verified import file_fault

Shards = dict[str, str]
"""SHA-256 of every shard by its path in the store."""
Part = tuple[str, Window, NDArray[Any]]
"""Values of a window of a raster."""

LARGEST_SHARD = 128 * 2**20  # bytes of the values in a shard


def shard_side(bands: int, step: int = 1) -> int:
    """Return the side of a shard of a float32 cube in pixels.

    Parameters
    ----------
    bands : int
        Number of bands of the cube.
    step : int
        Number of pixels that the side is a multiple of.

    Examples
    --------
    >>> shard_side(100), shard_side(200, 4), shard_side(60, 25)
    (512, 384, 500)
    """
    most = min(LARGEST_CORE, isqrt(LARGEST_SHARD // (4 * bands)))
    unit = lcm(CHUNK, step) if lcm(CHUNK, step) <= most else step
    return max(1, most // unit) * unit


class ShardWriter:
    """Writer of the rasters of one store, whose shape and metadata a template gives.

    Parameters
    ----------
    store : Path
        `X.zarr`; other writers may fill other shards of it meanwhile.
    template : xr.Dataset
        Rasters are placeholders (see `pipeline.store.schema.placeholder`); all other variables are written.
    provenance : dict
        Attribute of the group.
    shard : dict
        Side of a shard along each raster dimension.

    Attributes
    ----------
    ledger : Path
        Ledger of the store.
    """

    def __init__(
        self, store: Path, template: xr.Dataset, provenance: Mapping[str, Any], shard: Mapping[str, int]
    ) -> None:
        self.store = Path(store)
        self.ledger = ledger_of(self.store)
        self._files: dict[str, Any] = {}
        memory = MemoryStore(self._files)
        write_zarr(memory, template, provenance, shard)
        with zarr.config.set(KEEP_EMPTY):
            self._rasters = {
                str(name): zarr.open_array(memory, path=str(name), mode="r+")
                for name, variable in template.data_vars.items()
                if is_raster(variable.variable)
            }

    @property
    def layout(self) -> dict[str, str]:
        """Digest of each raster's metadata, which says how its values lie in shards."""
        names = {name: f"{name}/zarr.json" for name in self._rasters}
        return {name: sha256(self._files[key].to_bytes()).hexdigest() for name, key in names.items()}

    def write(self, name: str, window: Window, values: NDArray[Any]) -> Shards:
        """Write a window of a raster that consists of whole shards.

        Parameters
        ----------
        name : str
            Name of the raster.
        window : Window
            The window, from shard to shard or to the edge of the raster.
        values : array
            Its values, with all bands.

        Returns
        -------
        dict
            SHA-256 of the written shards by their paths in the store.
        """
        raster = self._rasters[name]
        sides = (raster.shards or raster.chunks)[-2:]
        for low, high, side, size in zip(
            (window.y0, window.x0), (window.y1, window.x1), sides, raster.shape[-2:], strict=True
        ):
            if low % side or (high % side and high != size):
                raise ValueError(f"{self.store}: {window} does not consist of whole shards of {name}")
        self.ledger.unlink(missing_ok=True)  # the store that it describes is no more
        raster[..., *window.slices] = values
        prefix = f"{name}/c/"
        written = {}
        for key in [key for key in self._files if key.startswith(prefix)]:
            content = self._files.pop(key).to_bytes()
            write_bytes(self.store / key, content)
            written[key] = sha256(content).hexdigest()
        return written

    def seal(self, shards: Shards) -> Path:
        """Complete the store: metadata, then the ledger. Files that are not part of it are removed.

        Parameters
        ----------
        shards : dict
            Digest of every shard that belongs to the store.

        Returns
        -------
        Path
            The ledger.
        """
        self.ledger.unlink(missing_ok=True)
        files = dict(shards)
        for key, buffer in sorted(self._files.items()):
            content = buffer.to_bytes()
            write_bytes(self.store / key, content)
            files[key] = sha256(content).hexdigest()
        for path in self.store.rglob("*"):
            if path.is_file() and path.relative_to(self.store).as_posix() not in files:
                path.unlink()
        write_json(self.ledger, ledger_content(self.store, files))
        return self.ledger

    def damaged(self, shards: Shards) -> dict[str, str]:
        """Return the faults of shards on disk, by their paths in the store."""
        faults = ((key, file_fault(self.store / key, digest)) for key, digest in sorted(shards.items()))
        return {key: fault for key, fault in faults if fault}


class Journal:
    """Record of the write units that a writer has finished: a line each, synced, with its own digest.

    A line that a kill cut short, or that was changed, counts for nothing. The file stays when the
    store is complete, so that a damaged store is repaired shard by shard.

    Parameters
    ----------
    path : Path
        A file beside the store.
    token : str
        Digest of all that the units depend on; lines of another token are of no use.
    """

    def __init__(self, path: Path, token: str) -> None:
        self.path, self.token = path, token

    def resume(self) -> dict[str, Shards]:
        """Return the shards of every recorded unit; lines that are of no use are dropped from the file."""
        lines = list(journal_lines(self.path))
        useful = [line for line in lines if line["token"] == self.token]
        if self.path.exists():
            write_text(self.path, "".join(map(_as_line, useful)))
        return {line["unit"]: line["shards"] for line in useful}

    def add(self, unit: str, shards: Shards, **extra: Any) -> dict[str, Any]:
        """Record a finished unit.

        Parameters
        ----------
        unit : str
            Name of the unit.
        shards : dict
            SHA-256 of its shards by their paths in the store.
        **extra
            Further content of the line, JSON-ready.

        Returns
        -------
        dict
            The record.
        """
        record = {"token": self.token, "unit": unit, "shards": shards, **extra}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if is_link(self.path):  # the lines are this journal's, but no other file gets more of them
            text = self.path.read_text() if self.path.exists() else ""
            self.path.unlink()
            write_text(self.path, text)
        with named(self.path), self.path.open("a") as file:
            file.write(_as_line(record))
            file.flush()
            os.fsync(file.fileno())
        sync(self.path.parent)
        return record


def _as_line(record: dict[str, Any]) -> str:
    return json.dumps(record | {"digest": _digest_of(record)}, sort_keys=True) + "\n"


def _digest_of(record: dict[str, Any]) -> str:
    return json_digest({key: value for key, value in record.items() if key != "digest"})


def fill_store(
    writer: ShardWriter,
    journal: Journal,
    units: Mapping[str, Callable[[], Iterable[Part]]],
    progress: Progress = no_progress,
) -> Path:
    """Write a store with a single writer, keeping what an earlier one has finished.

    Parameters
    ----------
    writer : ShardWriter
        Writer of the store.
    journal : Journal
        Record of the units that are finished.
    units : dict
        Functions, by name, that compute the parts of each write unit; together they cover all rasters.
    progress : callable
        Called after each unit.

    Returns
    -------
    Path
        The ledger.
    """
    finished = journal.resume()
    shards: Shards = {}
    for count, (unit, compute) in enumerate(units.items(), start=1):
        kept = finished.get(unit, {})
        if not kept or writer.damaged(kept):
            kept = {}
            for part in compute():
                kept |= writer.write(*part)
            journal.add(unit, kept)
        shards |= kept
        progress("shards", count, len(units))
    return writer.seal(shards)


def journal_lines(path: Path) -> Iterable[dict[str, Any]]:
    """Yield the lines of a journal that are whole and unchanged."""
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return
    for line in text.splitlines():
        content = _record_of(line)
        if content is not None:
            yield content


def _record_of(line: str) -> dict[str, Any] | None:
    """Return the record of a line, or None where it is not whole or was changed."""
    try:
        content = json.loads(line)
        whole = isinstance(content, dict) and content.get("digest") == _digest_of(content)
    except (ValueError, RecursionError):
        return None
    return content if whole else None


def journal_faults(path: Path) -> list[str]:
    """Return a line for each line of a journal that was changed; an unfinished last one is none of them.

    Parameters
    ----------
    path : Path
        The journal.
    """
    lines = path.read_text(errors="replace").splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]
    return [
        f"{path}: line {number} was changed since it was written"
        for number, line in enumerate(whole, start=1)
        if _record_of(line) is None
    ]


def mend_journal(path: Path) -> None:
    """Drop all lines of a journal that are not whole and unchanged."""
    write_text(path, "".join(map(_as_line, journal_lines(path))))
