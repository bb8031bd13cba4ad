"""A store is read as it was written, or refused with one line that names the file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from pipeline.core.scene import Scene
from pipeline.errors import InputError
from pipeline.store import store as store_module
from pipeline.store.files import canonical_json, read_json, write_json
from pipeline.store.schema import reference_dataset
from pipeline.store.store import read_store, verify_store, write_store


@pytest.fixture
def written(small_scene: Scene, tmp_path: Path) -> Path:
    write_store(tmp_path / "reference.zarr", reference_dataset(small_scene), {"seed": 3})
    return tmp_path / "reference.zarr"


def shard_of(store: Path) -> Path:
    (shard,) = (path for path in (store / "reference" / "c").rglob("*") if path.is_file())
    return shard


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_store(path).load()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_equal_datasets_give_equal_bytes(written: Path, small_scene: Scene, tmp_path: Path) -> None:
    again = write_store(tmp_path / "b" / "reference.zarr", reference_dataset(small_scene), {"seed": 3})
    assert again.read_bytes() == written.with_suffix(".json").read_bytes()
    other = write_store(tmp_path / "c" / "reference.zarr", reference_dataset(small_scene), {"seed": 4})
    assert read_json(other)["digest"] != read_json(again)["digest"]


def test_read_by_store_or_ledger(written: Path, small_scene: Scene) -> None:
    for path in (written, written.with_suffix(".json")):
        dataset = read_store(path)
        np.testing.assert_array_equal(dataset.reference, small_scene.data)
        assert dataset.attrs["provenance"] == {"seed": 3}


def test_arrays_are_sharded_and_checksummed(tmp_path: Path) -> None:
    dataset = reference_dataset(Scene(np.zeros((3, 300, 70), np.float32)))
    write_store(tmp_path / "a.zarr", dataset, {})
    shards = [p for p in (tmp_path / "a.zarr" / "reference" / "c").rglob("*") if p.is_file()]
    assert len(shards) == 2  # rows 0-255 and 256-299, although every value is zero
    for path in (tmp_path / "a.zarr").glob("*/zarr.json"):
        assert '"checksum": true' in path.read_text()
    outer = json.loads((tmp_path / "a.zarr" / "reference" / "zarr.json").read_text())
    assert outer["zarr_format"] == 3
    assert outer["fill_value"] == "NaN"
    assert outer["chunk_grid"]["configuration"]["chunk_shape"] == [3, 256, 128]
    assert outer["codecs"][0]["configuration"]["chunk_shape"] == [3, 64, 64]
    root = json.loads((tmp_path / "a.zarr" / "zarr.json").read_text())
    assert root.get("consolidated_metadata") is None


def test_only_the_pair_lies_there(written: Path) -> None:
    assert sorted(p.name for p in written.parent.iterdir()) == ["reference.json", "reference.zarr"]


def test_truncated_shard(written: Path) -> None:
    shard = shard_of(written)
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    assert "reference.zarr: array reference, shard 0/0/0 was changed" in refused(written)


def test_flipped_byte(written: Path) -> None:
    shard = shard_of(written)
    content = bytearray(shard.read_bytes())
    content[len(content) // 3] ^= 1
    shard.write_bytes(content)
    assert "array reference, shard 0/0/0 was changed" in refused(written.with_suffix(".json"))


def test_flipped_byte_is_found_by_the_codec_too(written: Path) -> None:
    shard = shard_of(written)
    content = bytearray(shard.read_bytes())
    content[len(content) // 3] ^= 1
    shard.write_bytes(content)
    with pytest.raises(RuntimeError):
        xr.open_dataset(written, engine="zarr", consolidated=False).reference.load()


def test_deleted_shard(written: Path) -> None:
    shard_of(written).unlink()
    assert "array reference, shard 0/0/0 is missing" in refused(written)


def test_added_file(written: Path) -> None:
    (written / "reference" / "c" / "9").write_bytes(b"")
    _, faults = verify_store(written)
    assert faults == [f"{written}: array reference, shard 9 was added since the store was written"]


def test_tampered_metadata(written: Path) -> None:
    path = written / "reference" / "zarr.json"
    path.write_text(path.read_text().replace('"units": "1"', '"units": "2"'))
    assert "metadata reference/zarr.json was changed" in refused(written)


def test_tampered_ledger(written: Path) -> None:
    ledger = written.with_suffix(".json")
    write_json(ledger, read_json(ledger) | {"digest": "0" * 64})
    assert "reference.json: its digest does not match" in refused(ledger)


def test_missing_ledger(written: Path) -> None:
    written.with_suffix(".json").unlink()
    assert "reference.json: no such file" in refused(written)


def test_missing_store(written: Path) -> None:
    shutil.rmtree(written)
    assert "reference.zarr: no such store" in refused(written.with_suffix(".json"))


def test_ledger_of_another_store(written: Path, small_scene: Scene) -> None:
    other = write_store(written.with_name("fused.zarr"), reference_dataset(small_scene), {"seed": 4})
    shutil.copy(other, written.with_suffix(".json"))
    assert "is the ledger of fused.zarr, not of reference.zarr" in refused(written)
    same_name = write_store(written.parent / "b" / "reference.zarr", reference_dataset(small_scene), {})
    shutil.copy(same_name, written.with_suffix(".json"))
    assert "was changed" in refused(written)


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"digest": 1}', "\x00\xff"])
def test_broken_ledger(written: Path, content: str) -> None:
    written.with_suffix(".json").write_text(content)
    assert "reference.json" in refused(written)


def test_a_store_needs_its_suffix(tmp_path: Path) -> None:
    assert "ends with .zarr" in refused(tmp_path / "reference")


@pytest.mark.parametrize("moment", ["write_zarr", "_sync_tree", "_digests"])
def test_interrupted_write_keeps_the_old_store(
    written: Path, small_scene: Scene, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    original = getattr(store_module, moment)

    def interrupted(*args: object) -> None:
        original(*args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store_module, moment, interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_store(written, reference_dataset(Scene(small_scene.data * 2)), {})
    np.testing.assert_array_equal(read_store(written).reference, small_scene.data)
    assert sorted(p.name for p in written.parent.iterdir()) == ["reference.json", "reference.zarr"]


def test_interrupted_before_the_ledger_leaves_nothing_readable(
    written: Path, small_scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store_module, "write_json", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_store(written, reference_dataset(Scene(small_scene.data * 2)), {})
    assert "reference.json: no such file" in refused(written)
    write_store(written, reference_dataset(small_scene), {})
    np.testing.assert_array_equal(read_store(written).reference, small_scene.data)


def test_litter_of_a_killed_run_does_no_harm(written: Path, small_scene: Scene) -> None:
    aside = written.with_name(".reference.zarr.partial")
    (aside / "junk").mkdir(parents=True)
    (aside / "junk" / "file").write_text("x")
    write_store(written, reference_dataset(small_scene), {})
    assert not aside.exists()
    assert not any("junk" in name for name in read_json(written.with_suffix(".json"))["files"])


def test_canonical_json() -> None:
    assert canonical_json({"b": 1, "a": [1.5, "é"]}) == canonical_json({"a": [1.5, "é"], "b": 1})
    with pytest.raises(ValueError, match="nan"):
        canonical_json({"a": float("nan")})
