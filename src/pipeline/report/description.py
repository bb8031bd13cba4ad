"""Description of an experiment in a few lines for the head of the page, from its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from pipeline.config.experiment import Experiment
from pipeline.config.responses import (
    Estimation,
    GaussianResponse,
    Response,
    SensorResponse,
    SpatialConfig,
    SpectralConfig,
)
from pipeline.config.scenes import BandsOf, DatasetSource, FileSource, Pair
from pipeline.methods.supervised import Region

GIVEN = {
    "given": "given",
    "calibrated": "given, with estimated gains of the MSI's bands",
    "gaussian": "an estimated Gaussian",
    "separable": "an estimated separable kernel",
    "free": "an estimated free kernel",
}


def introduction(experiment: Experiment) -> str:
    """Describe in sentences what is fused and with what the result is compared.

    Parameters
    ----------
    experiment : Experiment
        Configuration of the experiment.
    """
    scenes = experiment.scenes.values()
    fused = "An HR-HSI is fused from an LR-HSI and an HR-MSI"
    if all(scene.source for scene in scenes):
        return f"{fused}, both simulated from a reference, and compared with that reference."
    sentences = [f"{fused}."]
    if any(scene.source for scene in scenes):
        sentences.append("Where these are simulated from a reference, the HR-HSI is compared with it.")
    if any(scene.pair and scene.pair.reference for scene in scenes):
        sentences.append("Where a pair of real images has a reference, the HR-HSI is compared with it.")
    if any(scene.pair and not scene.pair.reference for scene in scenes):
        sentences.append(
            "Where a pair of real images has no reference, residuals show whether the HR-HSI explains them."
        )
    if any(scene.wald for scene in scenes):
        sentences.append(
            "One Wald level down, both images of a pair are degraded, and its LR-HSI is the reference."
        )
    return " ".join(sentences)


def what_was_done(experiment: Experiment) -> dict[str, str]:
    """Describe the experiment in a few lines, by heading.

    Parameters
    ----------
    experiment : Experiment
        Configuration of the experiment.
    """
    noise = experiment.noise
    lines = {"Scenes": ", ".join(_scene(experiment, name) for name in experiment.scenes)}
    pairs = {name: scene.pair for name, scene in experiment.scenes.items() if scene.pair}
    if pairs:
        lines["Pairs"] = "; ".join(f"{name}: {_pair(pair)}" for name, pair in pairs.items())
    trained = noise.trained_seeds
    seeds = f"seeds {', '.join(map(str, noise.seeds))}" + (
        f" (methods that train: {', '.join(map(str, trained))})" if trained else ""
    )
    if any(scene.source for scene in experiment.scenes.values()):
        level = "each band" if noise.per_band else "one level for each image"
        lines["Responses"] = "; ".join(f"{name}: {_response(r)}" for name, r in experiment.responses.items())
        own = [response.snr_db is not None for response in experiment.responses.values()]
        snr = "SNR of each response" if own and all(own) else f"SNR {noise.snr_db:g} dB"
        lines["Noise"] = f"white, {snr} ({level}), {seeds}"
        lines["Given to the methods"] = _given(experiment.estimation)
    else:
        lines["Noise"] = f"that of the images; {seeds} for methods with random draws"
    if pairs:
        lines["Given for pairs"] = "; ".join(
            f"{name}: {_given(experiment.estimation_of(name))}" for name in pairs
        )
    lines["Methods"] = ", ".join(
        label if label == entry.method else f"{label} ({entry.method})"
        for label, entry in experiment.methods.items()
    )
    learned = {
        label: entry.trained_on for label, entry in experiment.methods.items() if entry.learns_from != "pair"
    }
    if learned:
        lines["Trained on more than the pair"] = "; ".join(f"{label}: {on}" for label, on in learned.items())
    if left_out := sorted(experiment.training_scenes):
        lines["Only trained on"] = f"{', '.join(left_out)}: no method fuses these scenes"
    fused = dict.fromkeys(name for name, _ in experiment.fused())
    unscored = {name: regions for name in fused if (regions := experiment.unscored(name))}
    if unscored:
        lines["Not scored"] = "; ".join(
            f"{name}: {' and '.join(map(_region, regions))}, where a method is trained, with a margin"
            for name, regions in unscored.items()
        )
    return lines


def what_was_exported(products: Mapping[str, Mapping[str, Any]]) -> str:
    """Describe the types of exported cubes, and how many of their values were clipped; empty without any.

    Parameters
    ----------
    products : mapping of str to mapping
        Content of the ledger of each product, by the name of its run.
    """
    if not products:
        return ""
    types = sorted({str(ledger["dtype"]) for ledger in products.values()})
    clipped = {name: ledger["clipped"] for name, ledger in products.items() if ledger["clipped"]}
    fate = "; ".join(f"{count} values of {name} were clipped" for name, count in clipped.items())
    return f"cubes as {' or '.join(types)}; {fate or 'no value was clipped'}"


def _region(region: Region) -> str:
    """Return a region in words."""
    window = region.window
    return f"rows {window.y0} to {window.y1 - 1}, columns {window.x0} to {window.x1 - 1}"


def _scene(experiment: Experiment, name: str) -> str:
    scene = experiment.scenes[name]
    if scene.pair:
        return f"{name} (two real images{', with a reference' if scene.pair.reference else ''})"
    if scene.wald:
        return f"{name} ({scene.wald} one Wald level down)"
    own = [f"{label} with {_settings(changes)}" for label, changes in scene.methods.items()]
    details = [*(scene.responses or []), *own]
    return f"{name} ({', '.join(details)})" if details else name


def _settings(own: dict[str, Any]) -> str:
    """Return settings as text; nested settings, such as a budget, are listed field by field."""
    return ", ".join(
        _settings(value) if isinstance(value, dict) else f"{key} {value}" for key, value in own.items()
    )


def _pair(pair: Pair) -> str:
    """Describe files, bands and grid of two real images."""
    files = {role: _file(source) for role, source in pair.files.items()}
    if isinstance(pair.msi, BandsOf):
        files["msi"] = f"{_bands(pair.msi.spectral)} of {files['msi']}"
    roles = {"hsi": "LR-HSI", "msi": "HR-MSI", "reference": "reference"}
    facts = [f"{roles[role]} {file}" for role, file in files.items()]
    if pair.ratio is not None:
        facts.append(f"ratio {pair.ratio}")
    if pair.spectral is not None:
        facts.append(_bands(pair.spectral))
    if pair.spatial is not None:
        facts.append(_blur(pair.spatial))
    shift = pair.alignment.shift
    facts.append("shift estimated" if shift == "estimated" else f"shift {shift[0]:g}, {shift[1]:g} LR pixels")
    return ", ".join(facts)


def _file(source: FileSource | DatasetSource) -> str:
    """Return the name of a source, without folders."""
    if isinstance(source, DatasetSource):
        return " ".join(filter(None, (source.name, source.image)))
    return PurePath(source.path).name


def _given(estimation: Estimation) -> str:
    spatial = GIVEN.get(estimation.spatial_response, estimation.spatial_response)
    spectral = GIVEN.get(estimation.spectral_response, estimation.spectral_response)
    blur = "" if estimation.spatial_response == "given" else f", spatial response {spatial}"
    return f"spectral response {spectral}{blur}, noise levels {estimation.noise}"


def _response(response: Response) -> str:
    spatial = response.spatial
    level = "" if response.snr_db is None else f", SNR {response.snr_db:g} dB"
    given = f" (given to the methods: {_blur(response.told)})" if response.told else ""
    return f"{_blur(spatial)}{given}, ratio {spatial.ratio}, {_bands(response.spectral)}{level}"


def _bands(spectral: SpectralConfig) -> str:
    if isinstance(spectral, GaussianResponse):
        return f"{len(spectral.centres)} Gaussian bands"
    if isinstance(spectral, SensorResponse):
        return f"{', '.join(spectral.bands or ['all bands'])} of {spectral.sensor} ({spectral.tables})"
    return f"spectral response from {spectral.path}"


def _blur(spatial: SpatialConfig) -> str:
    shape = f", FWHM {spatial.fwhm:g} LR pixels" if spatial.fwhm else ""
    shape = f", MTF {spatial.mtf:g} at the LR Nyquist frequency" if spatial.mtf else shape
    border = {
        "mirror": "",
        "zero": ", zeros beyond the scene",
        "ignore": ", without the LR pixels at the rim",
    }
    return f"{spatial.kind} blur{shape}{border[spatial.border]}"
