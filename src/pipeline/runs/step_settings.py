"""The part of an experiment that each step takes, as the JSON text of its option `--settings`.

A rule has this text as a parameter: a step is rerun when a setting changes that it uses, and only then.
"""

from __future__ import annotations

import json
from typing import Any

from pipeline.config.experiment import Experiment


def step_settings(
    experiment: Experiment, step: str, scene: str = "", response: str = "", label: str = ""
) -> str:
    """Return the settings of a step as JSON text.

    Parameters
    ----------
    experiment : Experiment
        The whole configuration.
    step : str
        Name of the rule, such as `crop`.
    scene : str
        Name of the scene, of the steps that work on one.
    response : str
        Name of the response, of the steps that use one.
    label : str
        Label of the method, of the steps that use one.
    """
    part: Any
    match step:
        case "download":
            files = {"hsi", "msi", "reference"}
            part = experiment.scenes[scene].model_dump(mode="json", include={"source": True, "pair": files})
        case "crop" | "clip" | "align":
            keys = {"source", "pair", "wald", "crop"}
            part = experiment.scenes[scene].model_dump(mode="json", include=keys)
        case "simulate":
            noise = experiment.noise.model_dump(mode="json", exclude={"seeds"})
            part = {"response": experiment.responses[response].model_dump(mode="json"), "noise": noise}
        case "estimate":
            part = experiment.estimation_of(scene).model_dump(mode="json")
        case "plan":
            part = {
                "tiling": experiment.tiling.model_dump(mode="json"),
                "method": _method(experiment, scene, label),
            }
        case "train" | "fuse" | "mosaic" | "trace" | "evaluate":
            part = _method(experiment, scene, label)
        case "export":
            assert experiment.products is not None
            part = experiment.products.of_scene(scene).model_dump(mode="json")
        case "report":
            part = experiment.model_dump(mode="json", exclude={"products"})
        case _:
            raise ValueError(f"the step {step!r} takes no settings")
    return json.dumps(part)


def _method(experiment: Experiment, scene: str, label: str) -> dict[str, Any]:
    """Return the settings of a method on a scene; noise seeds choose runs and change none."""
    return experiment.method_of(scene, label).model_dump(mode="json", exclude={"seeds"})
