"""Studies of an experiment: the settings that are varied, and the figures that the report draws.

A sweep stands for the methods or responses that differ in one or two settings; they are written out
when the configuration is read, so that the workflow knows labels alone. Figures are drawn in
`pipeline.report.studies`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Set
from contextlib import suppress
from copy import deepcopy
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from pipeline.methods import samplers
from pipeline.methods.settings import MethodSettings
from pipeline.settings.strict import Distinct, Strict

Value = bool | int | float | str


class Study(Strict):
    """Settings common to all studies."""

    title: str = Field(description="heading of the figures")
    note: str = Field("", description="text under the figures, such as published values")


class Sweep(Study):
    """One method, or one response, with every combination of some settings.

    Labels are `<sweep>-<value>` or `<sweep>-<value>-<value>`.
    """

    kind: Literal["sweep"]
    method: dict[str, Any] | None = Field(None, description="settings that all its methods share")
    response: dict[str, Any] | None = Field(None, description="settings that all its responses share")
    over: dict[str, Annotated[list[Value], Field(min_length=1)]] = Field(
        min_length=1, max_length=2, description="setting, such as `rho1` or `spatial.fwhm`: its values"
    )

    @model_validator(mode="after")
    def _one_base(self) -> Sweep:
        if (self.method is None) == (self.response is None):
            raise ValueError("a sweep needs either method or response")
        return self

    @model_validator(mode="after")
    def _settings_have_a_place(self) -> Sweep:
        for _ in self.entries(""):
            pass
        return self

    @property
    def of(self) -> Literal["methods", "responses"]:
        """The section of the experiment that it adds to."""
        return "responses" if self.method is None else "methods"

    def labels(self, name: str) -> dict[str, tuple[Value, ...]]:
        """Return the values by label, in the order of the configuration."""
        return {
            "-".join([name, *map(_in_label, values)]): values
            for values in itertools.product(*self.over.values())
        }

    def entries(self, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield labels with their settings."""
        for label, values in self.labels(name).items():
            entry = deepcopy(self.method if self.method is not None else self.response) or {}
            for setting, value in zip(self.over, values, strict=True):
                _put(entry, setting, value)
            yield label, entry


class Cost(Study):
    """Quality against time and memory, one point for each method."""

    kind: Literal["cost"]


class Trajectory(Study):
    """The coefficients that diffusion methods estimate on their way."""

    kind: Literal["trajectory"]
    methods: Distinct[str] = Field(description="labels, one row of pictures each")
    times: Distinct[Annotated[int, Field(ge=0)]] = Field(
        [500, 400, 300, 200, 100, 0], description="sampling steps left"
    )


StudyEntry = Annotated[Sweep | Cost | Trajectory, Field(discriminator="kind")]


def complete(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return an experiment's content with its sweeps and defaults written out, and without empty scenes.

    Errors in the content are left for the models to report.
    """
    done = dict(content)
    if isinstance(done.get("scenes"), dict):
        done["scenes"] = {name: scene for name, scene in done["scenes"].items() if scene is not None}
    for name, sweep in _sweeps(done.get("studies")):
        given = {} if done.get(sweep.of) is None else done[sweep.of]
        if isinstance(given, dict):
            done[sweep.of] = given | {label: e for label, e in sweep.entries(name) if label not in given}
    methods, defaults = done.get("methods"), done.get("defaults")
    if isinstance(methods, dict) and isinstance(defaults, dict):
        done["methods"] = {label: _with_defaults(label, e, defaults) for label, e in methods.items()}
    return done


def check_studies(
    studies: Mapping[str, Study],
    methods: Mapping[str, MethodSettings],
    responses: Mapping[str, BaseModel],
    defaults: Mapping[str, Any],
    observed: Set[str],
) -> None:
    """Refuse studies that do not fit the rest of an experiment.

    Parameters
    ----------
    studies, methods, responses, defaults : mapping
        Sections of the experiment.
    observed : set of str
        Responses under which some scene is observed.

    Raises
    ------
    ValueError
        A label stands for two entries or for nothing that is run, or a trajectory cannot be traced.
    """
    for name, study in studies.items():
        if isinstance(study, Sweep):
            _check_labels(name, study)
            for label, entry in study.entries(name):
                wanted = _with_defaults(label, entry, defaults) if study.of == "methods" else entry
                existing = methods[label] if study.of == "methods" else responses[label]
                if not _describes(wanted, existing):
                    raise ValueError(f"{study.of}.{label}: is a label of studies.{name} too; rename one")
            if study.of == "responses" and observed.isdisjoint(study.labels(name)):
                raise ValueError(
                    f"studies.{name}: no scene uses its responses; name them in the scenes' "
                    f"`responses`: {', '.join(study.labels(name))}"
                )
        elif isinstance(study, Trajectory):
            _check_trajectory(name, study, methods)


def _check_labels(name: str, sweep: Sweep) -> None:
    for setting, values in sweep.over.items():
        by_label: dict[str, Value] = {}
        for value in values:
            label = _in_label(value)
            if label in by_label:
                raise ValueError(
                    f"studies.{name}.over.{setting}: {by_label[label]} and {value} have the same label, "
                    f"{label}; leave one out, or let them differ in their first six digits"
                )
            by_label[label] = value


def _check_trajectory(name: str, study: Trajectory, methods: Mapping[str, MethodSettings]) -> None:
    for label in study.methods:
        if label not in methods:
            raise ValueError(f"studies.{name}.methods: {label!r} is not among the methods")
        steps = methods[label].sampling_steps
        if steps is None:
            raise ValueError(
                f"studies.{name}.methods: {label!r} is of {methods[label].method}, which has no sampling to "
                f"trace with these settings; choose {' or '.join(samplers())} with settings that sample"
            )
        if max(study.times) > steps:
            raise ValueError(
                f"studies.{name}.times: {max(study.times)} is above the {steps} steps of methods.{label}; "
                f"choose from {steps} to 0"
            )


def _describes(content: Any, entry: BaseModel) -> bool:
    """Return whether some content, once validated, equals an entry."""
    try:
        return type(entry).model_validate(content).model_dump() == entry.model_dump()
    except ValidationError:
        return False


def _sweeps(studies: Any) -> Iterator[tuple[str, Sweep]]:
    """Return the well-formed sweeps among an experiment's studies."""
    for name, study in studies.items() if isinstance(studies, dict) else ():
        with suppress(ValidationError):
            yield str(name), Sweep.model_validate(study)


def _with_defaults(label: str, entry: Any, defaults: Mapping[str, Any]) -> Any:
    """Return the settings of a method, completed by the defaults; other content is returned unchanged."""
    if not isinstance(entry, dict | None):
        return entry
    entry = {"method": label} | (entry or {})
    shared = defaults.get(str(entry["method"]))
    return (shared if isinstance(shared, dict) else {}) | entry


def _in_label(value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).lower()


def _put(entry: dict[str, Any], setting: str, value: Value) -> None:
    *above, last = setting.split(".")
    for key in above:
        inside = entry.setdefault(key, {})
        if not isinstance(inside, dict):
            raise ValueError(f"over.{setting}: {key} is {inside!r}, which has no fields; write them out")
        entry = inside
    entry[last] = value
