"""Experiment files: the ones in the repository, the schema, defaults, and each error as one line."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

from pipeline.config.experiment import json_schema, load_experiment, parse_experiment
from pipeline.config.responses import SpatialConfig
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.errors import InputError
from pipeline.methods import methods
from pipeline.methods.args_diff.settings import BUDGETS, ArgsDiffSettings
from pipeline.methods.bicubic.settings import BicubicSettings
from pipeline.methods.gaussian_subspace.settings import GaussianSubspaceSettings

CONFIG = Path(__file__).resolve().parents[2] / "config"
FILES = sorted(CONFIG.glob("*.yaml")) + sorted(CONFIG.glob("test/*.yaml"))

EXAMPLE = {
    "experiment": "example",
    "scenes": {"field": {"source": {"kind": "synthetic", "height": 32, "width": 48, "bands": 8}}},
    "responses": {
        "oli": {
            "spatial": {"kind": "bicubic", "ratio": 4},
            "spectral": {"kind": "gaussian", "centres": [480, 660], "fwhm": 60},
        }
    },
    "noise": {"seeds": [0, 1]},
    "methods": {"bicubic": None, "mine": {"method": "gaussian_subspace", "d": 4, "seeds": [1]}},
}
SCENE, RESPONSE = ("scenes", "field"), ("responses", "oli")


def changed(place: tuple[Any, ...], value: Any) -> Any:
    """The example with one value set."""
    content: Any = copy.deepcopy(EXAMPLE)
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return content


def without(place: tuple[Any, ...]) -> Any:
    """The example with one key taken out."""
    content: Any = copy.deepcopy(EXAMPLE)
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    del inner[place[-1]]
    return content


def message_of(content: Any) -> str:
    """What is said about unusable content, after the file's name."""
    with pytest.raises(InputError) as error:
        parse_experiment(content, "example.yaml")
    text = str(error.value)
    assert "\n" not in text
    assert text.startswith("example.yaml: ")
    return text.removeprefix("example.yaml: ")


# ---- the files of the repository


def test_there_are_configurations() -> None:
    assert {"demo.yaml", "jasper_ridge.yaml", "tiny.yaml"} <= {path.name for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_configurations_load_and_meet_the_schema(path: Path) -> None:
    experiment = load_experiment(path)
    assert experiment.experiment == path.stem
    validator = jsonschema.Draft202012Validator(yaml.safe_load(json_schema()))
    validator.validate(yaml.safe_load(path.read_text()))
    dumped = experiment.model_dump(mode="json")
    assert parse_experiment(dumped, "again").model_dump(mode="json") == dumped
    validator.validate(dumped)


def test_the_stored_schema_is_that_of_the_models() -> None:
    stored = (CONFIG / "schema.json").read_text()
    assert stored == json_schema(), "run: pipeline schema --out config/schema.json"
    jsonschema.Draft202012Validator.check_schema(yaml.safe_load(stored))


@pytest.mark.parametrize(
    "content",
    [
        changed(("noise", "snr"), 3),
        changed((*SCENE, "source", "kind"), "sintetic"),
        changed(("methods", "mine"), {"d": 3}),
        changed(("methods", "bicubic"), {"d": 3}),
        without(("methods",)),
    ],
)
def test_the_schema_refuses_what_the_models_refuse(content: Any) -> None:
    message_of(content)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, yaml.safe_load(json_schema()))


# ---- what a configuration means


def test_methods_and_their_seeds() -> None:
    experiment = parse_experiment(EXAMPLE, "example.yaml")
    assert experiment.methods == {
        "bicubic": BicubicSettings(),
        "mine": GaussianSubspaceSettings(d=4, seeds=[1]),
    }
    assert experiment.seeds_of("bicubic") == [0, 1]
    assert experiment.seeds_of("mine") == [1]


def test_each_scene_has_its_own_responses() -> None:
    content = changed(("responses", "msi"), EXAMPLE["responses"]["oli"])
    content["scenes"]["lake"] = EXAMPLE["scenes"]["field"] | {"responses": ["msi"]}
    experiment = parse_experiment(content, "example.yaml")
    observed = [("field", "oli"), ("field", "msi"), ("lake", "msi")]
    assert list(experiment.observed()) == observed
    assert [experiment.title(*pair) for pair in observed] == ["field/oli", "field/msi", "lake"]
    assert [tuple(run) for run in experiment.runs()] == [
        (*pair, *run) for pair in observed for run in (("bicubic", 0), ("bicubic", 1), ("mine", 1))
    ]


def test_a_scene_may_have_settings_of_its_own() -> None:
    experiment = load_experiment(CONFIG / "benchmark_paper.yaml")
    trained = {name: experiment.method_of(name, "args_diff").training for name in experiment.scenes}
    iterations = {name: budget.spectral_iterations for name, budget in trained.items()}
    assert iterations == {"pavia_university": 500_000, "chikusei": 600_000, "ksc": 800_000}
    others = {str(budget.model_dump(exclude={"spectral_iterations"})) for budget in trained.values()}
    assert len(others) == 1
    assert experiment.method_of("ksc", "miae") is experiment.methods["miae"]


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"other": {}}, "scenes.field.methods.other: is not among the methods ['bicubic', 'mine']"),
        ({"mine": {"seeds": [0]}}, "scenes.field.methods.mine.seeds: is the same for all scenes; set it"),
        ({"mine": {"e": 3}}, "scenes.field.methods.mine: unknown key 'e'; accepted: "),
    ],
)
def test_settings_of_a_scene_are_those_of_its_methods(own: dict[str, Any], said: str) -> None:
    assert said in message_of(changed((*SCENE, "methods"), own))


def test_a_response_need_not_fit_the_scenes_that_it_is_not_for() -> None:
    content = changed((*SCENE, "responses"), ["oli"])
    content["responses"]["third"] = EXAMPLE["responses"]["oli"] | {"spatial": {"kind": "bicubic", "ratio": 3}}
    parse_experiment(content, "example.yaml")
    content["scenes"]["field"]["responses"] = ["third"]
    assert "scenes.field with responses.third: spatial response: 32 HR pixels" in message_of(content)


def test_seeds_of_methods_that_train() -> None:
    content = changed(("noise",), {"seeds": [0, 1, 2], "trained_seeds": [2, 0]})
    content["methods"] |= {"args_diff": {}, "own": {"method": "args_diff", "seeds": [1]}}
    experiment = parse_experiment(content, "example.yaml")
    seeds = {label: experiment.seeds_of(label) for label in experiment.methods}
    assert seeds == {"bicubic": [0, 1, 2], "mine": [1], "args_diff": [2, 0], "own": [1]}
    del content["noise"]["trained_seeds"]
    assert parse_experiment(content, "example.yaml").seeds_of("args_diff") == [0, 1, 2]


def test_defaults() -> None:
    experiment = parse_experiment(without(("noise",)) | {"methods": {"args_diff": {}}}, "example.yaml")
    assert experiment.noise.snr_db == 35
    assert not experiment.noise.per_band
    assert experiment.noise.seeds == [0]
    assert experiment.estimation.spectral_response == experiment.estimation.noise == "given"
    assert experiment.methods["args_diff"] == ArgsDiffSettings()


def test_products_are_made_on_request_with_the_time_of_their_scene() -> None:
    assert parse_experiment(EXAMPLE, "x").products is None
    times = {"field": "2013-07-19T10:30:00Z"}
    products = parse_experiment(changed(("products",), {"stac": True, "datetime": times}), "x").products
    assert products is not None
    assert products.formats == ["cog"]
    assert products.of_scene("field").datetime == "2013-07-19T10:30:00Z"
    assert products.of_scene("lake").datetime is None


def test_budgets() -> None:
    assert ArgsDiffSettings(budget="quick").training == BUDGETS["quick"]
    content = changed(("methods", "args_diff"), {"budget": {"width": 96, "spatial_iterations": 7}})
    settings = parse_experiment(content, "example.yaml").methods["args_diff"]
    assert isinstance(settings, ArgsDiffSettings)
    assert (settings.training.width, settings.training.spatial_iterations) == (96, 7)
    assert settings.training.spectral_batch == BUDGETS["paper"].spectral_batch


def test_models_cannot_be_changed() -> None:
    experiment = parse_experiment(EXAMPLE, "example.yaml")
    with pytest.raises(ValidationError, match="frozen"):
        experiment.noise = experiment.noise


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"kind": "bicubic", "ratio": "25/3"}, SpatialResponse.bicubic(ratio=Fraction(25, 3))),
        ({"kind": "box", "ratio": 8.33}, SpatialResponse.box(ratio="25/3")),
        ({"kind": "gaussian", "ratio": 4, "fwhm": 1.2}, SpatialResponse.gaussian(ratio=4, fwhm=1.2)),
        ({"kind": "gaussian", "ratio": 4, "mtf": 0.3}, SpatialResponse.gaussian(ratio=4, mtf=0.3)),
        (
            {"kind": "psf", "ratio": 2, "psf": [[1, 2], [0, 1]]},
            SpatialResponse.from_psf([[1, 2], [0, 1]], ratio=2),
        ),
    ],
)
def test_spatial_responses(fields: dict[str, Any], expected: SpatialResponse) -> None:
    assert SpatialConfig.model_validate(fields).build() == expected


def test_sizes_are_known_where_the_configuration_tells() -> None:
    crop = {"height": 16, "width": 24}
    (cropped,) = parse_experiment(changed((*SCENE, "crop"), crop), "x").scenes.values()
    assert cropped.size == (16, 24)
    (whole,) = parse_experiment(EXAMPLE, "x").scenes.values()
    assert whole.size == (32, 48)
    (file,) = parse_experiment(
        changed((*SCENE, "source"), {"kind": "file", "path": "a.mat"}), "x"
    ).scenes.values()
    assert file.size is None


# ---- errors


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "should be a valid dictionary or instance of Experiment, found null"),
        ([1], "should be a valid dictionary or instance of Experiment, found [1]"),
        (
            changed(("sceens",), {}),
            "unknown key 'sceens' (did you mean 'scenes'?); accepted: experiment, studies, defaults, scenes, "
            "responses, noise, estimation, tiling, compute, products, methods",
        ),
        (changed((3,), {}), "unknown key 3; accepted: experiment,"),
        (
            changed(("noise", "snr"), 3),
            "noise: unknown key 'snr' (did you mean 'snr_db'?); accepted: snr_db, per_band, seeds, "
            "trained_seeds",
        ),
        (changed(("noise", "snr_db"), -20), "noise.snr_db: should be greater than -20, found -20"),
        (changed(("noise", "snr_db"), float("nan")), "noise.snr_db: should be a finite number, found NaN"),
        (
            changed(("noise", "snr_db"), "high"),
            'noise.snr_db: should be a valid number, unable to parse string as a number, found "high"',
        ),
        (
            changed(("noise", "snr_db"), datetime.date(2020, 1, 2)),
            'noise.snr_db: should be a valid number, found "2020-01-02"',
        ),
        (changed(("noise", "seeds"), [0, 1, 0]), "noise.seeds: 0 is listed twice; every entry counts once"),
        (changed((*SCENE, "responses"), ["oli", "oli"]), "scenes.field.responses: 'oli' is listed twice"),
        (changed(("products",), {"formats": ["cog", "cog"]}), "products.formats: 'cog' is listed twice"),
        (
            changed(("experiment",), 20220724),
            "experiment: 20220724 is read as int, but a name is text; put",
        ),
        (
            changed(("scenes", datetime.date(2022, 7, 24)), EXAMPLE["scenes"]["field"]),
            "scenes: 2022-07-24 is read as date, but a name is text; put it in quotes",
        ),
        (
            changed(("scenes", "Report.HTML"), EXAMPLE["scenes"]["field"]),
            "scenes: 'Report.HTML' could be the name of a file of the results; let it not end in .json,",
        ),
        (
            changed(("methods", "observation.zarr"), {"method": "bicubic"}),
            "methods: 'observation.zarr' could be the name of a file of the results",
        ),
        (
            changed(("responses", "measured"), EXAMPLE["responses"]["oli"]),
            "responses.measured: stands for the images of a pair; choose another name",
        ),
        (changed(("scenes", "a b"), EXAMPLE["scenes"]["field"]), "scenes: 'a b' cannot be a name; use 100"),
        (changed(("experiment",), "x" * 101), "experiment: 'xxxxx"),
        (
            changed((*SCENE, "source"), {"kind": "file", "path": "a\0b.npy"}),
            "scenes.field.source.path: 'a\\x00b.npy' is not a path; a path is not empty and holds no NUL",
        ),
        (
            changed((*SCENE, "source"), {"kind": "file", "path": "x" * 5000}),
            f"scenes.field.source.path: {'x' * 60!r}... has 5000 bytes; a path has 4095 at most, and 255 bet",
        ),
        (changed(("noise", "seeds", 1), -1), "noise.seeds.1: should be greater than or equal to 0, found -1"),
        (changed(("noise", "seeds"), []), "noise.seeds: List should have at least 1 item"),
        (
            changed(("products",), {"format": ["cog"]}),
            "products: unknown key 'format' (did you mean 'formats'?); accepted: formats, dtype, quality",
        ),
        (
            changed(("products",), {"formats": ["png"]}),
            "products.formats.0: should be 'cog' or 'envi', found \"png\"",
        ),
        (
            changed(("products",), {"stac": True}),
            "products.stac: needs the time of acquisition; give products.datetime for scenes ['field']",
        ),
        (
            changed(("products",), {"datetime": {"lake": "2013-07-19T10:30:00Z"}}),
            "products.datetime: ['lake'] are not among the scenes",
        ),
        (
            changed(("products",), {"datetime": datetime.date(2013, 7, 19)}),
            "products.datetime: put it in quotes, such as '2013-07-19'",
        ),
        (
            changed(("products",), {"datetime": "2013-07-19T10:30:00"}),
            "products.datetime: '2013-07-19T10:30:00' is not a time such as '2013-07-19T10:30:00Z', nor",
        ),
        (
            changed(("products",), {"datetime": "2013-07-20T00:00:00Z/2013-07-19T00:00:00Z"}),
            "products.datetime: '2013-07-20T00:00:00Z/2013-07-19T00:00:00Z' is not a time such as "
            "'2013-07-19T10:30:00Z', nor 'start/end' of such",
        ),
        (without(("experiment",)), "experiment: Field required"),
        (
            changed(("experiment",), "a b"),
            "experiment: 'a b' cannot be a name; use 100 characters at most, letters",
        ),
        (changed(("scenes",), {}), "scenes: Dictionary should have at least 1 item"),
        (changed(("scenes", "a/b"), EXAMPLE["scenes"]), "scenes: 'a/b' cannot be a name"),
        (
            changed((*SCENE, "source", "kind"), "sintetic"),
            "scenes.field.source: 'kind' should be one of 'synthetic', 'file', 'dataset', found 'sintetic'",
        ),
        (without((*SCENE, "source", "kind")), "scenes.field.source: needs the key 'kind'"),
        (
            changed((*SCENE, "source", "wavelength_range"), [900, 400]),
            "scenes.field.source.wavelength_range: the first band must lie below the last, found [900.0",
        ),
        (changed((*SCENE, "crop"), {"height": 3}), "scenes.field.crop.width: Field required"),
        (
            changed((*SCENE, "crop"), {"height": 4, "width": 4, "at": "center"}),
            "scenes.field.crop.at: should be 'centre', found \"center\" (and 1 more)",
        ),
        (
            changed((*SCENE, "crop"), {"height": 4, "width": 4, "at": [-1, 0]}),
            "scenes.field.crop.at.0: should be greater than or equal to 0, found -1",
        ),
        (
            changed((*SCENE, "crop"), {"height": 30, "width": 48}),
            "scenes.field with responses.oli: spatial response: 30 HR pixels are not a whole number of LR "
            "pixels at ratio 4; crop to a multiple of 4, the nearest being 28 or 32",
        ),
        (
            changed((*SCENE, "source"), {"kind": "file", "path": "a.mat", "axes": "x,y"}),
            "scenes.field.source.axes: should be 'band,y,x', 'y,x,band'",
        ),
        (changed((*SCENE, "source"), {"kind": "file"}), "scenes.field.source.path: Field required"),
        (
            changed((*RESPONSE, "spatial", "kind"), "sinc"),
            "responses.oli.spatial.kind: should be 'bicubic', 'gaussian', 'box' or 'psf', found \"sinc\"",
        ),
        (
            changed((*RESPONSE, "spatial", "averaged"), True),
            "responses.oli.spatial: averaged does not belong to kind bicubic",
        ),
        (
            changed((*RESPONSE, "spatial", "fwhm"), 1.0),
            "responses.oli.spatial: fwhm does not belong to kind bicubic",
        ),
        (
            changed((*RESPONSE, "spatial", "kind"), "gaussian"),
            "responses.oli.spatial: kind gaussian needs exactly one of fwhm, mtf",
        ),
        (
            changed((*RESPONSE, "spatial", "ratio"), 0.5),
            "responses.oli.spatial: spatial response: ratio 1/2 is below 1",
        ),
        (
            changed((*RESPONSE, "spatial", "ratio"), "4/0"),
            "responses.oli.spatial: spatial response: ratio '4/0' is not",
        ),
        (
            changed((*RESPONSE, "spatial"), {"kind": "psf", "ratio": 4, "psf": [[1, 2], [1]]}),
            "responses.oli.spatial: spatial response: a PSF is a 2-D array of numbers, its rows equally long",
        ),
        (
            changed((*RESPONSE, "spectral", "fwhm"), [60]),
            "responses.oli.spectral: fwhm has 1 values for 2 centres",
        ),
        (
            changed((*RESPONSE, "spectral", "fwhm"), 0),
            "responses.oli.spectral.fwhm: should be greater than 0, found 0",
        ),
        (
            changed(("estimation",), {"noise": "guessed"}),
            "estimation.noise: should be 'given' or 'estimated'",
        ),
        (changed(("methods",), []), "methods: should be a valid dictionary, found []"),
        (changed(("methods", "bicubic"), 3), "methods.bicubic: should be a valid dictionary"),
        (
            changed(("methods", "mine"), {"d": 3}),
            f"methods.mine: 'method' should be one of {str(methods())[1:-1]}, found 'mine'",
        ),
        (
            changed(("methods", "bicubic"), {"d": 3}),
            "methods.bicubic: unknown key 'd'; accepted: method, seeds",
        ),
        (
            changed(("methods", "mine", "seeds"), [1, 7]),
            "methods.mine.seeds: [7] are not among noise.seeds [0, 1]",
        ),
        (
            changed(("noise", "trained_seeds"), [0, 7]),
            "noise.trained_seeds: [7] are not among noise.seeds [0, 1]",
        ),
        (
            changed((*SCENE, "responses"), ["oli", "msi"]),
            "scenes.field.responses: ['msi'] are not among the responses ['oli']",
        ),
        (changed((*SCENE, "responses"), []), "scenes.field.responses: List should have at least 1 item"),
        (
            changed((*SCENE, "dataset"), "pavia"),
            "scenes.field.dataset: should be 'pavia_university', 'chikusei' or 'ksc', found \"pavia\"",
        ),
        (
            changed(("methods", "args_diff"), {"budget": "fastest"}),
            "methods.args_diff.budget: should be 'paper', 'standard', 'quick' or 'fast', found \"fastest\"",
        ),
        (
            changed(("methods", "args_diff"), {"budget": {"width": 33}}),
            "methods.args_diff.budget.width: should be a multiple of 32, found 33",
        ),
        (
            changed(("methods", "args_diff"), {"d": 0, "steps": 1}),
            "methods.args_diff.d: should be greater than or equal to 1, found 0 (and 1 more)",
        ),
    ],
)
def test_errors_name_key_and_accepted_values(content: Any, expected: str) -> None:
    assert message_of(content).startswith(expected)


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: no such file; configurations lie in config/"):
        load_experiment(tmp_path / "none.yaml")
    path = tmp_path / "bad.yaml"
    write: list[Callable[[], Any]] = [
        lambda: path.write_text("a: [1\nb: 2"),
        lambda: path.write_bytes(b"\xff\xfe\x00\x81"),
    ]
    for step in write:
        step()
        with pytest.raises(InputError, match=r"bad\.yaml: not valid YAML") as error:
            load_experiment(path)
        assert "\n" not in str(error.value)
    path.write_text("")
    with pytest.raises(InputError, match="found null"):
        load_experiment(path)


def a_pair(**changes: Any) -> dict[str, Any]:
    """An experiment of one pair."""
    pair = {"hsi": {"kind": "file", "path": "h.bsq"}, "msi": {"kind": "file", "path": "m.tif"}}
    content = {"experiment": "real", "scenes": {"place": {"pair": pair}}, "methods": {"bicubic": {}}}
    return content | changes


def test_a_pair_needs_no_responses_and_is_estimated() -> None:
    experiment = parse_experiment(a_pair(), "x")
    assert list(experiment.observed()) == [("place", "measured")]
    told = experiment.estimation_of("place")
    assert (told.spectral_response, told.spatial_response) == ("calibrated", "gaussian")
    assert told.noise == "estimated"


def test_a_pair_may_be_judged_one_wald_level_down() -> None:
    content = a_pair()
    content["scenes"]["below"] = {"wald": "place"}
    experiment = parse_experiment(content, "x")
    assert list(experiment.observed()) == [("place", "measured"), ("below", "measured")]
    assert experiment.estimation_of("below").noise == "given"


@pytest.mark.parametrize(
    ("scene", "message"),
    [
        ({}, "a scene has one of source, pair and wald, found none of them"),
        ({"wald": "nowhere"}, "'nowhere' is no scene with a pair"),
        ({"source": {"kind": "synthetic"}}, "is simulated and needs `responses`"),
        ({"wald": "place", "crop": {"height": 8, "width": 8}}, "crop does not belong to a scene with wald"),
    ],
)
def test_scenes_of_mixed_kinds_are_refused(scene: dict[str, Any], message: str) -> None:
    content = a_pair()
    content["scenes"]["other"] = scene
    with pytest.raises(InputError, match=message):
        parse_experiment(content, "x")


def test_the_noise_of_a_pair_cannot_be_given() -> None:
    content = a_pair()
    content["scenes"]["place"]["estimation"] = {"noise": "given"}
    with pytest.raises(InputError, match="a pair's noise is not known"):
        parse_experiment(content, "x")
