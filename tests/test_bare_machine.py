"""`pipeline.fuse` needs PyTorch, NumPy, SciPy, pydantic and safetensors alone."""

from __future__ import annotations

import json
from pathlib import Path

from bare import run_bare
from brief import BRIEF

FUSED = ("bicubic", "gaussian_subspace", "graph_subspace", "hysure", "args_diff")

CODE = """
import json, sys
from importlib import import_module

import numpy as np
import pipeline
loaded = [name for name in ("torch", "scipy", "pipeline.api") if name in sys.modules]
from pipeline.methods import build, settings_of

brief = json.loads(sys.argv[1])
reference = np.random.default_rng(0).random((12, 32, 32), dtype=np.float32)
srf = np.kron(np.eye(4), np.ones(3)) / 3
blur = pipeline.SpatialResponse.bicubic(ratio=4)
pair = pipeline.simulate(reference, spectral_response=srf, spatial_response=blur)
for name in pipeline.methods():
    build(settings_of(name)(method=name, **brief.get(name, {})))
results = {
    name: pipeline.fuse(
        pair.lr_hsi, pair.hr_msi, spectral_response=srf, spatial_response=blur, method=name, **settings
    )
    for name, settings in brief.items()
    if name in sys.argv[2:]
}
scores = {name: pipeline.evaluate(reference, result.cube, ratio=4) for name, result in results.items()}
absent = []
for name in ("rasterio", "zarr", "xarray", "yaml"):
    try:
        import_module(name)
    except ModuleNotFoundError:
        absent.append(name)
print(json.dumps({
    "absent": absent,
    "loaded": loaded,
    "finite": {name: bool(np.isfinite(result.cube).all()) for name, result in results.items()},
    "packages": results["bicubic"].provenance["packages"],
    "code": results["bicubic"].provenance["code"],
}))
"""


def test_every_method_is_built_and_those_without_files_fuse(tmp_path: Path) -> None:
    brief = {name: BRIEF.get(name, {}) for name in (*BRIEF, *FUSED)}
    run = run_bare(tmp_path, "-c", CODE, json.dumps(brief), *FUSED)
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout.splitlines()[-1])
    assert result["absent"] == ["rasterio", "zarr", "xarray", "yaml"]
    assert result["finite"] == dict.fromkeys(FUSED, True)
    assert result["loaded"] == []  # by `import pipeline`, which has to be quick
    assert set(result["packages"]) == {"python", "numpy", "scipy", "torch", "pydantic"}
    assert "+" in result["code"]  # the digest of the code, behind the version if it was ever installed
