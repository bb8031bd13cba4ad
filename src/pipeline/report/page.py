"""The page: one self-contained HTML file that opens offline, on a screen and on paper.

The template escapes all text; only the SVG of the charts is inserted unescaped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.config.experiment import Experiment
from pipeline.config.published import SOURCE, TABLES
from pipeline.report.comparison import Comparison
from pipeline.report.description import introduction, what_was_done
from pipeline.report.numbers.published import COLUMNS, Line, has_peers, published
from pipeline.report.numbers.standing import Standing
from pipeline.report.numbers.tables import Run
from pipeline.report.studies import Section


@dataclass(frozen=True)
class Provenance:
    """Origin of the numbers.

    Attributes
    ----------
    common : dict of str
        Provenance that all runs share.
    varying : list of str
        Keys of what differs between runs.
    runs : list of (str, list of str)
        Each run, and its values of these keys.
    settings : dict of str
        Settings of each method, as JSON.
    stores : mapping of str
        Digest of each store or source, by its path under the results folder.
    configuration : str
        The experiment's configuration, as YAML.
    """

    common: dict[str, str]
    varying: list[str]
    runs: list[tuple[str, list[str]]]
    settings: dict[str, str]
    stores: Mapping[str, str]
    configuration: str


def provenance(experiment: Experiment, runs: Sequence[Run], stores: Mapping[str, str]) -> Provenance:
    """Collect what all runs share, what differs between them, and the digests of the stores.

    Parameters
    ----------
    experiment : Experiment
        Configuration of the experiment.
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
    """Flatten nested values to text under dotted keys."""
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
    products: str = "",
) -> str:
    """Write the report as HTML.

    Parameters
    ----------
    experiment : Experiment
        Configuration of the experiment.
    comparisons : sequence of Comparison
        One for each scene and response.
    origin : Provenance
        Origin of the numbers.
    overview : sequence of Standing
        Ranking over all scenes, one for each metric; empty for a single scene.
    studies : sequence of Section
        Studies of the experiment.
    products : str
        What became of the values in exported files; empty where nothing was exported.
    """
    environment = Environment(
        loader=PackageLoader("pipeline.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("template.html").render(
        experiment=experiment.experiment,
        introduction=introduction(experiment),
        what=what_was_done(experiment) | ({"Products": products} if products else {}),
        comparisons=comparisons,
        studies=studies,
        overview=overview,
        published=_published(experiment),
        published_columns=COLUMNS,
        published_source=SOURCE,
        origin=origin,
    )


def _published(experiment: Experiment) -> list[tuple[str, list[Line]]]:
    """List all published results by data set, for an experiment with several of the published methods."""
    peers = has_peers([entry.method for entry in experiment.methods.values()])
    return [(table["title"], published(dataset)) for dataset, table in TABLES.items()] if peers else []
