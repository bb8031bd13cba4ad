"""The files that an experiment asks for of its fused cubes.

Nothing is written here; see `pipeline.steps.export`.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from pydantic import Field, field_validator

from pipeline.config.scenes import Name
from pipeline.settings.strict import Distinct, Strict


class Products(Strict):
    """The files that are made of every fused cube, in `product/` beside its store."""

    formats: Distinct[Literal["cog", "envi"]] = Field(["cog"], description="of the fused cube")
    dtype: Literal["float32", "integer", "int16", "uint16"] = Field(
        "float32",
        description="of the cube's physical values; integer rounds them to the smallest of int16, uint16 and "
        "int32 that holds all of them (float32 where few levels would remain), int16 and uint16 clip values "
        "out of their range and say how many",
    )
    quality: bool = Field(
        True,
        description="quality.tif: residuals in units of the noise, and the mask; deviation.tif, where "
        "the method gives a standard deviation",
    )
    msi: bool = Field(False, description="msi.tif: the HR-MSI in its own units")
    stac: bool = Field(False, description="item.json: a STAC item; needs a CRS and `datetime`")
    datetime: str | dict[Name, str] | None = Field(
        None,
        description="when the images were taken, as '2013-07-19T10:30:00Z' or 'start/end', for all scenes or "
        "by scene",
    )

    @field_validator("datetime", mode="before")
    @classmethod
    def _times(cls, times: Any) -> Any:
        for text in times.values() if isinstance(times, dict) else [times]:
            if isinstance(text, date):  # as YAML reads it without quotes
                raise ValueError(f"put it in quotes, such as '{text.isoformat()}'")
            if isinstance(text, str):
                _check_times(text)
        return times

    def of_scene(self, scene: str) -> Products:
        """Return the products of one scene, with its own `datetime`."""
        times = self.datetime.get(scene) if isinstance(self.datetime, dict) else self.datetime
        return self.model_copy(update={"datetime": times})


def _check_times(text: str) -> None:
    """Refuse a text that is neither an RFC 3339 time with an offset nor an interval `start/end` of two."""
    try:
        moments = [datetime.fromisoformat(part) for part in text.split("/")]
    except ValueError:
        moments = []
    with_offset = all(moment.tzinfo for moment in moments)
    if len(moments) not in (1, 2) or not with_offset or moments != sorted(moments):
        raise ValueError(f"{text!r} is not a time such as '2013-07-19T10:30:00Z', nor 'start/end' of such")
