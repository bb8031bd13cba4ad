"""References that supervised methods learn from, opened as examples; no other method's training opens one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import InputError
from pipeline.methods import MethodEntry
from pipeline.methods.diffusion.examples import Example, cut_to_region
from pipeline.methods.pool import unit_scale
from pipeline.methods.supervised import RegionTraining, SupervisedSettings
from pipeline.runs.observation import read_completed_scene
from pipeline.store.schema import variable_of
from pipeline.store.store import read_store


def read_examples(ledgers: Sequence[Path], settings: MethodEntry) -> list[Example]:
    """Open the scenes of a training with their references; images stay in their stores.

    Parameters
    ----------
    ledgers : sequence of Path
        Ledgers of observation, estimate and reference of each scene.
    settings : MethodEntry
        Settings of the method; a training on a region may read that region's reference alone.

    Raises
    ------
    InputError
        The ledgers do not come in threes, or the region does not fit into the scene.
    """
    if len(ledgers) % 3:
        raise InputError(
            f"examples: expected observation, estimate and reference of each scene, got {len(ledgers)} files"
        )
    examples = []
    for observation, estimate, reference in zip(*(ledgers[i::3] for i in range(3)), strict=True):
        scene = read_completed_scene(observation, estimate)
        truth = variable_of(read_store(reference), "reference")
        examples.append(Example(scene, truth, scene.whole, unit_scale(scene)))
    if isinstance(settings, SupervisedSettings) and isinstance(settings.training, RegionTraining):
        window = settings.training.region.window
        return [cut_to_region(example, window, settings.method) for example in examples]
    return examples
