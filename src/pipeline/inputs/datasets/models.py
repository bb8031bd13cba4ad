"""Models of the catalogue's entries: origins and required properties of files.

Entries are the YAML files beside this module. Nothing is fetched or read here; an entry's `reading`
has the keys of a `FileSource`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from pipeline.settings.strict import Strict

Format = Literal["matlab5", "matlab73", "npy", "tiff", "envi_header", "raw", "zip", "tar"]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
RelativePath = Annotated[str, Field(pattern=r"^[^/\\]+(/[^/\\]+)*$")]


class Content(Strict):
    """Properties that a file must have to be accepted; unknown properties are not checked."""

    path: RelativePath = Field(description="below the data set's folder")
    urls: list[str] = Field(default_factory=list, description="addresses, in the order to try them")
    bytes: int | None = Field(None, ge=0)
    sha256: Sha256 | None = None
    md5: str | None = Field(None, pattern="^[0-9a-f]{32}$")
    format: Format
    variable: str | None = Field(None, description="array of a MATLAB file")
    shape: list[int] | None = Field(None, description="as the file stores it")


class File(Content):
    """One file of an image."""

    member: str | None = Field(
        None,
        description="path in the data set's archive, which is tried before `urls`; one with `{band}` stands "
        "for an image of each band, which are stacked in a `.npy`",
    )


class Image(Strict):
    """One image of a data set."""

    bands: int = Field(ge=1)
    size: tuple[int, int] = Field(description="height and width")
    gsd: float | None = Field(gt=0, description="m")
    wavelengths: str = Field(description="for human readers; `reading.wavelengths` is used")
    file: File
    beside: list[File] = Field(default_factory=list, description="files that reading needs too")
    tiles: RelativePath | None = Field(
        None, description="pattern of the files that are read as one image; default: `file` alone"
    )
    reading: dict[str, Any] = Field(default_factory=dict, description="keys of a FileSource")


class Dataset(Strict):
    """A data set with one image or several."""

    title: str
    sensor: str
    licence: str
    citation: str
    page: str
    checked: str = Field(description="origin of sizes and checksums, and properties that were not verified")
    traps: list[str]
    archive: Content | None = None
    images: dict[str, Image] = Field(min_length=1, description="the first is the default")

    @model_validator(mode="before")
    @classmethod
    def _named_images(cls, content: Any) -> Any:
        """Put the image's name for `{image}` in its file, so that images can share a text."""
        images = {
            name: image | {"file": {k: _named(v, name) for k, v in image["file"].items()}}
            for name, image in content["images"].items()
        }
        return content | {"images": images}

    @model_validator(mode="after")
    def _members_have_an_archive(self) -> Dataset:
        files = [file for image in self.images.values() for file in (image.file, *image.beside)]
        for file in files:
            if file.member is None and not file.urls:
                raise ValueError(f"{file.path}: has neither `urls` nor a `member` of the archive")
            if file.member is not None and self.archive is None:
                raise ValueError(f"{file.path}: is the member of an archive that the entry does not name")
        return self


def _named(value: Any, name: str) -> Any:
    return value.replace("{image}", name) if isinstance(value, str) else value
