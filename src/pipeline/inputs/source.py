"""Images of a configuration, resolved: the files behind a path or an entry of the catalogue.

A source is resolved once, by `locate`; the result is passed on. Nothing is downloaded here, and pixels are
read through `file_scene`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from glob import glob
from hashlib import sha256
from os.path import commonpath
from pathlib import Path

from pipeline.config.scenes import DatasetSource, FileSource, StoredSource
from pipeline.errors import InputError
from pipeline.inputs.datasets.catalogue import file_source, image
from pipeline.inputs.formats.array_image import array_size
from pipeline.inputs.formats.arrays import is_array_file
from pipeline.inputs.formats.damage import first_bytes, refuse_special
from pipeline.inputs.formats.image import StoredImage, natural
from pipeline.inputs.formats.raster import raster_size
from pipeline.inputs.formats.zarr_store import is_zarr
from pipeline.inputs.missions import image_paths, mission_of, product_files
from pipeline.inputs.opening import open_images
from pipeline.store.files import sha256_of

TILES = (".tif", ".tiff")


@dataclass(frozen=True)
class ImageFiles:
    """The files of an image, with the settings for reading them.

    Attributes
    ----------
    reading : FileSource
        Path and reading settings of the image, from the configuration or the catalogue.
    known_size : (int, int) or None
        Height and width, where the catalogue states them.
    """

    reading: FileSource
    known_size: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """The path as it was given, for messages."""
        return self.reading.path

    @cached_property
    def paths(self) -> list[Path]:
        """The files or product folders that `path` stands for, sorted; usually a single one.

        A path that exists is taken literally; any other may be a pattern (`tiles/*.tif`). A folder that is
        not a known product must hold GeoTIFFs: tiles, or a file for each band.
        """
        path = Path(self.reading.path)
        mission = mission_of(path) if path.is_dir() else None
        if mission is not None:
            return image_paths(path, mission)
        if is_zarr(path):
            return [path]
        if path.is_dir():
            tiles = sorted(
                (file for file in path.iterdir() if file.suffix.lower() in TILES),
                key=lambda file: natural(file.name),
            )
            if not tiles:
                raise InputError(
                    f"{path}: a folder with neither a known product nor GeoTIFF tiles; give a file, a "
                    "pattern or the folder of a product (`docs/data/formats.md` lists them)"
                )
            return tiles
        if path.exists() or not set("*?[") & set(self.reading.path):
            return [path]
        matching = sorted(map(Path, glob(self.reading.path)), key=lambda file: natural(file.name))  # noqa: PTH207, the pattern may be absolute
        if not matching:
            raise InputError(f"{path}: no file matches this pattern; correct `path`")
        return matching

    @property
    def product(self) -> str | None:
        """Name of the sensor product, or None for an array or a raster."""
        mission = mission_of(self.paths[0])
        return None if mission is None else mission.PRODUCT

    @property
    def files(self) -> dict[str, Path]:
        """All files that are read, metadata and ENVI headers included, by their path below their folder."""
        files = sorted({file for path in self.paths for file in self._files_of(path)})
        folder = commonpath([file.parent for file in files])
        return {file.relative_to(folder).as_posix(): file for file in files}

    def _files_of(self, path: Path) -> list[Path]:
        mission = mission_of(path)
        if mission is not None:
            return product_files(path, mission, self.reading.bands)
        if is_zarr(path):
            return [file for file in path.rglob("*") if file.is_file()]
        beside = (
            path.with_suffix(suffix) for suffix in (".hdr", ".ige")
        )  # of ENVI, and of a large ERDAS file
        return [path, *(file for file in beside if file != path and file.is_file())]

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width from the catalogue or the headers; None where neither states them."""
        if self.known_size is not None:
            return self.known_size
        try:
            path = self.paths[0]
            if len(self.paths) > 1 or mission_of(path) is not None:
                _, height, width = self.open().shape
                return height, width
            if not path.is_dir():
                first_bytes(path)
            return array_size(path, self.reading) if is_array_file(path) else raster_size(path)
        except InputError:
            return None

    def digests(self) -> dict[str, str]:
        """Compute the SHA-256 of each of `files`."""
        return {name: _digest(file) for name, file in self.files.items()}

    def pinned(self, digest: str | None) -> ImageFiles:
        """Return the same files with the joint digest that they must have; see `joint_digest`."""
        return replace(self, reading=self.reading.model_copy(update={"sha256": digest}))

    def check_digest(self) -> None:
        """Refuse files whose joint digest differs from the configured one, if there is one."""
        expected = self.reading.sha256
        if expected is None:
            return
        actual = joint_digest(self.digests())
        if actual != expected:
            raise InputError(
                f"{self.name}: its sha256 is {actual}, expected {expected}; "
                "fetch the file again or correct `sha256`"
            )

    def open(self) -> StoredImage:
        """Open the image; several images are joined to one."""
        return open_images(self.paths, self.reading)


def locate(source: StoredSource) -> ImageFiles:
    """Resolve a source: a path of the configuration, or an image of the catalogue.

    Parameters
    ----------
    source : FileSource or DatasetSource
        The source; nothing is fetched.

    Raises
    ------
    InputError
        The catalogue has no such image.
    """
    if isinstance(source, DatasetSource):
        return ImageFiles(file_source(source), image(source.name, source.image).size)
    return ImageFiles(source)


def joint_digest(digests: dict[str, str]) -> str:
    """Return one digest for all files of an image.

    Parameters
    ----------
    digests : dict
        SHA-256 of each file by its name.

    Returns
    -------
    str
        Digest of a single file; for several files, digest of the list that `sha256sum` prints.
    """
    if len(digests) == 1:
        return next(iter(digests.values()))
    return sha256("".join(f"{digest}  {name}\n" for name, digest in digests.items()).encode()).hexdigest()


def _digest(file: Path) -> str:
    refuse_special(file)
    try:
        return sha256_of(file)
    except FileNotFoundError:
        raise InputError(f"{file}: no such file; put it there, or correct `path`") from None
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from None
