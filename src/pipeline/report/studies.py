"""The studies of an experiment, ready for the page: figures, captions and pictures of each.

The runs of a study are chosen here; `study_figures` draws them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup

from pipeline.config.studies import Cost, Study, Sweep, Trajectory
from pipeline.report.drawing import pictures, study_figures
from pipeline.report.drawing.figures import looks
from pipeline.report.drawing.pictures import Floats
from pipeline.report.drawing.study_figures import Point, Values
from pipeline.report.galleries import Gallery, Picture
from pipeline.report.numbers.columns import HEADLINE
from pipeline.report.numbers.tables import Run, number

AXES = {
    "argm": "ARGM on",
    "d": "Subspace dimension d",
    "rho1": "ρ₁, step size on A",
    "rho2": "ρ₂, step size on E",
    "snr_db": "SNR [dB]",
    "spatial.fwhm": "FWHM of the true PSF [LR pixels]",
    "steps": "Sampling steps T",
}
"""Axis labels of settings; others go by their own names."""
Planes = Mapping[int, Floats]
"""Coefficients ``(d, H, W)`` by the number of sampling steps left."""


@dataclass(frozen=True)
class Section:
    """A study on the page.

    Attributes
    ----------
    anchor : str
        Identifier of the section in the page.
    title, note : str
        Heading and closing remark from the configuration.
    figures : list of (Markup, str)
        SVG and caption.
    galleries : list of Gallery
        Rows of pictures.
    """

    anchor: str
    title: str
    note: str
    figures: list[tuple[Markup, str]] = field(default_factory=list)
    galleries: list[Gallery] = field(default_factory=list)


def sections(
    studies: Mapping[str, Study],
    runs: Sequence[Run],
    labels: Sequence[str],
    traces: Mapping[tuple[str, str, str], Planes],
) -> list[Section]:
    """Draw all studies of an experiment; scenes without a reference are in none of their figures.

    Parameters
    ----------
    studies : mapping
        By name, as configured.
    runs : sequence of dict
        All runs' `metrics.json`.
    labels : sequence of str
        Methods in the order of the experiment.
    traces : mapping
        Intermediate coefficients that `trace` kept, by scene, response and label.
    """
    parts = []
    runs = [run for run in runs if HEADLINE[0].key in run["metrics"]]
    for name, study in studies.items():
        section = Section(f"study-{name}", study.title, study.note)
        if isinstance(study, Sweep):
            section.figures.extend(_sweep(name, study, runs, labels))
        elif isinstance(study, Cost):
            section.figures.extend(_cost(runs, labels))
        elif isinstance(study, Trajectory):
            section.galleries.extend(_galleries(study, traces))
        parts.append(section)
    return parts


def pictured(studies: Mapping[str, Study], labels: Sequence[str]) -> list[str]:
    """Choose the methods whose cubes are shown: only the first and the last of a sweep.

    Parameters
    ----------
    studies : mapping
        By name, as configured.
    labels : sequence of str
        All methods.
    """
    hidden: set[str] = set()
    for name, study in studies.items():
        if isinstance(study, Sweep) and study.of == "methods":
            hidden |= set(list(study.labels(name))[1:-1])
    return [label for label in labels if label not in hidden]


def _sweep(
    name: str, study: Sweep, runs: Sequence[Run], labels: Sequence[str]
) -> Iterator[tuple[Markup, str]]:
    """Draw a sweep for each scene and response, or for each scene if responses are swept."""
    points = study.labels(name)
    own, other = ("label", "response") if study.of == "methods" else ("response", "label")
    chosen = [run for run in runs if run[own] in points]
    for scene in dict.fromkeys(run["scene"] for run in chosen):
        here = [run for run in chosen if run["scene"] == scene]
        series = {
            key: _by_seed([run for run in here if run[other] == key], own, list(points))
            for key in dict.fromkeys(run[other] for run in here)
        }
        axes = [AXES.get(setting, setting) for setting in study.over]
        numeric = not any(isinstance(value, str | bool) for values in study.over.values() for value in values)
        if numeric and len(axes) == 1:
            x = [float(value) for (value,) in points.values()]
            look = looks(labels if study.of == "responses" else list(series))
            svg = study_figures.lines(x, series, axes[0], look)
            yield Markup(svg), f"{scene}: mean over the noise seeds{_spread_in_words(series)}."
        elif numeric:
            yield from _heat_maps(scene, study, series, axes)
        else:
            yield from _differences(scene, points, series)


def _by_seed(runs: Sequence[Run], own: str, labels: Sequence[str]) -> dict[str, Values]:
    """Arrange each metric as ``(labels, seeds)``, over the seeds that all labels ran with."""
    metrics = {(run[own], run["seed"]): run["metrics"] for run in runs}
    seeds = [
        seed
        for seed in sorted({seed for _, seed in metrics})
        if all((label, seed) in metrics for label in labels)
    ]
    return {
        column.key: np.array(
            [[number(metrics[label, seed][column.key]) for seed in seeds] for label in labels], np.float64
        )
        for column in HEADLINE
    }


def _seeds_in_words(measured: Mapping[str, Values]) -> str:
    count = measured[HEADLINE[0].key].shape[1]
    return f"{count} noise seed{'s' if count > 1 else ''}"


def _spread_in_words(series: Mapping[str, Mapping[str, Values]]) -> str:
    counts = ", ".join(dict.fromkeys(_seeds_in_words(measured) for measured in series.values()))
    many = any(measured[HEADLINE[0].key].shape[1] > 1 for measured in series.values())
    return f" ({counts})" + (", bars: their sample standard deviation" if many else "")


def _heat_maps(
    scene: str, study: Sweep, series: Mapping[str, Mapping[str, Values]], axes: Sequence[str]
) -> Iterator[tuple[Markup, str]]:
    rows, columns = ([float(value) for value in values] for values in study.over.values())
    for key, measured in series.items():
        means = {name: v.mean(axis=1).reshape(len(rows), len(columns)) for name, v in measured.items()}
        svg = study_figures.heat_map(rows, columns, means, (axes[0], axes[1]))
        yield (
            Markup(svg),
            f"{scene}, {key}: mean over {_seeds_in_words(measured)}. Brighter is better; best in bold.",
        )


def _differences(
    scene: str, points: Mapping[str, object], series: Mapping[str, Mapping[str, Values]]
) -> Iterator[tuple[Markup, str]]:
    base, *others = points
    for key, measured in series.items():
        less = {
            label: {name: values[row] - values[0] for name, values in measured.items()}
            for row, label in enumerate(others, 1)
        }
        at = ", ".join(
            f"{column.text(values[0].mean())} {column.unit} {column.label}"
            for column, values in zip(HEADLINE, measured.values(), strict=True)
        )
        yield (
            Markup(study_figures.differences(less, base)),
            f"{scene}, {key}: one point for each of {_seeds_in_words(measured)}, with the same noise and "
            f"random start as {base} (mean {at}); the bar is their mean.",
        )


def _cost(runs: Sequence[Run], labels: Sequence[str]) -> Iterator[tuple[Markup, str]]:
    for place in dict.fromkeys((run["scene"], run["response"]) for run in runs):
        groups = {
            label: [r for r in runs if (r["scene"], r["response"], r["label"]) == (*place, label)]
            for label in labels
        }
        points = {label: _point(group) for label, group in groups.items() if group}
        yield (
            Markup(study_figures.cost(points, looks(labels))),
            f"{' / '.join(place)}: mean over the noise seeds. Left: wall time of estimation, training and "
            "fusion (filled markers), and of fusion alone (hollow markers), which most publications state. "
            "Right: peak resident memory of the host in the step that needs most; GPU memory is not counted. "
            "In brackets: number of parameters trained by gradient descent. Time and memory are on "
            "logarithmic axes.",
        )


def _point(runs: Sequence[Run]) -> Point:
    seconds = [run["seconds"] for run in runs]
    return Point(
        psnr=float(np.mean([number(run["metrics"]["psnr"]) for run in runs])),
        fusing=float(np.mean([part["fuse"] for part in seconds])),
        total=float(np.mean([part["estimate"] + part["train"] + part["fuse"] for part in seconds])),
        memory=float(np.mean([run["peak_mem_mb"] for run in runs])),
        parameters=runs[0]["parameters"],
    )


def _galleries(study: Trajectory, traces: Mapping[tuple[str, str, str], Planes]) -> Iterator[Gallery]:
    """Show a row of pictures for each method, all of the same coefficient."""

    def picture(planes: Floats, time: int, label: str, factor: int, limits: Floats) -> Picture:
        shown = pictures.colour_picture(np.stack([planes[factor]] * 3), limits)
        when = f"{time} step{'s' if time > 1 else ''} left" if time else "the end"
        return Picture(when, f"Coefficient {factor + 1} of {label}, {when}", pictures.png_uri(shown))

    for place in dict.fromkeys((scene, response) for scene, response, _ in traces):
        rows = {label: traces[*place, label] for label in study.methods}
        end = rows[study.methods[0]][min(study.times)]
        factor = int(np.argmax(end.std(axis=(1, 2))))
        for label, planes in rows.items():
            low, high = np.percentile(planes[min(study.times)][factor], (2, 98))
            limits = np.tile([low, max(high, low + 1e-6)], (3, 1))
            shown = [picture(planes[time], time, label, factor, limits) for time in study.times]
            note = (
                f"{' / '.join(place)}: estimate of the clean coefficients A during sampling. Shown is "
                f"coefficient {factor + 1} of {len(end)}, which varies most at the end. Black and white are "
                f"the 2nd and 98th percentile of this row's last picture.{_apart(study, rows, label)}"
            )
            yield Gallery(label, note, shown)


def _apart(study: Trajectory, rows: Mapping[str, Planes], label: str) -> str:
    """State how far a method's coefficients are from the coefficients of the first method."""
    first = study.methods[0]
    if label == first:
        return ""
    apart = ", ".join(
        f"{np.sqrt(np.mean((rows[label][time] - rows[first][time]) ** 2)):.3f} at {time}"
        for time in study.times
    )
    return f" RMS difference from {first} over all coefficients, which lie in [0, 1]: {apart}."
