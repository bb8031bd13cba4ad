"""The ground of the synthetic scene at a position: cover, object, material fractions and light.

Regions hold fields or a town in their own direction; woods, roads and water lie over them. Every value
depends on its own position alone. The spectra of the covers are in `spectra`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.inputs.synthetic.lattice import Bits, Field, bricks, fractal, hashed, uniform

Keys = Callable[[str], int]
"""Hash key of a purpose."""


class Cover(NamedTuple):
    """A land cover: its main material, the material in the gaps, and how their fractions vary.

    Attributes
    ----------
    main, rest : str
        Materials of the cover and of its gaps.
    share : float
        Mean fraction of the main material.
    spread : float
        Variation of that fraction.
    texture : float
        Relative variation of the brightness.
    """

    main: str
    rest: str
    share: float
    spread: float
    texture: float


COVERS: dict[str, Cover] = {
    "dense crop": Cover("crop", "dark_soil", 0.92, 0.06, 0.05),
    "sparse crop": Cover("crop", "bright_soil", 0.5, 0.2, 0.08),
    "meadow": Cover("grass", "straw", 0.8, 0.15, 0.08),
    "stubble": Cover("straw", "bright_soil", 0.65, 0.2, 0.08),
    "bright field": Cover("bright_soil", "straw", 0.9, 0.08, 0.07),
    "dark field": Cover("dark_soil", "straw", 0.93, 0.06, 0.1),
    "red field": Cover("red_soil", "grass", 0.9, 0.08, 0.08),
    "broadleaf wood": Cover("broadleaf", "grass", 0.93, 0.06, 0.22),
    "conifer wood": Cover("conifer", "broadleaf", 0.9, 0.12, 0.22),
    "hedge": Cover("broadleaf", "grass", 0.75, 0.15, 0.2),
    "track": Cover("bright_soil", "grass", 0.7, 0.15, 0.08),
    "road": Cover("asphalt", "concrete", 0.93, 0.05, 0.06),
    "tiled roof": Cover("red_tile", "grey_roof", 0.95, 0.04, 0.07),
    "grey roof": Cover("grey_roof", "concrete", 0.93, 0.06, 0.1),
    "metal roof": Cover("metal_roof", "grey_roof", 0.95, 0.04, 0.08),
    "yard": Cover("concrete", "grass", 0.75, 0.2, 0.1),
    "garden": Cover("grass", "broadleaf", 0.6, 0.25, 0.2),
    "sand": Cover("bright_soil", "grass", 0.75, 0.15, 0.06),
    "water": Cover("water", "dark_soil", 0.985, 0.008, 0.04),
}
NUMBER = {name: number for number, name in enumerate(COVERS)}

FIELDS: tuple[str, ...] = ("dense crop", "dense crop", "sparse crop", "meadow", "meadow", "stubble")
FIELDS += ("bright field", "dark field", "red field", "dense crop")
ROOFS = ("tiled roof", "tiled roof", "tiled roof", "grey roof", "grey roof", "metal roof")
TOWNS = 0.4  # share of the regions


@dataclass(frozen=True)
class Ground:
    """The ground at some positions, each attribute an array of their shape.

    Attributes
    ----------
    cover : int
        Number of the cover in `COVERS`.
    object : uint64
        Identity of the field, building or tree.
    share : float64
        Fraction of the cover's main material.
    light : float64
        Direct light relative to flat open ground.
    """

    cover: NDArray[np.int64]
    object: Bits
    share: Field
    light: Field


class Layer(NamedTuple):
    """One kind of landscape at some positions.

    Attributes
    ----------
    cover : int
        Number of the cover in `COVERS`.
    object : uint64
        Identity of the field, building or tree.
    light : float64
        Direct light relative to flat open ground.
    """

    cover: NDArray[np.int64]
    object: Bits
    light: Field

    def put(self, where: NDArray[np.bool_], layer: Layer) -> None:
        """Lay another layer, known at just the positions `where`, over this one."""
        for mine, its in zip(self, layer, strict=True):
            mine[where] = its


def ground(keys: Keys, y: Field, x: Field) -> Ground:
    """Compute the ground on a grid of positions.

    Parameters
    ----------
    keys : callable
        Returns the hash key of a purpose.
    y, x : (height,), (width,)
        Absolute rows and columns in pixels.
    """
    bend_y = y[:, None] + 3.5 * fractal(keys("bend y"), y, x, period=60, octaves=2)
    bend_x = x + 3.5 * fractal(keys("bend x"), y, x, period=60, octaves=2)
    region = bricks(keys("region"), bend_y, bend_x, 44, 56, 0.3)
    angle = np.pi * (uniform(keys("angle"), region.id) - 0.5)
    cos, sin = np.cos(angle), np.sin(angle)
    along, across = cos * bend_x + sin * bend_y, cos * bend_y - sin * bend_x
    town = uniform(keys("kind"), region.id) < TOWNS

    shape = town.shape
    layer = Layer(np.empty(shape, np.int64), np.empty(shape, np.uint64), np.empty(shape))
    for where, built_by in ((town, _town), (~town, _fields)):
        layer.put(where, built_by(keys, across[where], along[where], region.id[where]))
    wooded = fractal(keys("woods"), y, x, period=36, octaves=4) > np.where(town, 1.5, 0.75)
    layer.put(wooded, _woods(keys, y, x, wooded))
    road = region.edge < 0.75
    layer.put(road, _plain("road", hashed(keys("road"), region.id[road])))
    distance = _to_river(keys, y, x)
    bank = distance < 1.2 + 0.5 * fractal(keys("bank"), y, x, period=9, octaves=2)
    layer.put(bank, _plain("sand", hashed(keys("sand"), region.id[bank])))
    water = distance < 0
    layer.put(water, _plain("water", np.zeros(np.count_nonzero(water), np.uint64)))
    return _textured(keys, y, x, layer)


def _textured(keys: Keys, y: Field, x: Field, layer: Layer) -> Ground:
    """Add mixing, brightness of the object and fine texture within the cover."""
    share, spread, texture = (
        np.array([getattr(cover, name) for cover in COVERS.values()])[layer.cover]
        for name in ("share", "spread", "texture")
    )
    mixing = fractal(keys("mixing"), y, x, period=8, octaves=4, gain=0.8)
    own = 2 * uniform(keys("share"), layer.object) - 1
    grain = fractal(keys("grain"), y, x, period=2.2, octaves=2, gain=0.9)
    brightness = 1 + 0.14 * (2 * uniform(keys("brightness"), layer.object) - 1)
    return Ground(
        layer.cover,
        layer.object,
        np.clip(share + spread * (mixing + own), 0, 1),
        np.clip(layer.light * brightness * (1 + texture * grain), 0.05, 1.6),
    )


def _plain(cover: str, identity: Bits) -> Layer:
    return Layer(np.full(identity.shape, NUMBER[cover]), identity, np.ones(identity.shape))


def _fields(keys: Keys, across: Field, along: Field, region: Bits) -> Layer:
    """Compute fields with their own crop, rows along or across, and a hedge or track on some edges."""
    field = bricks(keys("field"), across, along, 9, 19, 0.35, wall=region)
    cover = _choice(keys("crop"), field.id, FIELDS)
    kind = uniform(keys("field edge"), field.id)
    edge = np.minimum(field.y, field.x)
    hedge, track = (kind < 0.35) & (edge < 0.9), (kind > 0.65) & (edge < 0.55)
    cover = np.where(hedge, NUMBER["hedge"], np.where(track, NUMBER["track"], cover))
    period = 2.2 + 2.5 * uniform(keys("rows"), field.id)
    rows = 0.09 * np.sin(2 * np.pi * field.y / period) * (uniform(keys("sown"), field.id) < 0.6)
    return Layer(cover, field.id, np.where(hedge | track, 1.0, 1 + rows))


def _town(keys: Keys, across: Field, along: Field, region: Bits) -> Layer:
    """Compute town blocks between streets; each holds lots with houses, a hall, or a park."""
    block = bricks(keys("block"), across, along, 13, 21, 0.2, wall=region)
    use = uniform(keys("use"), block.id)
    lot = bricks(keys("lot"), block.y, block.x, 4.2, 4.6, 0.25, wall=block.id)
    hall = use < 0.12
    place = np.where(hall, block.id, lot.id)
    roof = _choice(keys("roof"), place, ROOFS)
    margin = 0.45 + 0.7 * uniform(keys("margin"), place)
    built = np.where(hall, block.edge - 1.5, lot.edge) > margin
    paved = uniform(keys("paved"), place) < np.where(hall, 0.9, 0.3)
    open_ground = np.where(paved, NUMBER["yard"], NUMBER["garden"])
    cover = np.where(built & (use < 0.88), roof, open_ground)
    cover = np.where((use >= 0.88) & (lot.edge < 0.8), NUMBER["meadow"], cover)

    # the two slopes of a roof, and the house's shadow on the ground beside it
    slope = np.where(lot.y < lot.height / 2, 1.18, 0.78)
    light = np.where(built & ~hall, slope, 1.0)
    shade = ~built & (use < 0.88) & (lot.y > lot.height - 1.0) & ~hall
    light = np.where(shade, 0.5, light)
    street = block.edge < 0.7
    layer = Layer(cover, place, light)
    layer.put(street, _plain("road", hashed(keys("street"), region[street])))
    return layer


def _woods(keys: Keys, y: Field, x: Field, wooded: NDArray[np.bool_]) -> Layer:
    """Compute trees with a sunlit and a shaded side, conifers and broadleaves in stands."""
    row, column = np.nonzero(wooded)
    tree = bricks(keys("tree"), y[row], x[column], 1.9, 2.1, 0.4)
    stand = fractal(keys("stand"), y, x, period=22, octaves=3)[wooded]
    cover = np.where(
        stand + uniform(keys("species"), tree.id) > 0.6, NUMBER["conifer wood"], NUMBER["broadleaf wood"]
    )
    lean = (tree.y / tree.height + tree.x / tree.width) - 1
    return Layer(cover, tree.id, 1.0 - 0.35 * lean)


def _to_river(keys: Keys, y: Field, x: Field) -> Field:
    """Compute the distance in pixels from the bank of the nearest river or lake, negative in the water."""
    key = keys("river")

    def level(dy: float, dx: float) -> Field:
        return fractal(key, y + dy, x + dx, period=110, octaves=3, gain=0.4)

    here = level(0, 0)
    slope = np.hypot(level(1, 0) - here, level(0, 1) - here)
    width = 2.6 + 0.9 * fractal(keys("river width"), y, x, period=40, octaves=2)
    river = np.abs(here) / np.maximum(slope, 1e-3) - width
    lake = (1.75 + here) / np.maximum(slope, 1e-2)
    return np.asarray(np.minimum(river, lake))


def _choice(key: int, identity: Bits, names: tuple[str, ...]) -> NDArray[np.int64]:
    numbers = np.array([NUMBER[name] for name in names])
    return numbers[(uniform(key, identity) * len(names)).astype(np.int64)]
