"""Products as a workflow makes them, and the commands of docs/products.md on them."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from rio_cogeo import cog_validate

from pipeline.inputs.formats.raster import raster_image
from pipeline.store.schema import metadata_from
from pipeline.store.store import read_store
from workflow_copy import ROOT, TINY, Workflow

RUN = Path("results/field/synthetic/four_bands/seed0/bicubic")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The tiny experiment with one method and all products."""
    workflow = Workflow(tmp_path_factory.mktemp("products"))
    configure(workflow)
    workflow.run("field.yaml")
    return workflow


def configure(workflow: Workflow, **products: object) -> None:
    content = yaml.safe_load((ROOT / TINY).read_text())
    everything = {"formats": ["cog", "envi"], "msi": True, "stac": True, "datetime": "2013-07-19T10:30:00Z"}
    content |= {"experiment": "field", "methods": {"bicubic": {}}, "products": everything | products}
    (workflow.folder / "field.yaml").write_text(yaml.safe_dump(content))


def test_products_lie_beside_the_cube(finished: Workflow) -> None:
    folder = finished.folder / RUN / "product"
    ledger = json.loads(folder.with_suffix(".json").read_text())
    names = ["cube.bsq", "cube.hdr", "cube.tif", "item.json", "msi.tif", "quality.tif"]
    assert sorted(ledger["files"]) == sorted(path.name for path in folder.iterdir()) == names
    assert cog_validate(folder / "cube.tif", strict=True)[0]
    like = metadata_from(read_store(finished.folder / RUN / "fused.json"))
    image = raster_image(folder / "cube.tif")
    assert (image.crs, image.transform) == (like.crs, like.transform)
    assert json.loads((folder / "item.json").read_text())["id"] == "synthetic-four_bands-seed0-bicubic"


def test_other_products_rerun_export_and_the_report_on_it(finished: Workflow) -> None:
    assert "Nothing to be done" in finished.run("field.yaml")
    configure(finished, formats=["cog"])
    try:
        assert finished.planned("field.yaml") == {"export": 1, "report": 1, "all": 1, "total": 3}
    finally:
        configure(finished)


def test_without_the_key_there_is_no_product(finished: Workflow) -> None:
    assert "export" not in finished.planned(TINY)


def test_commands_of_the_guide_work(finished: Workflow) -> None:
    text = (ROOT / "docs/products.md").read_text()
    folder = finished.folder / RUN / "product"
    commands = [shlex.split(line, comments=True) for line in text.splitlines() if line.startswith("    rio ")]
    outputs = [said(finished, folder, *words) for words in commands]
    assert len(outputs) == 3
    assert "EPSG:32633" in outputs[0]
    store, bands = (part.split("```")[0] for part in text.split("```python\n")[1:])
    assert said(finished, folder.parent, "python", "-c", store).startswith("EPSG:32633")
    line = said(finished, folder, "python", "-c", bands)
    assert line.startswith("Band 1 (400 nm) {'CENTRAL_WAVELENGTH_UM': '0.4', 'FWHM_UM':")


def said(workflow: Workflow, folder: Path, *command: str) -> str:
    """What a command prints."""
    done = subprocess.run(
        command, cwd=folder, env=workflow.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
