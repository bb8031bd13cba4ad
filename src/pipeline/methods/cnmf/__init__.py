"""CNMF (Yokoya, Yairi and Iwasaki 2012): coupled non-negative matrix factorisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.methods.cnmf.settings import CnmfSettings

if TYPE_CHECKING:
    from pipeline.methods.base import Method

SETTINGS = CnmfSettings


def build(settings: CnmfSettings) -> Method:
    """Build the method that the settings describe."""
    from pipeline.methods.cnmf.method import Cnmf

    return Cnmf(settings)
