"""Getting data when something is in the way: nothing half-kept, and a message that says what."""

import ast
import errno
import functools
import hashlib
import http.server
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from recflax.data import coat, hillstrom, online_retail, sources
from recflax.data.sources import DataNotFound, Source, download

ROOT = Path(__file__).resolve().parents[2]
CONTENT = bytes(range(256)) * 40
RIGHT = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """An empty cache, and no proxy or data of this machine."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.delenv("RECFLAX_DATA_DIR", raising=False)
    monkeypatch.setenv("RECFLAX_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def publisher(tmp_path):
    """A folder, and the address that serves it."""
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "made.zip").write_bytes(CONTENT)
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *a: None})
    handler = functools.partial(quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}/made.zip"
        server.shutdown()
        thread.join()


@pytest.fixture
def silent():
    """A proxy, or a publisher, that takes a call and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def fetch(url: str, sha256: str = RIGHT) -> Path:
    return download(Source(url, sha256), "Coat", "made.zip", "coat/train.ascii")


def kept(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob("*")) if cache.is_dir() else []


def test_what_comes_is_kept_once_and_whole(cache, publisher):
    folder, url = publisher
    assert fetch(url).read_bytes() == CONTENT
    (folder / "made.zip").unlink()
    assert fetch(url).read_bytes() == CONTENT
    assert kept(cache) == ["made.zip"]


def test_a_corrupt_download_is_told_by_its_hash_and_not_kept(cache, publisher):
    folder, url = publisher
    (folder / "made.zip").write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(ValueError, match=rf"SHA256 hash .*made\.zip.* expected .*{RIGHT}"):
        fetch(url)
    assert kept(cache) == []


def test_a_stale_copy_is_replaced_and_stays_until_then(cache, publisher):
    folder, url = publisher
    cache.mkdir()
    (cache / "made.zip").write_bytes(b"of last year")
    (folder / "made.zip").rename(folder / "elsewhere.zip")
    with pytest.raises(DataNotFound, match="404"):
        fetch(url)
    assert (cache / "made.zip").read_bytes() == b"of last year"
    (folder / "elsewhere.zip").rename(folder / "made.zip")
    assert fetch(url).read_bytes() == CONTENT


def test_more_bytes_than_any_data_set_has_are_not_taken(cache, publisher, monkeypatch):
    monkeypatch.setattr(sources, "MAX_DOWNLOAD", len(CONTENT) - 1)
    with pytest.raises(ValueError, match=r"made\.zip sends more than 10239 bytes; nothing is kept"):
        fetch(publisher[1])
    assert kept(cache) == []
    monkeypatch.setattr(sources, "MAX_DOWNLOAD", len(CONTENT))
    assert fetch(publisher[1]).is_file()


def test_without_a_network_the_message_says_what_to_set(cache):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(
        DataNotFound, match=r"Coat is not here, and http.* did not give it .*RECFLAX_DATA_DIR"
    ):
        fetch(f"http://127.0.0.1:{port}/made.zip")
    assert kept(cache) == []


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_hangs_is_not_waited_for_without_end(cache, silent, monkeypatch, scheme):
    monkeypatch.setenv(f"{scheme}_proxy", f"http://{silent}")
    monkeypatch.setattr(sources, "TIMEOUT", 0.2)
    with pytest.raises(DataNotFound, match=r"did not give it .*timed out.*RECFLAX_DATA_DIR"):
        fetch(f"{scheme}://publisher.example/made.zip")
    assert kept(cache) == []


def test_a_publisher_that_stops_in_the_middle_leaves_nothing(cache, monkeypatch):
    def half(listening):
        call, _ = listening.accept()
        with call:
            call.recv(9999)
            call.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10240\r\n\r\n" + CONTENT[:5000])

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=half, args=(listening,))
        thread.start()
        with pytest.raises((DataNotFound, ValueError), match=r"did not give it|SHA256"):
            fetch(f"http://127.0.0.1:{listening.getsockname()[1]}/made.zip")
        thread.join()
    assert kept(cache) == []


def test_a_full_disk_is_named_and_leaves_nothing(cache, publisher, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(sources._Limited, "write", full)
    with pytest.raises(DataNotFound, match=r"Coat cannot be kept in .*cache .*RECFLAX_CACHE_DIR"):
        fetch(publisher[1])
    assert kept(cache) == []


def test_a_cache_that_cannot_be_written_is_named(tmp_path, publisher, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("RECFLAX_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with pytest.raises(DataNotFound, match=r"Coat cannot be kept in .*RECFLAX_CACHE_DIR"):
        fetch(publisher[1])


def test_a_read_only_cache_is_named(publisher, monkeypatch):
    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError("may not")  # as pooch says it, without a number

    monkeypatch.setattr(sources.pooch, "retrieve", forbidden)
    with pytest.raises(DataNotFound, match=r"cannot be kept in .*may not.*RECFLAX_CACHE_DIR"):
        fetch(publisher[1])


def test_two_processes_that_download_at_once_both_get_the_whole(cache, publisher):
    program = (
        "import sys; from recflax.data.sources import Source, download\n"
        f"path = download(Source(sys.argv[1], {RIGHT!r}), 'Coat', 'made.zip', 'x')\n"
        "print(len(path.read_bytes()))"
    )
    command = [sys.executable, "-c", program, publisher[1]]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, env=environ) for _ in range(2)]
    assert [one.communicate()[0].strip() for one in both] == [b"10240"] * 2
    assert kept(cache) == ["made.zip"]


# ------------------------------------------------------------- the copy by column of Online Retail


@pytest.fixture
def lines(monkeypatch, tmp_path):
    """Lines that stand in the place of the workbook, and how often they were read."""
    path = tmp_path / "lines.csv"
    path.write_text(
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
        "536365,00123,RED MUG,6,2010-12-01 08:26:00,2.55,17850,Norway\n"
        "536366,00124,,2,2010-12-01 09:26:00,1.55,,Norway\n"
    )
    read: list[str] = []

    def fetched(*_: object) -> Path:
        read.append("again")
        (tmp_path / "cache").mkdir(exist_ok=True)
        return path

    monkeypatch.setattr(online_retail, "download", fetched)
    return read


def copy_by_column() -> Path:
    return online_retail._columnar_copy(online_retail.PUBLISHER)


@pytest.mark.parametrize("harm", ["cut", "other", "empty", "lacks a column"])
def test_a_damaged_copy_is_made_again(lines, harm):
    whole = online_retail.load()
    content = copy_by_column().read_bytes()
    if harm == "lacks a column":
        np.savez(copy_by_column(), price=[1.0])
    else:
        harmed = {"cut": content[: len(content) // 2], "other": b"<html>", "empty": b""}[harm]
        copy_by_column().write_bytes(harmed)
    assert online_retail.load().equals(whole)
    assert online_retail.load().equals(whole)
    assert lines == ["again"] * 2  # the third time it came from the copy


def test_a_full_disk_costs_the_copy_and_not_the_data(cache, lines, monkeypatch):
    def full(file, **_: object) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(online_retail.np, "savez_compressed", full)
    with pytest.warns(UserWarning, match=r"cannot be kept .* the next call reads the workbook"):
        assert len(online_retail.load()) == 2
    assert kept(cache) == []


def test_two_that_write_the_copy_at_once_do_not_meet(cache, lines, monkeypatch):
    written = online_retail.np.savez_compressed

    def interrupted(file, **arrays):
        monkeypatch.setattr(online_retail.np, "savez_compressed", written)
        file.write(b"half")
        online_retail.load()  # another process, in the middle of this one's writing
        file.seek(0)
        written(file, **arrays)

    monkeypatch.setattr(online_retail.np, "savez_compressed", interrupted)
    first = online_retail.load()
    assert online_retail.load().equals(first)
    assert kept(cache) == [copy_by_column().name]


# ------------------------------------------------------------------------------- what is trusted


def test_addresses_are_encrypted_but_one_that_is_not_to_be_had_so():
    publishers = {name.PUBLISHER.url for name in (coat, hillstrom, online_retail)}
    open_ones = {url for url in publishers if not url.startswith("https://")}
    assert open_ones == {hillstrom.PUBLISHER.url}  # its hash decides, as the module says
    for name in (coat, hillstrom, online_retail):
        assert len(bytes.fromhex(name.PUBLISHER.sha256)) == 32


def modules() -> list[Path]:
    folders = ("recflax", "tools", "book/_ext", "benchmarks")
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def test_nothing_reads_or_writes_a_pickle():
    """No module that unpickles is imported, and no array or table is read or written as one."""
    unpickling = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve"}
    found = []
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                off = isinstance(node.value, ast.Constant) and node.value.value is False
                names = [] if off else ["pickle"]
            elif isinstance(node, ast.Attribute) and node.attr in ("to_pickle", "read_pickle"):
                names = ["pickle"]
            found += [(path.name, name) for name in names if name.split(".")[0] in unpickling]
    assert len(modules()) > 100
    assert found == []


def test_only_one_module_of_the_library_asks_the_network():
    asking = {"pooch", "requests", "urllib", "http", "socket", "ftplib", "aiohttp", "httpx"}
    found = set()
    for path in sorted((ROOT / "recflax").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            found |= {path.name for name in names if name.split(".")[0] in asking}
    # scale/local.py asks this machine alone, whether a port is free
    assert found == {"sources.py", "local.py"}


def test_no_archive_is_unpacked_onto_the_disk():
    calls = []
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            # tarfile's own filter keeps what we packed ourselves inside of the folder
            words = {word.arg: ast.unparse(word.value) for word in node.keywords}
            kept_in = words.get("filter") in ("'data'", '"data"')
            if node.func.attr in ("extractall", "unpack_archive") and not kept_in:
                calls.append(path.name)
    assert calls == []
