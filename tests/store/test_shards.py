"""Stores filled shard by shard: what several writers and kills leave is whole, or it is not there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.scene import Metadata
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.store.files import read_json
from pipeline.store.schema import placeholder, reference_like, valid_pixels
from pipeline.store.shards import Journal, Part, ShardWriter, fill_store, shard_side
from pipeline.store.store import read_store, verify_store

BANDS, HEIGHT, WIDTH, SIDE = 3, 50, 70, 16
DATA = np.random.default_rng(0).random((BANDS, HEIGHT, WIDTH), dtype=np.float32)
DATA[:, 20:30, 5:9] = np.nan
TILES = list(Window(0, HEIGHT, 0, WIDTH).split(SIDE))


def writer(store: Path, side: int = SIDE) -> ShardWriter:
    template = reference_like(placeholder(*DATA.shape), Metadata())
    return ShardWriter(store, template, {"step": "test"}, {"y": side, "x": side})


def parts(tile: Window) -> list[Part]:
    values = DATA[:, *tile.slices]
    return [("reference", tile, values), ("mask", tile, valid_pixels(values))]


def units(seen: list[Window] | None = None) -> dict[str, Callable[[], Iterable[Part]]]:
    def compute(tile: Window) -> Iterable[Part]:
        if seen is not None:
            seen.append(tile)
        return parts(tile)

    return {f"{tile.y0},{tile.x0}": lambda tile=tile: compute(tile) for tile in TILES}


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    store = tmp_path / "whole" / "a.zarr"
    fill_store(writer(store), Journal(tmp_path / "whole" / "a.journal", "token"), units())
    return store


def test_what_is_written_is_read(whole: Path) -> None:
    dataset = read_store(whole)
    np.testing.assert_array_equal(dataset.reference, DATA)
    np.testing.assert_array_equal(dataset.mask, ~np.isnan(DATA[0]))
    assert verify_store(whole)[1] == []
    assert not list(whole.parent.rglob("*.partial"))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_lazy_windows_are_the_array(whole_store: Path, data: st.DataObject) -> None:
    reference = read_store(whole_store).reference
    rows, columns = (
        sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in (HEIGHT, WIDTH)
    )
    window = (slice(None), slice(*rows), slice(*columns))
    np.testing.assert_array_equal(np.asarray(reference[window]), DATA[window])
    picked = data.draw(st.lists(st.integers(0, HEIGHT - 1), max_size=5))
    np.testing.assert_array_equal(np.asarray(reference[:, picked, ::3]), DATA[:, picked, ::3])
    assert float(reference[1, 2, 3]) == DATA[1, 2, 3]


@pytest.fixture(scope="module")
def whole_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    fill_store(writer(folder / "a.zarr"), Journal(folder / "a.journal", "token"), units())
    return folder / "a.zarr"


def test_bytes_do_not_depend_on_order_or_number_of_writers(whole: Path, tmp_path: Path) -> None:
    store = tmp_path / "b" / "a.zarr"
    writers = [writer(store) for _ in range(3)]
    shards = {}
    for count, tile in enumerate(reversed(TILES)):
        for part in parts(tile):
            shards |= writers[count % 3].write(*part)
    writers[0].seal(shards)
    assert content(store) == content(whole)
    assert read_json(store.with_suffix(".json")) == read_json(whole.with_suffix(".json"))


def test_a_window_of_part_of_a_shard_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not consist of whole shards of reference"):
        writer(tmp_path / "a.zarr").write("reference", Window(0, 16, 8, 24), DATA[:, :16, 8:24])
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize("moment", [0, 1, 5, 13])
def test_an_interrupted_store_is_continued_to_the_same_bytes(
    tmp_path: Path, whole: Path, moment: int
) -> None:
    store, journal = tmp_path / "b" / "a.zarr", Journal(tmp_path / "b" / "a.journal", "token")
    plan = units()

    def killed() -> Iterable[Part]:
        yield parts(TILES[moment])[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill_store(writer(store), journal, plan | {f"{TILES[moment].y0},{TILES[moment].x0}": killed})
    with pytest.raises(InputError, match=r"a\.json: no such file"):
        read_store(store)
    seen: list[Window] = []
    fill_store(writer(store), journal, units(seen))
    assert seen == TILES[moment:]
    assert content(store) == content(whole)


def test_a_changed_or_lost_shard_is_written_again_and_no_other(whole: Path) -> None:
    before = content(whole)
    shard = whole / "reference/c/0/1/2"
    damaged = bytearray(shard.read_bytes())
    damaged[40] ^= 1
    shard.write_bytes(damaged)
    (whole / "mask/c/0/0").unlink()
    untouched = {p: p.stat().st_mtime_ns for p in whole.rglob("reference/c/0/*/*") if p != shard}
    seen: list[Window] = []
    fill_store(writer(whole), Journal(whole.parent / "a.journal", "token"), units(seen))
    assert seen == [Window(0, 16, 0, 16), Window(16, 32, 32, 48)]
    assert content(whole) == before
    same = {p for p, time in untouched.items() if p.stat().st_mtime_ns == time}
    assert set(untouched) - same == {whole / "reference/c/0/0/0"}


def test_another_token_or_a_torn_line_counts_for_nothing(whole: Path) -> None:
    path = whole.parent / "a.journal"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]) + lines[-1][: len(lines[-1]) // 2])
    assert len(Journal(path, "token").resume()) == len(TILES) - 1
    assert path.read_text() == "".join(lines[:-1])
    path.write_text("".join(lines).replace('"unit": "0,16"', '"unit": "0,32"'))
    assert len(Journal(path, "token").resume()) == len(TILES) - 1
    assert Journal(path, "another").resume() == {}
    assert path.read_text() == ""


def test_files_of_an_earlier_cut_are_removed(whole: Path) -> None:
    shards = {}
    other = writer(whole, side=32)
    for tile in Window(0, HEIGHT, 0, WIDTH).split(32):
        for part in parts(tile):
            shards |= other.write(*part)
    assert not whole.with_suffix(".json").exists()  # from the first shard on
    other.seal(shards)
    np.testing.assert_array_equal(read_store(whole).reference, DATA)
    assert verify_store(whole)[1] == []


def test_a_full_disk_leaves_the_finished_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, journal = tmp_path / "a.zarr", Journal(tmp_path / "a.journal", "token")
    original, calls = os.fsync, []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 12:
            raise OSError(28, "No space left on device")
        original(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            fill_store(writer(store), journal, units())
    assert not list(tmp_path.rglob("*.partial"))
    seen: list[Window] = []
    fill_store(writer(store), journal, units(seen))
    assert 0 < len(seen) < len(TILES)
    np.testing.assert_array_equal(read_store(store).reference, DATA)


@given(st.integers(1, 2000), st.integers(1, 60))
def test_shards_fit_in_memory_and_the_ratio(bands: int, step: int) -> None:
    side = shard_side(bands, step)
    assert side % step == 0
    assert side == step or 4 * bands * side**2 <= 128 * 2**20


def test_a_journal_that_is_a_link_keeps_its_lines_and_leaves_the_other_file(tmp_path: Path) -> None:
    first = Journal(tmp_path / "first.journal", "token")
    first.add("a", {"x": "0"})
    before = first.path.read_text()
    for number, link in enumerate((Path.symlink_to, Path.hardlink_to)):
        journal = Journal(tmp_path / f"{number}.journal", "token")
        link(journal.path, first.path)
        journal.add("b", {"y": "1"})
        assert list(journal.resume()) == ["a", "b"]
        assert first.path.read_text() == before
