"""The tiles of a fused cube between `fuse` and `mosaic`: their shards, and which of them are finished.

Batches fill one store; what each has finished is in its journal and, when it is done, in its
manifest, both in the folder `tiles` beside the store. A tile is known by its corner and by a token
of all that its bytes depend on, so that it is kept when the tiles are divided among jobs again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.methods import MethodEntry
from pipeline.runs.code_digest import code_digest
from pipeline.runs.fitted_store import fingerprint
from pipeline.runs.provenance import check_origin, package_versions
from pipeline.runs.tile_plan import TilePlan
from pipeline.store.files import json_digest, sha256_of
from pipeline.store.schema import cube_dataset, metadata_from, placeholder
from pipeline.store.shards import Journal, ShardWriter, journal_lines
from pipeline.store.store import read_store

COLUMNS = ("y0", "y1", "x0", "x1")


@dataclass(frozen=True)
class Inputs:
    """Everything that decides a fused cube.

    Attributes
    ----------
    observation, estimate, plan : Path
        Ledgers of three stores.
    fitted : Path
        The fitted method.
    settings : MethodEntry
        The method's settings.
    seed : int
        Seed of the method's random draws.
    """

    observation: Path
    estimate: Path
    fitted: Path
    plan: Path
    settings: MethodEntry
    seed: int

    @cached_property
    def tiles(self) -> TilePlan:
        """The plan, which must be of this observation."""
        origin = read_store(self.plan).attrs.get("provenance", {})
        check_origin(self.plan, origin, inputs=[self.observation])
        return read_plan(self.plan)

    @cached_property
    def fingerprint(self) -> str:
        """The fingerprint that the fitted method must have."""
        return fingerprint(self.settings, self.seed, self.observation, self.estimate)

    def writer(self, store: Path, provenance: Mapping[str, Any]) -> ShardWriter:
        """Return the writer of the cube's shards.

        Parameters
        ----------
        store : Path
            The store `fused.zarr`.
        provenance : mapping
            Provenance that the finished store carries.
        """
        dataset, core = read_store(self.observation), self.tiles.core
        cube = placeholder(dataset.sizes["band"], *self.tiles.shape)
        template = cube_dataset(
            cube, metadata_from(dataset), deviation=cube if self.settings.uncertain else None
        )
        return ShardWriter(store, template, provenance, {"y": core, "x": core})

    def token(self, writer: ShardWriter) -> str:
        """Return the digest of all that a tile's bytes depend on; batches do not count."""
        return json_digest(
            {
                "fingerprint": self.fingerprint,
                "settings": self.settings.deciding(),
                "fitted": sha256_of(self.fitted),
                "tiles": [*self.tiles.shape, self.tiles.core, self.tiles.halo],
                "layout": writer.layout,
                "code": code_digest("pipeline.steps.fuse", f"pipeline.methods.{self.settings.method}"),
                "packages": package_versions(),
            }
        )


def tile_name(tile: Window) -> str:
    """Return the name of a tile: its first row and column."""
    return f"{tile.y0},{tile.x0}"


def shards_of(tile: Window, core: int, uncertain: bool = False) -> set[str]:
    """Return the paths in the store of the shards that a tile owns.

    Parameters
    ----------
    tile : Window
        The tile.
    core : int
        Side of a shard in HR pixels.
    uncertain : bool
        Whether the method gives a standard deviation.
    """
    rows, columns = (
        range(low // core, ceil(high / core)) for low, high in ((tile.y0, tile.y1), (tile.x0, tile.x1))
    )
    places = [f"{row}/{column}" for row in rows for column in columns]
    layers = ["fused/c/0", "mask/c", *(["deviation/c/0"] if uncertain else [])]
    return {f"{layer}/{place}" for layer in layers for place in places}


def finished_tiles(folder: Path, journal: Journal) -> dict[str, dict[str, Any]]:
    """Return the records of all tiles that any batch has finished, by the tile's name.

    Parameters
    ----------
    folder : Path
        The folder `tiles` with the journals of all batches.
    journal : Journal
        The journal of the present batch, whose token the records must have.
    """
    journal.resume()
    records = [line for path in sorted(folder.glob("*.journal")) for line in journal_lines(path)]
    return {line["unit"]: line for line in records if line["token"] == journal.token}


def plan_dataset(plan: TilePlan) -> xr.Dataset:
    """Return the dataset of a plan, with the columns y0, y1, x0, x1 and batch (tile)."""
    columns = {name: ("tile", plan.bounds[:, i]) for i, name in enumerate(COLUMNS)}
    attrs = {
        "shape": list(plan.shape),
        "core": plan.core,
        "halo": plan.halo,
        "tiles": len(plan),
        "batches": plan.batches,
    }
    return xr.Dataset({**columns, "batch": ("tile", plan.batch)}, attrs=attrs)


def read_plan(path: Path) -> TilePlan:
    """Read the plan that a ledger stands for."""
    dataset = read_store(path)
    if not {*COLUMNS, "batch"} <= set(dataset.data_vars):
        raise InputError(f"{path}: not a plan of tiles; delete it and run `plan` again")
    attrs: dict[str, Any] = dataset.attrs
    height, width = attrs["shape"]
    bounds = np.stack([dataset[name].to_numpy() for name in COLUMNS], axis=1)
    return TilePlan(
        (height, width), attrs["core"], attrs["halo"], bounds, dataset["batch"].to_numpy(), attrs["batches"]
    )
