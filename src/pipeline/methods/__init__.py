"""Every fusion method behind one protocol, each in a folder of its own that this module finds by itself.

A folder `pipeline/methods/<name>/` is a method. Its `__init__` holds `SETTINGS`, the model of its settings,
whose `method` is the folder's name, and `build(settings)`, which imports the numerics when it is called:
reading a configuration needs the settings of every method and the numerics of none. What methods share lies
beside their folders; what the diffusion models among them share, in the folder `diffusion`.

>>> "gaussian_subspace" in methods()
True
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Annotated, Protocol, TypeAlias, Union, cast

from pydantic import Field

from pipeline.errors import InputError
from pipeline.methods.base import FittedMethod, Method
from pipeline.methods.settings import MethodSettings

__all__ = ["FittedMethod", "Method", "MethodEntry", "build", "methods", "samplers", "settings_of"]


class MethodFolder(Protocol):
    """Public names of a method's folder."""

    SETTINGS: type[MethodSettings]

    def build(self, settings: MethodSettings) -> Method:
        """Build the method that the settings describe."""


FOLDERS = (import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__) if module.ispkg)
REGISTRY: dict[str, MethodFolder] = {
    folder.__name__.rpartition(".")[2]: cast(MethodFolder, folder)
    for folder in FOLDERS
    if hasattr(folder, "SETTINGS")
}

if TYPE_CHECKING:
    MethodEntry: TypeAlias = MethodSettings
else:
    MethodEntry = Annotated[
        Union[tuple(folder.SETTINGS for folder in REGISTRY.values())],  # noqa: UP007
        Field(discriminator="method"),
    ]
    """Settings of any method, distinguished by the key `method`."""


def methods() -> list[str]:
    """Return the names of the methods, in alphabetical order."""
    return list(REGISTRY)


def samplers() -> list[str]:
    """Return the names of the methods that sample step by step, which a trajectory can follow."""
    return [name for name in methods() if settings_of(name)(method=name).sampling_steps is not None]


def settings_of(name: str) -> type[MethodSettings]:
    """Return the settings model of a method.

    Parameters
    ----------
    name : str
        One of `methods()`.

    Raises
    ------
    InputError
        There is no method of that name.
    """
    if name not in REGISTRY:
        raise InputError(f"method: {name!r} is unknown; use one of {', '.join(methods())}")
    return REGISTRY[name].SETTINGS


def build(settings: MethodSettings) -> Method:
    """Build the method that the settings describe.

    Parameters
    ----------
    settings : MethodSettings
        Settings of one of the methods; only the numerics of that method are imported.
    """
    return REGISTRY[settings.method].build(settings)
