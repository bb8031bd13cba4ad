"""The page: one self-contained HTML file that opens offline, on a screen and on paper.

Everything shown is escaped by the template; only the charts' SVG passes as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined

from pipeline.config import Experiment
from pipeline.report.comparison import Comparison
from pipeline.report.published import COLUMNS, SOURCE, TITLES, Line, has_peers, published
from pipeline.report.standing import Standing
from pipeline.report.studies import Section
from pipeline.report.tables import Run
from pipeline.scenes import GaussianResponse, Response, SensorResponse, SpatialConfig


@dataclass(frozen=True)
class Provenance:
    """Where the numbers come from."""

    common: dict[str, str]
    varying: list[str]
    runs: list[tuple[str, list[str]]]
    settings: dict[str, str]
    stores: Mapping[str, str]
    configuration: str


def provenance(experiment: Experiment, runs: Sequence[Run], stores: Mapping[str, str]) -> Provenance:
    """What all runs share, what differs, and the digests of the stores.

    Parameters
    ----------
    experiment : Experiment
    runs : sequence of dict
        All runs' `metrics.json`.
    stores : mapping
        Digest of each store or source, by its path under the results folder.
    """
    flat = [
        _flat(run["provenance"]) | {"device": run["device"], "precision": run["precision"]} for run in runs
    ]
    keys = list(dict.fromkeys(key for values in flat for key in values))
    common = {key: flat[0][key] for key in keys if all(v.get(key) == flat[0].get(key) for v in flat)}
    varying = [key for key in keys if key not in common]
    return Provenance(
        common=common,
        varying=varying,
        runs=[
            (
                f"{run['scene']} / {run['response']} / seed {run['seed']} / {run['label']}",
                [values.get(key, "") for key in varying],
            )
            for run, values in zip(runs, flat, strict=True)
        ],
        settings={run["label"]: json.dumps(run["settings"], sort_keys=True) for run in runs},
        stores=stores,
        configuration=yaml.safe_dump(
            experiment.model_dump(mode="json", exclude_none=True), sort_keys=False, width=100
        ),
    )


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested values under dotted keys, as text."""
    result: dict[str, str] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            result |= _flat(value, f"{prefix}{key}.")
        else:
            result[prefix + key] = value if isinstance(value, str) else json.dumps(value)
    return result


def render(
    experiment: Experiment,
    comparisons: Sequence[Comparison],
    origin: Provenance,
    overview: Sequence[Standing] = (),
    studies: Sequence[Section] = (),
) -> str:
    """The report as HTML text; `overview` of all scenes, a metric each, where there are several."""
    text = files("pipeline.report").joinpath("template.html").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(text).render(
        experiment=experiment.experiment,
        what=_what_was_done(experiment),
        comparisons=comparisons,
        studies=studies,
        overview=overview,
        published=_published(experiment),
        published_columns=COLUMNS,
        published_source=SOURCE,
        origin=origin,
    )


def _published(experiment: Experiment) -> list[tuple[str, list[Line]]]:
    """All printed results by data set, for an experiment with several of the methods they are of."""
    peers = has_peers([entry.method for entry in experiment.methods.values()])
    return [(title, published(dataset)) for dataset, title in TITLES.items()] if peers else []


def _what_was_done(experiment: Experiment) -> dict[str, str]:
    """The experiment in a few lines."""
    noise, told = experiment.noise, experiment.estimation
    level = "each band" if noise.per_band else "one level for each image"
    trained = noise.trained_seeds
    fewer = f" (methods that train: {', '.join(map(str, trained))})" if trained else ""
    return {
        "Scenes": ", ".join(_scene(experiment, name) for name in experiment.scenes),
        "Responses": "; ".join(f"{name}: {_response(r)}" for name, r in experiment.responses.items()),
        "Noise": f"white, SNR {noise.snr_db:g} dB ({level}), seeds {', '.join(map(str, noise.seeds))}{fewer}",
        "Told to the methods": f"spectral response {told.spectral_response}, noise levels {told.noise}",
        "Methods": ", ".join(
            label if label == entry.method else f"{label} ({entry.method})"
            for label, entry in experiment.methods.items()
        ),
    }


def _scene(experiment: Experiment, name: str) -> str:
    responses = experiment.scenes[name].responses
    return f"{name} ({', '.join(responses)})" if responses else name


def _response(response: Response) -> str:
    spatial = response.spatial
    spectral = response.spectral
    if isinstance(spectral, GaussianResponse):
        bands = f"{len(spectral.centres)} Gaussian bands"
    elif isinstance(spectral, SensorResponse):
        bands = f"{', '.join(spectral.bands or ['all bands'])} of {spectral.sensor} ({spectral.tables})"
    else:
        bands = f"spectral response from {spectral.path}"
    level = "" if response.snr_db is None else f", SNR {response.snr_db:g} dB"
    told = f" (told to the methods: {_blur(response.told)})" if response.told else ""
    return f"{_blur(spatial)}{told}, ratio {spatial.ratio}, {bands}{level}"


def _blur(spatial: SpatialConfig) -> str:
    shape = f", FWHM {spatial.fwhm:g} LR pixels" if spatial.fwhm else ""
    shape = f", MTF {spatial.mtf:g} at the LR Nyquist frequency" if spatial.mtf else shape
    return f"{spatial.kind} blur{shape}"
