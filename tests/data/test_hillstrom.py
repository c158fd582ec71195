"""Hillstrom's loader, on files made here."""

import functools
import gzip
import hashlib
import lzma
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from recflax.data import hillstrom
from recflax.data.sources import DataNotFound, Source

HEADING = (
    "recency,history_segment,history,mens,womens,zip_code,newbie,channel,segment,visit,conversion,"
    "spend"
)
ROWS = 101
WORDS = hillstrom.PUBLISHED


def lines(count=ROWS, seed=0):
    rng = np.random.default_rng(seed)

    def one():
        step = rng.integers(7)
        bought = rng.random() < 0.2
        return ",".join(
            [
                str(rng.integers(1, 13)),
                f'"{WORDS["history_segment"][step]}"'
                if "," in WORDS["history_segment"][step]
                else WORDS["history_segment"][step],
                f"{rng.uniform(30, 3000):.2f}",
                str(rng.integers(2)),
                str(rng.integers(2)),
                WORDS["zip_code"][rng.integers(3)],
                str(rng.integers(2)),
                WORDS["channel"][rng.integers(3)],
                WORDS["segment"][rng.integers(3)],
                "1" if bought else str(rng.integers(2)),
                "1" if bought else "0",
                "29.99" if bought else "0",
            ]
        )

    return [one() for _ in range(count)]


def written(folder, rows, name="hillstrom.csv", end="\n", heading=HEADING):
    folder.mkdir(exist_ok=True, parents=True)
    content = end.join([heading, *rows]).encode() + end.encode()
    path = folder / name
    if name.endswith(".xz"):
        content = lzma.compress(content)
    elif name.endswith(".gz"):
        content = gzip.compress(content)
    path.write_bytes(content)
    return path


@pytest.fixture
def small(monkeypatch):
    """An experiment of 101 customers in the place of 64,000."""
    monkeypatch.setattr(hillstrom, "ROWS", ROWS)
    return lines()


@pytest.mark.parametrize("name", ["hillstrom.csv", "hillstrom.csv.xz"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_file_is_read_as_it_was_written(tmp_path, monkeypatch, small, name, end) -> None:
    written(tmp_path / "hillstrom", small, name, end)
    monkeypatch.setenv("RECFLAX_DATA_DIR", str(tmp_path))
    assert hillstrom.available()
    found = hillstrom.load()
    assert found.n == ROWS
    for row, line in enumerate(small):
        words = line.replace('"6) $750 - $1,000"', "6)").replace('"7) $1,000 +"', "7)").split(",")
        assert found.recency[row] == int(words[0])
        assert str(found.history_segment[row] + 1) == words[1][0]
        assert found.history[row] == float(words[2])
        assert [found.mens[row], found.womens[row]] == [int(words[3]), int(words[4])]
        assert found.raw_zip_code[row] == words[5]
        right = hillstrom.ATTRIBUTES["zip_code"][found.zip_code[row]]
        assert right == ("Suburban" if words[5] == "Surburban" else words[5])
        assert found.newbie[row] == int(words[6])
        assert hillstrom.ATTRIBUTES["channel"][found.channel[row]] == words[7]
        assert WORDS["segment"][found.arm[row]] == words[8]
        assert found.visit[row] == int(words[9])
        assert found.conversion[row] == int(words[10])
        assert found.spend[row] == float(words[11])


def test_codes_are_levels_of_the_attributes_and_rows_can_be_taken(tmp_path, small) -> None:
    found = hillstrom.load(written(tmp_path, small))
    codes = found.codes()
    levels = [len(names) for names in hillstrom.ATTRIBUTES.values()]
    assert levels == [12, 7, 2, 2, 3, 2, 3]
    assert codes.shape == (ROWS, 7)
    assert (codes >= 0).all()
    assert (codes < levels).all()
    np.testing.assert_array_equal(codes[:, 0], found.recency - 1)
    part = found.where(found.arm == 2)
    assert part.n == (found.arm == 2).sum()
    np.testing.assert_array_equal(part.codes(), codes[found.arm == 2])
    np.testing.assert_array_equal(found.where(np.array([5, 3])).spend, found.spend[[5, 3]])


def test_copies_are_customers(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(hillstrom, "ROWS", 7)
    assert hillstrom.load(written(tmp_path, lines(1) * 7)).n == 7
    with pytest.raises(ValueError, match=r"has 1 customers; .* has 7: .* were copies dropped"):
        hillstrom.load(written(tmp_path, lines(1)))


def test_without_the_data_it_is_not_available(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("RECFLAX_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("RECFLAX_CACHE_DIR", str(tmp_path / "cache"))
    assert not hillstrom.available()
    with pytest.raises(DataNotFound, match="nowhere does not exist"):
        hillstrom.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (0, "13", r"recency must be a month 1 to 12; row 3 has '13'"),
        (0, "2.5", r"recency must be a month 1 to 12; row 3 has '2.5'"),
        (1, "8) $2", r"history_segment must be one of .*; row 3 has '8\) \$2'"),
        (2, "-1", r"history must be a number of dollars; row 3 has '-1'"),
        (3, "yes", r"mens must be 0 or 1; row 3 has 'yes'"),
        (5, "Suburban", r"zip_code must be one of .*; row 3 has 'Suburban'"),
        (7, "Post", r"channel must be one of .*; row 3 has 'Post'"),
        (8, "", r"segment must be one of .*; row 3 has ''; is the file cut short\?"),
        (9, "2", r"visit must be 0 or 1; row 3 has '2'"),
        (11, "inf", r"spend must be a number of dollars; row 3 has 'inf'"),
    ],
)
def test_the_first_bad_value_is_named(tmp_path, column, value, message) -> None:
    rows = ["10,2) $100 - $200,142.44,1,0,Rural,0,Phone,No E-Mail,0,0,0"] * 5
    words = rows[3].split(",")
    words[column] = value
    rows[3] = ",".join(words)
    with pytest.raises(ValueError, match=message):
        hillstrom.read(written(tmp_path, rows))


def test_what_is_missing_cut_short_or_damaged_is_named(tmp_path, small) -> None:
    with pytest.raises(ValueError, match=r"has 100 customers; the experiment has 101"):
        hillstrom.load(written(tmp_path, small[:-1]))
    path = written(tmp_path, small)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"row 100 has .*cut short"):
        hillstrom.load(path)
    without = [line.rsplit(",", 1)[0] for line in small]
    with pytest.raises(ValueError, match=r"hillstrom\.csv lacks the columns \['spend'\]"):
        hillstrom.load(written(tmp_path, without, heading=HEADING.rsplit(",", 1)[0]))
    with pytest.raises(ValueError, match="is no table"):
        hillstrom.load(written(tmp_path, [small[0], small[1] + ",3,4"]))
    with pytest.raises(ValueError, match="has a heading and no customer"):
        hillstrom.load(written(tmp_path, []))
    path.write_text("")
    with pytest.raises(ValueError, match=r"hillstrom\.csv is empty"):
        hillstrom.load(path)
    for name in ("hillstrom.csv.xz", "hillstrom.csv.gz"):
        packed = written(tmp_path, small, name)
        packed.write_bytes(packed.read_bytes()[:-50])
        with pytest.raises(ValueError, match=r"is damaged or cut short"):
            hillstrom.load(packed)


def test_it_is_downloaded_once_and_its_hash_decides(tmp_path, monkeypatch, small) -> None:
    path = written(tmp_path / "site", small, end="\r\n")
    monkeypatch.delenv("RECFLAX_DATA_DIR", raising=False)
    monkeypatch.setenv("RECFLAX_CACHE_DIR", str(tmp_path / "cache"))
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *a: None})
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(quiet, directory=str(tmp_path / "site"))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/hillstrom.csv"
        right = Source(url, hashlib.sha256(path.read_bytes()).hexdigest())
        with pytest.raises(ValueError, match="hash"):
            hillstrom.load(source=Source(url, "0" * 64))
        first = hillstrom.load(source=right)
        assert hillstrom.available()
        path.unlink()  # the second time it comes from the cache
        np.testing.assert_array_equal(hillstrom.load(source=right).spend, first.spend)
        (tmp_path / "cache" / "hillstrom.csv").unlink()
        with pytest.raises(DataNotFound, match=r"RECFLAX_DATA_DIR .* hillstrom/hillstrom\.csv\.xz"):
            hillstrom.load(source=right)
    finally:
        server.shutdown()
        server.server_close()
