"""Settings of `plrdiff`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from pipeline.methods.diffusion.low_rank_settings import LowRankSettings
from pipeline.methods.settings import Source
from pipeline.settings.strict import LocalPath

DIGEST = "digest"
"""Name of the weights' digest in the metadata of a converted checkpoint."""


class PlrdiffSettings(LowRankSettings):
    """PLRDiff (Rui et al. 2024), with its published prior."""

    seconds_per_megapixel = 34_000.0

    method: Literal["plrdiff"] = "plrdiff"
    checkpoint: LocalPath | None = Field(
        None,
        description="file that `pipeline weights import` wrote from the published I190000_E97_gen.pth; the "
        "method does not run without it",
    )

    @property
    def learns_from(self) -> Source:
        """Images from elsewhere."""
        return "external"

    @property
    def trained_on(self) -> str:
        """The training data in a few words."""
        return "aerial and satellite images in true colour (ddpm-cd)"

    @property
    def expected_speed(self) -> float:
        """Seconds per megapixel of these settings."""
        return self.seconds_per_megapixel * self.length / 500

    def fitting(self, hr_shape: tuple[int, int]) -> dict[str, Any]:
        """Return all settings, and the digest of the checkpoint, so that another file is never reused.

        Parameters
        ----------
        hr_shape : (int, int)
            Height and width of the scene in HR pixels.
        """
        return self.deciding() | {"checkpoint_digest": recorded(self.checkpoint).get(DIGEST)}


def recorded(path: str | None) -> dict[str, str]:
    """Return the metadata in the header of a converted checkpoint; empty where there is no such file.

    The digest in it is compared with the weights when they are loaded.

    Parameters
    ----------
    path : str or None
        The file.
    """
    try:
        with Path(path or "").open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(size, 2**24)))
        metadata = header["__metadata__"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return metadata if isinstance(metadata, dict) else {}
