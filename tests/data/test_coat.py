"""Coat's loader, on files made here."""

import functools
import hashlib
import lzma
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from recflax.data import coat
from recflax.data.sources import DataNotFound, Source


@pytest.fixture
def tables():
    rng = np.random.default_rng(0)
    shape = (coat.PEOPLE, coat.COATS)
    rated = rng.random(shape) < 0.1
    return {
        "train": rated * rng.integers(1, 6, shape),
        "test": (rng.random(shape) < 0.05) * rng.integers(1, 6, shape),
        "propensities": rng.uniform(0.01, 1.0, shape),
        "user_features": rng.integers(0, 2, (coat.PEOPLE, 7)),
        "item_features": rng.integers(0, 2, (coat.COATS, 11)),
    }


def write(folder, tables, packed=("propensities",)):
    folder.mkdir(exist_ok=True)
    for name, table in tables.items():
        text = "\n".join(" ".join(repr(float(x)) for x in row) for row in table)
        if name in packed:
            (folder / f"{name}.ascii.xz").write_bytes(lzma.compress(text.encode()))
        else:
            (folder / f"{name}.ascii").write_text(text)
    return folder


def test_a_folder_is_read_as_it_was_written(tmp_path, tables, monkeypatch) -> None:
    write(tmp_path / "coat", tables)
    monkeypatch.setenv("RECFLAX_DATA_DIR", str(tmp_path))
    assert coat.available()
    found = coat.load()
    for name, table in tables.items():
        np.testing.assert_array_equal(getattr(found, name), table)


def test_without_the_data_it_is_not_available(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("RECFLAX_DATA_DIR", str(tmp_path))
    assert not coat.available()
    with pytest.raises(DataNotFound, match="nowhere does not exist"):
        coat.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "place", "value", "message"),
    [
        ("train", (3, 5), 6, r"train must be a rating 1 to 5, or 0 for none; \(3, 5\) is 6"),
        ("test", (7, 2), 2.5, r"test must be a rating .* \(7, 2\) is 2.5"),
        ("propensities", (2, 3), 0.0, r"propensities must be in \(0, 1\]; \(2, 3\) is 0"),
        ("propensities", (2, 3), np.nan, r"propensities must be in \(0, 1\]; \(2, 3\) is nan"),
        ("user_features", (1, 1), 2, r"user_features must be 0 or 1; \(1, 1\) is 2"),
    ],
)
def test_the_first_number_out_of_range_is_named(tmp_path, tables, name, place, value, message):
    tables[name] = tables[name].astype(float)
    tables[name][place] = value
    with pytest.raises(ValueError, match=message):
        coat.load(write(tmp_path / "coat", tables))


def test_what_is_missing_or_cut_short_is_named(tmp_path, tables) -> None:
    folder = write(tmp_path / "coat", tables)
    whole = (folder / "train.ascii").read_text()
    (folder / "train.ascii").write_text(whole[:-700])
    with pytest.raises(ValueError, match=r"train has \d+ numbers in row 289, and 300 in row 0"):
        coat.load(folder)
    (folder / "train.ascii").write_text("\n".join(whole.splitlines()[:-1]))
    with pytest.raises(ValueError, match=r"train must have shape \(290, 300\); got \(289, 300\)"):
        coat.load(folder)
    (folder / "train.ascii").write_text(whole.replace("0.0", "none", 1))
    with pytest.raises(ValueError, match="train must hold numbers"):
        coat.load(folder)
    (folder / "train.ascii").write_text("")
    with pytest.raises(ValueError, match="train is empty"):
        coat.load(folder)
    (folder / "train.ascii").unlink()
    with pytest.raises(ValueError, match=r"the folder coat has no train\.ascii"):
        coat.load(folder)
    folder = write(tmp_path / "other", tables)
    packed = folder / "propensities.ascii.xz"
    packed.write_bytes(packed.read_bytes()[:-50])
    with pytest.raises(ValueError, match=r"propensities\.ascii\.xz is damaged or cut short"):
        coat.load(folder)


def archive(folder, tables):
    path = folder / "made.zip"
    write(folder / "plain", tables, packed=())
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name in tables:
            file.write(folder / "plain" / f"{name}.ascii", f"coat/inside/{name}.ascii")
    return path


def test_an_archive_is_downloaded_once_and_its_hash_decides(tmp_path, tables, monkeypatch) -> None:
    path = archive(tmp_path, tables)
    monkeypatch.delenv("RECFLAX_DATA_DIR", raising=False)
    monkeypatch.setenv("RECFLAX_CACHE_DIR", str(tmp_path / "cache"))
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *a: None})
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(quiet, directory=str(tmp_path))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/made.zip"
        right = Source(url, hashlib.sha256(path.read_bytes()).hexdigest())
        np.testing.assert_array_equal(coat.load(source=right).train, tables["train"])
        path.unlink()  # the second time it comes from the cache
        np.testing.assert_array_equal(coat.load(source=right).test, tables["test"])
        with pytest.raises(DataNotFound, match=r"RECFLAX_DATA_DIR .* coat/train\.ascii"):
            coat.load(source=Source(url.replace("made", "nowhere"), "0" * 64))
    finally:
        server.shutdown()
        server.server_close()


def test_a_damaged_or_incomplete_archive_is_named(tmp_path, tables) -> None:
    path = archive(tmp_path, tables)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"made\.zip is damaged or cut short"):
        coat.load(path)
    del tables["test"]
    with pytest.raises(ValueError, match=r"made\.zip holds no test\.ascii"):
        coat.load(archive(tmp_path, tables))
