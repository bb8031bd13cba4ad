"""Provenance names code, packages, configuration and inputs, and is the same for equal runs."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from pipeline.config.scenes import Crop
from pipeline.runs import provenance as module
from pipeline.runs.provenance import code_version, configuration_hash, package_versions, provenance
from pipeline.store.files import canonical_json


def test_equal_runs_have_equal_provenance(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "source.json").write_text("{}")
    first, second = (
        provenance("crop", settings=Crop(height=4, width=4), inputs=[tmp_path / f / "source.json"], seed=0)
        for f in ("a", "b")
    )
    assert first == second
    assert first["inputs"] == {"source.json": sha256(b"{}").hexdigest()}
    assert first["seed"] == 0
    assert "device" not in first
    assert str(tmp_path) not in canonical_json(first)


def test_configuration_hash_follows_every_key() -> None:
    assert configuration_hash(Crop(height=4, width=4)) == configuration_hash(
        Crop(height=4, width=4, at="centre")
    )
    assert configuration_hash(Crop(height=4, width=4)) != configuration_hash(Crop(height=4, width=5))


def test_versions() -> None:
    assert package_versions()["numpy"] == np.__version__
    assert code_version()


def test_code_version_follows_the_sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "SOURCES", tmp_path)
    found = []
    for text in ("a = 1", "a = 1", "a = 2"):
        (tmp_path / "a.py").write_text(text)
        code_version.cache_clear()
        found.append(code_version())
    code_version.cache_clear()
    assert found[0] == found[1] != found[2]
