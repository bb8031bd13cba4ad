"""Fetching from a real server on this machine: what arrives is right, or nothing is left behind."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from hashlib import md5, sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
from PIL import Image as Picture

from loopback import (
    Handler,
    Loopback,
    chunked,
    drip,
    good,
    in_turn,
    redirect,
    serving,
    silent,
    status,
    tagged,
    truncated,
)
from pipeline.config.scenes import FileSource
from pipeline.errors import InputError
from pipeline.inputs.datasets.catalogue import Content, Dataset
from pipeline.inputs.datasets.claim import claim
from pipeline.inputs.datasets.fetch import Fetcher, Origin, fetch_file
from pipeline.inputs.datasets.lock import record
from pipeline.inputs.datasets.transfer import Patience
from pipeline.inputs.datasets.unpacking import unpack
from pipeline.store.files import read_json, write_json

ROOT = Path(__file__).resolve().parents[2]
QUICK = Patience(seconds=0.4, bytes=1000, attempts=3, pause=0.01)
PAGE = b"\n<!DOCTYPE html><html><title>Moved</title></html>"
LOCK = "datasets.lock.json"
Pack = Callable[..., bytes]


def matlab(shape: tuple[int, ...] = (8, 9, 3), name: str = "cube") -> bytes:
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {name: np.random.default_rng(0).integers(0, 8000, shape, np.uint16)})
    return buffer.getvalue()


BODY = matlab((40, 50, 30))
BODY_2 = BODY[:200] + bytes(value ^ 1 for value in BODY[200:])  # as long, other values
DIGEST = sha256(BODY).hexdigest()
CUBE = Content(path="cube.mat", format="matlab5", variable="cube", shape=[40, 50, 30])
KNOWN = CUBE.model_copy(update={"sha256": DIGEST})


@pytest.fixture
def server() -> Iterator[Loopback]:
    with serving() as loopback:
        yield loopback


def fetcher(folder: Path, **changes: object) -> Fetcher:
    how = {"how_to_accept": "accept it", "accepts_change": False} | changes
    return Fetcher(folder, QUICK, lambda *_: None, **how)  # type: ignore[arg-type]


def fetch(folder: Path, content: Content, *urls: str, **changes: object) -> Path:
    path = folder / content.path
    one = fetcher(folder, **changes)
    one.ensure(path, content, one.addresses(path, list(urls)))
    return path


def refusal(folder: Path, content: Content, *urls: str, left: list[str] | None = None) -> str:
    """The one line of a fetch that must fail and leave `left` behind, by default nothing."""
    with pytest.raises(InputError) as error:
        fetch(folder, content, *urls)
    text = str(error.value)
    assert "\n" not in text
    assert listing(folder) == (left or [])
    return text


def listing(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


# ---- good and bad servers


@pytest.mark.parametrize("scheme", ["ftp", "sftp", "s3", "gopher", "doi", "File+x"])
def test_an_unknown_kind_of_address_is_one_line(tmp_path: Path, scheme: str) -> None:
    said = refusal(tmp_path, CUBE, f"{scheme}://127.0.0.1/cube.mat")
    assert f"addresses of the kind {scheme.lower()}:// are not supported, only http, https, file" in said


def test_a_file_has_an_address_too(tmp_path: Path) -> None:
    source = tmp_path / "a b" / "cube.mat"
    source.parent.mkdir()
    source.write_bytes(BODY)
    assert fetch(tmp_path / "one", CUBE, source.as_uri()).read_bytes() == BODY
    assert fetch(tmp_path / "two", CUBE, f"file://localhost{source.as_posix()}").read_bytes() == BODY
    assert "other is another machine" in refusal(tmp_path / "three", CUBE, "file://other/cube.mat")
    assert "no such file" in refusal(tmp_path / "three", CUBE, "file:///nowhere/cube.mat")
    os.mkfifo(tmp_path / "pipe")
    assert "is neither a file nor a folder" in refusal(tmp_path / "three", CUBE, str(tmp_path / "pipe"))


def coded(body: bytes, encoding: str = "gzip") -> Callable[[Handler], None]:
    """A body that is compressed on the way, though nobody asked for it."""
    compressed = gzip.compress(body)
    return lambda request: request.send(200, compressed, Content_Encoding=encoding)


def test_a_body_that_is_compressed_on_the_way_is_expanded(server: Loopback, tmp_path: Path) -> None:
    path = fetch(tmp_path / "a", CUBE, server.offer("/cube.mat", coded(BODY)))
    assert path.read_bytes() == BODY
    archive = Content(path="a.tar.gz", format="raw", sha256=sha256(gzip.compress(BODY)).hexdigest())
    path = fetch(tmp_path / "b", archive, server.offer("/a.tar.gz", coded(BODY, "x-gzip")))
    assert path.read_bytes() == gzip.compress(BODY)  # as Apache declares archives
    said = refusal(tmp_path / "c", CUBE, server.offer("/cube", coded(BODY, "br")))
    assert "is sent in the encoding 'br', which is not known" in said
    said = refusal(tmp_path / "c", CUBE, server.offer("/zeros", coded(bytes(20 * 2**20))))
    assert "expands to more than 200 times what is sent" in said


def test_no_link_is_followed_when_writing(server: Loopback, tmp_path: Path) -> None:
    """Links in the places of all files that a fetch and a store write."""
    folder = tmp_path / "data"
    folder.mkdir()
    names = ("cube.part.mat", ".cube.mat.lock", "datasets.lock.part.json", ".datasets.lock.json.lock")
    for name in (*names, ".note.json.partial"):
        (tmp_path / name).write_text("precious")
        if name == "cube.part.mat":
            (folder / name).hardlink_to(tmp_path / name)
        else:
            (folder / name).symlink_to(tmp_path / name)
    path = fetch(folder, CUBE, server.offer("/cube.mat", good(BODY)))
    write_json(folder / "note.json", {})
    assert path.read_bytes() == BODY
    assert not path.is_symlink()
    assert all((tmp_path / name).read_text() == "precious" for name in (*names, ".note.json.partial"))
    assert listing(folder) == ["cube.mat", LOCK, "note.json"]


@pytest.mark.parametrize("entry", [5, "x", [], {"bytes": "5", "sha256": DIGEST}, {"bytes": 5}])
def test_a_lock_entry_of_another_type_is_one_line(tmp_path: Path, entry: Any) -> None:
    (tmp_path / "cube.mat").write_bytes(BODY)
    (tmp_path / LOCK).write_text(json.dumps({"cube.mat": entry}))
    with pytest.raises(
        InputError, match=r"datasets\.lock\.json: the entry 'cube\.mat' is .*expected `bytes`"
    ):
        fetch(tmp_path, CUBE, "http://127.0.0.1:1/cube.mat")


def test_a_good_file_arrives_and_is_recorded(server: Loopback, tmp_path: Path) -> None:
    path = fetch(tmp_path, CUBE, server.offer("/cube.mat", good(BODY)))
    assert path.read_bytes() == BODY
    assert read_json(tmp_path / LOCK) == {"cube.mat": {"bytes": len(BODY), "sha256": DIGEST}}
    fetch(tmp_path, CUBE, server.address)
    assert len(server.asked) == 1  # what is there is not asked for
    assert listing(tmp_path) == ["cube.mat", LOCK]


@pytest.mark.parametrize("known", [{"sha256": DIGEST}, {"md5": md5(BODY).hexdigest()}])
def test_a_published_checksum_is_not_recorded(
    server: Loopback, tmp_path: Path, known: dict[str, str]
) -> None:
    content = CUBE.model_copy(update=known)
    fetch(tmp_path, content, server.offer("/cube.mat", good(BODY)))
    assert listing(tmp_path) == ["cube.mat"]


def test_progress_is_told_in_megabytes(server: Loopback, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    one = Fetcher(tmp_path, QUICK, lambda *what: told.append(what), "", False)
    content = Content(path="a.bin", format="raw")
    path, url = tmp_path / "a.bin", server.offer("/a", good(bytes(3_500_000)))
    one.ensure(path, content, one.addresses(path, [url]))
    assert told[-1] == ("a.bin (MB)", 3, 3)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def recorded(folder: Path, job: int) -> None:
    for number in range(25):
        record(folder, folder / f"{job}-{number}", folder / "a", Content(path="a", format="raw"))


def test_many_processes_record_their_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    jobs = [get_context("fork").Process(target=recorded, args=(tmp_path, job)) for job in range(4)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0] * 4
    assert len(read_json(tmp_path / LOCK)) == 100
    assert listing(tmp_path) == ["a", LOCK]


def test_redirects_are_followed(server: Loopback, tmp_path: Path) -> None:
    server.offer("/there", good(BODY))
    server.offer("/then", redirect("/there"))
    fetch(tmp_path, KNOWN, server.offer("/first", redirect(server.address + "/then")))
    assert [path for path, _ in server.asked] == ["/first", "/then", "/there"]


WRONG = {
    "page": (good(PAGE, kind="text/html"), "answered by a web page, not data"),
    "empty": (good(b""), "is empty"),
    "other": (
        good(b"PK\x03\x04" + BODY),
        "begins with b'PK\\x03\\x04MATLAB 5', expected b'MATLAB 5.0 MAT-file'",
    ),
    "variable": (good(matlab(name="other")), "no variable 'cube'; it holds other 8x9x3"),
    "shape": (good(matlab()), "has shape 8x9x3, expected 40x50x30"),
    "short": (good(BODY[:200]), "is cut short at 200 bytes"),
    "cut": (good(BODY[:-1]), f"is cut short at {len(BODY) - 1} bytes"),
    "missing": (status(404), "could not be fetched: HTTP status 404 Not Found"),
    "forbidden": (status(403), "could not be fetched: HTTP status 403 Forbidden"),
    "truncated": (truncated(BODY, 5000), f"broke off after 5000 of {len(BODY)} bytes"),
    "chunks": (chunked(BODY, complete=False), f"broke off after {len(BODY)} bytes"),
    "broken": (status(503), "HTTP status 503 Service Unavailable"),
    "drip": (drip(BODY, 0.02), "too slow ("),
    "silent": (silent(2), "no answer for 0.4 s"),
    "loop": (redirect("/file.mat"), "redirects without end (Exceeded 30 redirects.)"),
    "elsewhere": (redirect("ftp//nowhere"), "HTTP status 404"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_a_bad_server_sends_is_not_kept(server: Loopback, tmp_path: Path, case: str) -> None:
    page, reason = WRONG[case]
    url = server.offer("/file.mat", page)
    text = refusal(tmp_path, CUBE, url)
    assert text.startswith(f"{url}: ")
    assert reason in text
    assert text.endswith(f"; fetch it by other means and put it at {tmp_path / 'cube.mat'}")
    tries = sum(path == "/file.mat" for path, _ in server.asked)
    assert tries == {"truncated": 3, "chunks": 3, "broken": 3, "drip": 3, "silent": 3, "loop": 31}.get(
        case, 1
    )


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    assert "connection failed" in refusal(tmp_path, CUBE, "http://127.0.0.1:9/cube.mat")


def test_a_slow_server_is_given_up_in_the_configured_time(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_TIMEOUT", "0.2")
    source = FileSource(kind="file", path=str(tmp_path / "x"), url=server.offer("/x", drip(BODY, 0.01)))
    start = time.monotonic()
    with pytest.raises(InputError, match=r"too slow \(\d+ bytes in 0\.2 s"):
        fetch_file(source, patience=None)
    assert time.monotonic() - start < 9  # four attempts and 1 + 2 + 4 s between them
    monkeypatch.setenv("PIPELINE_TIMEOUT", "soon")
    with pytest.raises(InputError, match="PIPELINE_TIMEOUT: 'soon' is not a number of seconds above 0"):
        fetch_file(source)
    assert listing(tmp_path) == []


def test_wrong_checksum_and_size(server: Loopback, tmp_path: Path) -> None:
    url = server.offer("/cube.mat", good(BODY))
    other = CUBE.model_copy(update={"sha256": "0" * 64})
    assert f"has sha256 {DIGEST}, expected {'0' * 64}" in refusal(tmp_path, other, url)
    larger = CUBE.model_copy(update={"bytes": 7})
    assert f"has {len(BODY)} bytes, expected 7" in refusal(tmp_path, larger, url)


def test_trouble_that_passes_is_sat_out(server: Loopback, tmp_path: Path) -> None:
    url = server.offer("/cube.mat", in_turn(status(500), status(503), good(BODY)))
    assert fetch(tmp_path, CUBE, url).read_bytes() == BODY


def test_the_next_address_is_tried(server: Loopback, tmp_path: Path) -> None:
    bad = [
        server.offer("/a", status(404)),
        server.offer("/b", good(PAGE)),
        server.offer("/c", good(BODY[:99])),
    ]
    assert fetch(tmp_path, KNOWN, *bad, server.offer("/d", good(BODY))).read_bytes() == BODY
    assert listing(tmp_path) == ["cube.mat"]
    text = refusal(tmp_path / "again", KNOWN, *bad)
    assert [text.count(url) for url in bad] == [1, 1, 1]


# ---- resumption


def test_a_broken_transfer_goes_on_where_it_stopped(server: Loopback, tmp_path: Path) -> None:
    page = in_turn(truncated(BODY, 5000), good(BODY))
    fetch(tmp_path, KNOWN, server.offer("/cube.mat", page))
    assert [asked for _, asked in server.asked] == [None, "bytes=5000-"]


@pytest.mark.parametrize(("later", "body"), [('"one"', BODY), ('"two"', BODY_2)], ids=["same", "changed"])
def test_without_a_checksum_the_server_has_to_know_the_file(
    server: Loopback, tmp_path: Path, later: str, body: bytes
) -> None:
    page = in_turn(truncated(BODY, 5000, ETag='"one"'), tagged(body, later))
    assert fetch(tmp_path, CUBE, server.offer("/cube.mat", page)).read_bytes() == body
    assert [asked for _, asked in server.asked] == [None, "bytes=5000-"]


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"weak"'}])
def test_else_it_starts_over(server: Loopback, tmp_path: Path, headers: dict[str, str]) -> None:
    page = in_turn(truncated(BODY_2, 5000, **headers), good(BODY))
    assert fetch(tmp_path, CUBE, server.offer("/cube.mat", page)).read_bytes() == BODY
    assert [asked for _, asked in server.asked] == [None, None]


def test_a_length_need_not_be_announced(server: Loopback, tmp_path: Path) -> None:
    assert fetch(tmp_path, CUBE, server.offer("/cube.mat", chunked(BODY))).read_bytes() == BODY


def test_without_ranges_it_starts_over(server: Loopback, tmp_path: Path) -> None:
    page = in_turn(truncated(BODY, 5000), good(BODY, ranges=False))
    assert fetch(tmp_path, KNOWN, server.offer("/cube.mat", page)).read_bytes() == BODY


def test_the_next_run_goes_on_where_the_checksum_is_known(server: Loopback, tmp_path: Path) -> None:
    url = server.offer("/cube.mat", truncated(BODY, 5000))
    refusal(tmp_path, KNOWN, url, left=["cube.part.mat"])
    server.offer("/cube.mat", good(BODY))
    server.asked.clear()
    fetch(tmp_path, KNOWN, url)
    assert server.asked == [("/cube.mat", "bytes=5000-")]
    assert listing(tmp_path) == ["cube.mat"]


def test_an_interrupted_transfer_is_kept_where_the_checksum_is_known(tmp_path: Path) -> None:
    for content, left in ((KNOWN, ["cube.part.mat"]), (CUBE, [])):
        one = Fetcher(tmp_path / str(len(left)), QUICK, lambda *_: None, "", False)

        def interrupted(target: Path, resume: bool) -> None:
            target.write_bytes(BODY[:5000])
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            one.ensure(one.folder / "cube.mat", content, [Origin("x", interrupted)])
        assert listing(one.folder) == left


def test_a_rest_of_something_else_is_thrown_away(server: Loopback, tmp_path: Path) -> None:
    url = server.offer("/cube.mat", good(BODY))
    (tmp_path / "cube.part.mat").write_bytes(b"x" * 5000)
    assert fetch(tmp_path, KNOWN, url).read_bytes() == BODY
    (tmp_path / "cube.mat").rename(tmp_path / "cube.part.mat")  # complete, but killed before its renaming
    assert fetch(tmp_path, KNOWN, url).read_bytes() == BODY
    assert [asked for _, asked in server.asked] == ["bytes=5000-", None, f"bytes={len(BODY)}-"]


# ---- files that are there, and changes


def test_a_file_put_there_by_hand_is_verified(tmp_path: Path) -> None:
    path = tmp_path / "cube.mat"
    path.write_bytes(BODY)
    fetch(tmp_path, CUBE)
    assert read_json(tmp_path / LOCK)["cube.mat"]["sha256"] == DIGEST
    path.write_bytes(PAGE)
    with pytest.raises(InputError) as error:
        fetch(tmp_path, CUBE)
    assert str(error.value) == (
        f"{path}: is a web page, not data; delete it to fetch it again, or replace it by the right one"
    )


def test_a_change_is_refused_until_it_is_accepted(server: Loopback, tmp_path: Path) -> None:
    url = server.offer("/cube.mat", good(BODY))
    path = fetch(tmp_path, CUBE, url)
    changed = bytearray(BODY)
    changed[-1] ^= 1
    path.write_bytes(changed)
    with pytest.raises(InputError, match=r"has sha256 .*; it is not the one recorded in .*, accept it$"):
        fetch(tmp_path, CUBE, url)
    path.unlink()
    server.offer("/cube.mat", good(bytes(changed)))
    assert "to accept it, accept it" in refusal(tmp_path, CUBE, url, left=[LOCK])
    fetch(tmp_path, CUBE, url, accepts_change=True)
    assert read_json(tmp_path / LOCK)["cube.mat"]["sha256"] == sha256(changed).hexdigest()
    fetch(tmp_path, CUBE, url)
    assert listing(tmp_path) == ["cube.mat", LOCK]


def test_a_claim_is_left_alone_where_it_was_taken_over(tmp_path: Path) -> None:
    with claim(tmp_path / "a.mat") as held:
        held.part.write_text("new")
        held.settle()
    assert listing(tmp_path) == ["a.mat"]


def hold(path: Path, held: Any) -> None:
    with claim(path) as claimed:
        claimed.part.write_text("half")
        held.set()
        time.sleep(60)


def test_a_killed_process_does_not_block_the_next(tmp_path: Path) -> None:
    context = get_context("fork")
    held = context.Event()
    job = context.Process(target=hold, args=(tmp_path / "a.mat", held))
    job.start()
    assert held.wait(30)
    job.kill()
    job.join()
    start = time.monotonic()
    with claim(tmp_path / "a.mat") as claimed:
        assert claimed.part.read_text() == "half"
    assert time.monotonic() - start < 5
    assert listing(tmp_path) == []


# ---- archives


def zipped(members: dict[str, bytes], link: str | None = None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        if link is not None:
            entry = zipfile.ZipInfo(link)
            entry.external_attr = 0o120777 << 16
            archive.writestr(entry, "/etc/passwd")
    return buffer.getvalue()


def tarred(members: dict[str, bytes], link: str | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        if link is not None:
            entry = tarfile.TarInfo(link)
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(entry)
    return buffer.getvalue()


def entry(url: str, archive: str, member: str = "in/cube.mat") -> Dataset:
    file = CUBE.model_dump() | {"member": member, "urls": []}
    image = {"bands": 30, "size": [40, 50], "gsd": 1, "wavelengths": "", "file": file}
    text = dict.fromkeys(("title", "sensor", "licence", "citation", "page", "checked"), "x")
    form = "zip" if archive.endswith("zip") else "tar"
    where = {"path": archive, "urls": [url], "format": form}
    return Dataset.model_validate({**text, "traps": [], "archive": where, "images": {"scene": image}})


@pytest.mark.parametrize(("archive", "pack"), [("a.zip", zipped), ("a.tar.gz", tarred)])
def test_only_the_wanted_member_is_unpacked(
    server: Loopback, tmp_path: Path, archive: str, pack: Pack
) -> None:
    url = server.offer("/a", good(pack({"in/cube.mat": BODY, "in/other.mat": b"x"})))
    data_set = entry(url, archive)
    path = fetcher(tmp_path).image("set", data_set, data_set.images["scene"])
    assert path.read_bytes() == BODY
    assert listing(tmp_path) == [LOCK, f"set/{archive}", "set/cube.mat"]
    assert list(read_json(tmp_path / LOCK)) == [f"set/{archive}", "set/cube.mat"]


@pytest.mark.parametrize("name", ["../evil", "in/../../evil", "/tmp/pipeline-evil", "C:\\evil"])
@pytest.mark.parametrize(("archive", "pack"), [("a.zip", zipped), ("a.tar.gz", tarred)])
def test_no_name_of_an_archive_becomes_a_path(
    server: Loopback, tmp_path: Path, archive: str, pack: Pack, name: str
) -> None:
    url = server.offer("/a", good(pack({"in/cube.mat": BODY, name: b"x"}, "in/link")))
    data_set = entry(url, archive)
    fetcher(tmp_path / "data").image("set", data_set, data_set.images["scene"])
    assert listing(tmp_path) == [f"data/{LOCK}", f"data/set/{archive}", "data/set/cube.mat"]
    assert not Path("/tmp/pipeline-evil").exists()
    data_set = entry(url, archive, "in/another.mat")
    with pytest.raises(InputError, match=r"holds no 'in/another\.mat', but .*in/cube\.mat") as error:
        fetcher(tmp_path / "more").image("set", data_set, data_set.images["scene"])
    assert str(tmp_path / "more/set" / archive) in str(error.value)
    assert listing(tmp_path / "more") == [LOCK, f"set/{archive}"]  # an archive in order, as such


def test_a_damaged_archive_leaves_nothing(server: Loopback, tmp_path: Path) -> None:
    content = bytearray(zipped({"in/cube.mat": BODY}))
    content[3000] ^= 255
    data_set = entry(server.offer("/a", good(bytes(content))), "a.zip")
    with pytest.raises(InputError, match=r"/a: damaged \(Bad CRC-32 for file 'in/cube\.mat'\); fetch it by"):
        fetcher(tmp_path).image("set", data_set, data_set.images["scene"])
    assert listing(tmp_path) == []
    server.offer("/a", good(zipped({"in/cube.mat": BODY})[:-30]))
    with pytest.raises(InputError, match=r"/a: damaged \("):
        fetcher(tmp_path).image("set", data_set, data_set.images["scene"])
    assert listing(tmp_path) == []


def test_images_of_bands_are_stacked(tmp_path: Path) -> None:
    planes = np.random.default_rng(0).integers(0, 65536, (3, 4, 5)).astype(np.uint16)
    members = {}
    for band, plane in enumerate(planes, 1):
        buffer = io.BytesIO()
        Picture.fromarray(plane).save(buffer, "PNG")
        members[f"b/b_{band:02d}.png"] = buffer.getvalue()
    archive, target = tmp_path / "a.zip", tmp_path / "stack.npy"
    archive.write_bytes(zipped(members))
    target.touch()
    unpack(archive, "b/b_{band:02d}.png", target, bands=3)
    np.testing.assert_array_equal(np.load(target), planes)
    with pytest.raises(InputError, match=r"holds no 'b/b_04\.png'"):
        unpack(archive, "b/b_{band:02d}.png", target, bands=4)
    buffer = io.BytesIO()
    Picture.new("RGBA", (5, 4)).save(buffer, "PNG")
    archive.write_bytes(zipped({"b/b_01.png": buffer.getvalue()}))
    with pytest.raises(InputError, match="has 3 axes of uint8, expected a grey image"):
        unpack(archive, "b/b_{band:02d}.png", target, bands=1)


def test_nothing_larger_than_expected_is_unpacked_or_decoded(tmp_path: Path) -> None:
    """Archives and pictures of zeros, and a picture that another program would have to draw."""
    archive, target = tmp_path / "a.zip", tmp_path / "stack.npy"
    target.touch()
    zeros = io.BytesIO()
    with zipfile.ZipFile(zeros, "w", zipfile.ZIP_DEFLATED) as file, file.open("in/cube.mat", "w") as member:
        for _ in range(150):
            member.write(bytes(2**20))
    archive.write_bytes(zeros.getvalue())
    assert archive.stat().st_size < 2**20
    with pytest.raises(InputError, match=r"unpacks to 157286400 bytes or more, over 100 times its \d+ bytes"):
        unpack(archive, "in/cube.mat", target, bands=None)
    archive.write_bytes(tarred({"in/cube.mat": bytes(150 * 2**20)}))
    with pytest.raises(InputError, match="unpacks to 157286400 bytes or more"):
        unpack(archive, "in/cube.mat", target, bands=None)
    buffer = io.BytesIO()
    Picture.new("L", (500, 400)).save(buffer, "PNG")
    archive.write_bytes(zipped({"b/b_01.png": buffer.getvalue()}))
    with pytest.raises(InputError, match=r"b/b_01\.png has 400x500 pixels, expected 4x5"):
        unpack(archive, "b/b_{band:02d}.png", target, bands=1, size=(4, 5))
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 5 4\nshowpage\n"
    for content in (script, buffer.getvalue()[:60], b""):
        archive.write_bytes(zipped({"b/b_01.png": content}))
        with pytest.raises(InputError, match=r"b/b_01\.png is no PNG that can be read"):
            unpack(archive, "b/b_{band:02d}.png", target, bands=1)
    assert target.read_bytes() == b""


# ---- entries of the catalogue, offline and with others


def run(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", "datasets", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="session")
def pavia_centre() -> bytes:
    """A file of the true layout, with nothing in it."""
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {"pavia": np.zeros((1096, 715, 102), np.uint8)}, do_compression=True)
    return buffer.getvalue()


def test_two_processes_fetch_a_file_once(server: Loopback, tmp_path: Path, pavia_centre: bytes) -> None:
    def slowly(request: Handler) -> None:
        time.sleep(0.5)
        good(pavia_centre)(request)

    server.offer("/pavia_centre/Pavia.mat", slowly)
    environment = {"PIPELINE_MIRROR": server.address, "PIPELINE_DATA": str(tmp_path)}
    jobs = [run("fetch", "pavia_centre", **environment) for _ in range(2)]
    for job in jobs:
        out, err = job.communicate(timeout=60)
        assert job.returncode == 0, err
        assert out == f"{tmp_path}/pavia_centre/Pavia.mat\n"
    assert server.asked == [("/pavia_centre/Pavia.mat", None)]
    assert listing(tmp_path) == [LOCK, "pavia_centre/Pavia.mat"]


def test_chikusei_from_an_archive_in_an_offline_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.inputs.datasets.fetch import fetch_image

    content = tmp_path / "scene.mat"
    with h5py.File(content, "w", userblock_size=512) as file:
        file.create_dataset("chikusei", (128, 2335, 2517), np.float64, chunks=(8, 64, 64))
    with content.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, written by a test".ljust(126) + b"IM")
    mirror = tmp_path / "mirror/chikusei_matlab"
    mirror.mkdir(parents=True)
    member = "Chikusei_MATLAB/HyperspecVNIR_Chikusei_20140729.mat"
    (mirror / "Hyperspec_Chikusei_MATLAB.zip").write_bytes(zipped({member: content.read_bytes()}))
    monkeypatch.setenv("PIPELINE_MIRROR", str(tmp_path / "mirror"))
    path = fetch_image("chikusei_matlab", folder=tmp_path / "data")
    assert path.read_bytes() == content.read_bytes()
    assert listing(tmp_path / "data") == [
        "chikusei_matlab/HyperspecVNIR_Chikusei_20140729.mat",
        "chikusei_matlab/Hyperspec_Chikusei_MATLAB.zip",
        LOCK,
    ]
