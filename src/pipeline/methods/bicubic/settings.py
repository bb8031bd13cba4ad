"""Settings of `bicubic`."""

from __future__ import annotations

from typing import Literal

from pipeline.methods.settings import MethodSettings, Proposal


class BicubicSettings(MethodSettings):
    """Bicubic interpolation of the LR-HSI."""

    seconds_per_megapixel = 2.0
    proposal = Proposal("the lower bound: ignores the MSI")

    method: Literal["bicubic"] = "bicubic"
