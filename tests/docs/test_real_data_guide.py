"""The commands of `docs/real_pairs.md`, run as they stand there on the Berlin pair.

Blocks fenced as `sh` are run, those fenced as `console` need a desktop; `yaml` holds keys of a scene or pair.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import rasterio
import yaml

from pipeline.config.scenes import Pair, Scene
from workflow_copy import ROOT, Workflow

GUIDE = (ROOT / "docs/real_pairs.md").read_text()
COMMANDS = [
    line for block in re.findall(r"^```sh\n(.*?)^```", GUIDE, re.M | re.S) for line in block.splitlines()
]
DESKTOP = re.findall(r"^```console\n(.*?)\n```", GUIDE, re.M | re.S)
SNIPPETS = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", GUIDE, re.M | re.S)]
MESSAGES = re.findall(r"^\| `(.*?)` \|", GUIDE.partition("## Messages")[2], re.M)
CODE = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
SAID = re.sub(r'"\s*\n\s*f?"', "", CODE).replace("`", "")  # texts over several lines as one
Followed = tuple[Workflow, list[subprocess.CompletedProcess[str]]]
PRODUCT = Path("results/my_pair/berlin/measured/seed0/gaussian_subspace/product")


def test_the_steps_come_in_their_order() -> None:
    assert COMMANDS[0].startswith("pipeline datasets fetch berlin")
    assert [line.split()[1] for line in COMMANDS[1:4]] == ["inspect", "pair", "check"]


@pytest.mark.parametrize("snippet", SNIPPETS, ids=str)
def test_snippets_are_valid(snippet: dict) -> None:
    image = {"kind": "file", "path": "image.tif"}
    of_scene = {key: value for key, value in snippet.items() if key in Scene.model_fields}
    of_pair = {key: value for key, value in snippet.items() if key in Pair.model_fields}
    assert of_scene | of_pair == snippet
    Scene.model_validate({"pair": {"hsi": image, "msi": image} | of_pair} | of_scene)


@pytest.mark.parametrize("message", MESSAGES)
def test_messages_are_those_of_the_code(message: str) -> None:
    fragments = [part.strip(" ,:") for part in re.split(r"\.\.\.|\d[\d.]*%?", message)]
    told = [part for part in fragments if " " in part]
    assert told
    assert [part for part in told if part not in SAID] == []


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory, data_sets: Path) -> Followed:
    """A copy of the repository in which all commands were run, and what they said."""
    folder = tmp_path_factory.mktemp("guide") / "repository"
    folder.mkdir()
    workflow = Workflow(folder)
    environment = workflow.environment | {"PIPELINE_MIRROR": str(data_sets)}
    how = {"cwd": folder, "env": environment, "capture_output": True, "text": True}
    done = []
    for line in COMMANDS:
        done.append(subprocess.run(shlex.split(line), check=False, **how))
        if line.startswith("pipeline pair"):  # edited as people may, to save most of the time
            path = folder / "config/my_pair.yaml"
            path.write_text(
                re.sub(r"^  (bicubic|hysure|graph_subspace): .*\n", "", path.read_text(), flags=re.M)
            )
    return workflow, done


@pytest.mark.long
def test_commands_work_and_say_what_the_guide_says(followed: Followed) -> None:
    workflow, done = followed
    for line, result in zip(COMMANDS, done, strict=True):
        assert result.returncode == 0, f"{line}\n{result.stdout[-3000:]}{result.stderr[-3000:]}"
    _, inspected, paired, checked, planned, _, summary, info, cog = (result.stdout for result in done)
    assert "an LR pixel is 25/3 = 8.333 HR pixels wide; the grids nest" in inspected
    assert "bands 83-93 (0-based): beyond the middle of the overlap of two detectors" in inspected
    assert "78 x 57 LR pixels = 650 x 475 HR pixels" in paired
    assert "experiment my_pair, 2 runs" in checked
    assert "export" in planned + done[4].stderr
    assert all(name in summary for name in ("berlin_wald", "gaussian_subspace", "HQNR"))
    assert '"crs": "EPSG:32633"' in info
    assert "is a valid cloud optimized GeoTIFF" in cog
    assert "MSI band" in (workflow.folder / "logs/my_pair/berlin/measured/seed0/estimate.log").read_text()


@pytest.mark.long
def test_the_layer_lies_where_the_msi_does(followed: Followed) -> None:
    folder = followed[0].folder
    source = folder / "data/berlin/hymap_3.6m.bsq"
    with rasterio.open(folder / PRODUCT / "cube.tif") as cube, rasterio.open(source) as msi:
        assert cube.crs == msi.crs
        column, row = ~msi.transform @ (cube.transform.c, cube.transform.f)
        assert max(abs(row - round(row)), abs(column - round(column))) < 1e-6
        assert cube.count == 233
        assert cube.descriptions[0] == "Band 1 (424 nm)"
        assert cube.nodata == -32768
    for line in DESKTOP:
        assert list(folder.glob(line.split()[1])), line
