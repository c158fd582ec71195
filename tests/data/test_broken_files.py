"""Broken files: whatever is done to one, a loader gives a right table or says what is wrong.

A small file of each kind is broken again and again, by rules that are drawn: bytes, encodings,
separators, quotes, dates, huge numbers, words in the place of numbers, columns and lines that are
gone or there twice, packed files that are cut or changed. What comes of it must be a table that
holds what the loader promises, or an error of a kind that its docstring names, with the name of
the file or the column in it.
"""

import gzip
import io
import lzma
import re
import zipfile
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recflax.data import coat, hillstrom, online_retail, open_bandit
from recflax.data.cleaning import LINES
from recflax.data.sources import DataNotFound

HILLSTROM = (
    ",".join(hillstrom._COLUMNS) + "\r\n"
    "1,1) $0 - $100,29.99,1,0,Rural,0,Web,No E-Mail,0,0,0\r\n"
    '7,"6) $750 - $1,000",801.5,1,1,Urban,1,Phone,Mens E-Mail,1,1,49.5\r\n'
    "12,2) $100 - $200,142.44,0,1,Surburban,0,Multichannel,Womens E-Mail,1,0,0\r\n"
).encode()
RETAIL = (
    b"InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    b"536365,00123,RED MUG,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom\n"
    b"536365,85123A,,2,3/12/2010 8:26,3.39,17850.0,United Kingdom\n"
    b'C536379,D,"Discount, 5%",-1,2010-12-01 09:41:00,27.5,,Norway\n'
)
BANDIT = (
    b",timestamp,item_id,position,click,propensity_score,user_feature_0\n"
    b"0,2019-11-24 00:03:13.442536+00:00,0,3,0,0.25,abc\n"
    b"1,2019-11-24 01:03:13.442536+00:00,2,1,1,0.5,abd\n"
    b"2,2019-11-25 02:03:13+00:00,1,2,0,1.0,\n"
)
ITEMS = b",item_id,item_feature_0\n0,0,0.5\n1,1,0.5\n2,2,0.1\n"

WORDS = [
    *("", " 1 ", "1,5", "1;2", "1_000", "0x1", "1.5", "1e2", "-1", "-0", "2", "NaN", "inf", "-inf"),
    *("1e308", "1e400", "1e-400", "9" * 30, "1" * 400, "18446744073709551615", "True", "None"),
    *('"', "'", '"""', '"1"', "\t", "\r", "\\", "#", "=1+1", "C", "POST", "NULL", "\x00", "\ufeff"),
    *("é", "€", "１", "²", "🧥", "１２/１２/２０１０", "2010-13-45", "0000-00-00", "1600-01-01"),
    *("9999-12-31 23:59:59", "10000-01-01", "2262-04-12", "12/31/2010 8:26", "31/31/2010"),
    *("1/1/0001 0:00", "29/2/2011 25:61", "2019-11-24T00:00:00+99:99", "2019-11-24 00:00-05:00"),
]
ENCODINGS = ("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "utf-7", "cp037")
PIECES = (b'"', b"'", b'""', b"\\", b"\n", b"\r", b"\r\n", b"\0", b"\xff", b"\xef\xbb\xbf", b",")


def some_bytes(content: bytes, rng: Random) -> bytes:
    array = bytearray(content)
    for _ in range(rng.randint(1, 4) if array else 0):
        array[rng.randrange(len(array))] = rng.randrange(256)
    return bytes(array)


def cut(content: bytes, rng: Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def another_encoding(content: bytes, rng: Random) -> bytes:
    return content.decode("utf-8", "ignore").encode(rng.choice(ENCODINGS), "ignore")


def another_separator(content: bytes, rng: Random) -> bytes:
    return content.replace(b",", rng.choice([b";", b"\t", b"|", b" ", b",,"]))


def a_piece_more(content: bytes, rng: Random) -> bytes:
    place = rng.randrange(len(content) + 1)
    return content[:place] + rng.choice(PIECES) + content[place:]


def a_word(content: bytes, rng: Random) -> bytes:
    separator = b"," if b"," in content else b" "
    lines = content.split(b"\n")
    row = rng.randrange(len(lines))
    cells = lines[row].split(separator)
    cells[rng.randrange(len(cells))] = rng.choice(WORDS).encode()
    lines[row] = separator.join(cells)
    return b"\n".join(lines)


def a_line(content: bytes, rng: Random) -> bytes:
    lines = content.split(b"\n")
    line = lines.pop(rng.randrange(len(lines)))
    more = rng.randrange(3)  # it goes, it moves, or it is there twice
    for _ in range(more):
        lines.insert(rng.randrange(len(lines) + 1), line)
    return b"\n".join(lines)


def a_column(content: bytes, rng: Random) -> bytes:
    lines = [line.split(b",") for line in content.split(b"\n")]
    place, copies = rng.randrange(len(lines[0])), rng.choice([0, 2])
    return b"\n".join(
        b",".join(line[:place] + line[place : place + 1] * copies + line[place + 1 :])
        for line in lines
    )


def other_letters(content: bytes, rng: Random) -> bytes:
    return rng.choice([content.upper(), content.replace(b"\n", b"\r"), content.replace(b"\r", b"")])


def noise(content: bytes, rng: Random) -> bytes:
    return rng.randbytes(rng.randrange(60))


WAYS = (
    *(some_bytes, cut, another_encoding, another_separator, a_piece_more, a_line, a_column),
    *(other_letters, noise, a_word, a_word, a_word, a_word),
)


def broken(content: bytes, rng: Random) -> bytes:
    for _ in range(rng.randint(1, 3)):
        content = rng.choice(WAYS)(content, rng)
    return content


def packed(content: bytes, ending: str, rng: Random) -> bytes:
    content = {"": bytes, ".xz": lzma.compress, ".gz": gzip.compress}[ending](content)
    if ending and rng.random() < 0.4:
        content = rng.choice([cut, some_bytes])(content, rng)
    return content


def zipped(files: dict[str, bytes], rng: Random) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as done:
        for name, content in files.items():
            done.writestr(name, content)
    return file.getvalue()


def is_clear(error: Exception, names: tuple[str, ...]) -> bool:
    """Of a documented kind itself, no kind below it, and about something the reader can find."""
    return type(error) in (ValueError, TypeError, DataNotFound) and any(
        re.search(rf"\b{re.escape(name)}\b", str(error)) for name in names
    )


def outcome(load, names: tuple[str, ...]):
    """What a loader gives, or None after an error that is clear."""
    try:
        return load()
    except Exception as error:
        if not is_clear(error, names):
            raise
        return None


seeds = st.integers(0, 2**32)
bounded = settings(max_examples=150)


@bounded
@given(seeds)
def test_hillstrom_broken(tmp_path_factory, seed):
    rng = Random(seed)
    ending = rng.choice(["", "", ".xz", ".gz"])
    path = tmp_path_factory.getbasetemp() / f"h.csv{ending}"
    path.write_bytes(packed(broken(HILLSTROM, rng), ending, rng))
    found = outcome(lambda: hillstrom.read(path), (path.name, *hillstrom._COLUMNS))
    if found is not None:
        assert found.n > 0
        assert ((found.codes() >= 0) & (found.codes() < [12, 7, 2, 2, 3, 2, 3])).all()
        assert np.isin(found.arm, (0, 1, 2)).all()
        assert np.isin([found.visit, found.conversion], (0, 1)).all()
        for dollars in (found.history, found.spend):
            assert (np.isfinite(dollars) & (dollars >= 0)).all()


@bounded
@given(seeds)
def test_open_bandit_broken(tmp_path_factory, seed):
    rng = Random(seed)
    ending = rng.choice(["", "", ".xz", ".gz"])
    folder = tmp_path_factory.getbasetemp()
    log, items = folder / f"o.csv{ending}", folder / "item_context.csv"
    which = rng.random()
    log.write_bytes(packed(broken(BANDIT, rng) if which < 0.8 else BANDIT, ending, rng))
    items.write_bytes(broken(ITEMS, rng) if which > 0.7 else ITEMS)
    names = (log.name, items.name, *open_bandit._COLUMNS)
    found = outcome(lambda: open_bandit.read(log, items), names)
    if found is not None:
        assert found.n > 0
        assert ((found.item >= 0) & (found.item < found.n_items)).all()
        assert np.isin(found.position, (1, 2, 3)).all()
        assert np.isin(found.click, (0, 1)).all()
        assert ((found.propensity > 0) & (found.propensity <= 1)).all()
        assert not np.isnat(found.time).any()


def workbook(rng: Random) -> bytes:
    """The lines as a workbook, a cell or two of it replaced by something else."""
    cells: list[object] = [word for word in WORDS if word.isprintable()]
    cells += [True, 1.5, 10**30, pd.Timestamp("1900-01-01"), float("nan")]
    frame = pd.read_csv(io.BytesIO(RETAIL), dtype=str).astype(object)
    for _ in range(rng.randint(0, 2)):
        frame.iat[rng.randrange(3), rng.randrange(8)] = rng.choice(cells)
    file = io.BytesIO()
    frame.to_excel(file, index=False)
    return file.getvalue()


def check_lines(lines: pd.DataFrame) -> None:
    assert tuple(lines.columns) == LINES
    assert len(lines) > 0
    assert lines["time"].dtype.kind == "M"
    assert lines["time"].notna().any()
    assert lines["quantity"].dtype == np.int64
    assert np.isfinite(lines["price"]).all()


RETAIL_NAMES = (*LINES, *online_retail.PUBLISHED, "day_first", "the workbook")


@bounded
@given(seeds)
def test_online_retail_broken(tmp_path_factory, seed):
    rng = Random(seed)
    ending = rng.choice(["", "", ".xz", ".gz"])
    path = tmp_path_factory.getbasetemp() / f"r.csv{ending}"
    path.write_bytes(packed(broken(RETAIL, rng), ending, rng))
    day_first = rng.random() < 0.8
    found = outcome(
        lambda: online_retail.load(path, day_first=day_first), (path.name, *RETAIL_NAMES)
    )
    if found is not None:
        check_lines(found)


@settings(max_examples=75)
@given(seeds)
def test_online_retail_broken_in_a_workbook(tmp_path_factory, seed):
    rng = Random(seed)
    content, ending = workbook(rng), rng.choice([".xlsx", ".zip"])
    if ending == ".zip":
        content = zipped({"Online Retail.xlsx": content}, rng)
    if rng.random() < 0.6:
        content = rng.choice([cut, some_bytes, some_bytes, some_bytes])(content, rng)
    path = tmp_path_factory.getbasetemp() / f"r{ending}"
    path.write_bytes(content)
    found = outcome(lambda: online_retail.load(path), (path.name, *RETAIL_NAMES))
    if found is not None:
        check_lines(found)


PEOPLE, COATS = 5, 7


def coat_tables() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    tables = {
        "train": rng.integers(0, 6, (PEOPLE, COATS)),
        "test": rng.integers(0, 6, (PEOPLE, COATS)),
        "propensities": rng.uniform(0.1, 1, (PEOPLE, COATS)),
        "user_features": rng.integers(0, 2, (PEOPLE, 3)),
        "item_features": rng.integers(0, 2, (COATS, 4)),
    }
    return {
        name: "".join(" ".join(repr(float(x)) for x in row) + "\n" for row in table).encode()
        for name, table in tables.items()
    }


@pytest.fixture(scope="module")
def few_coats():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coat, "PEOPLE", PEOPLE)
        patch.setattr(coat, "COATS", COATS)
        yield coat_tables()


def write_coat(folder: Path, tables: dict[str, bytes], rng: Random) -> Path:
    """A folder of tables, plain or packed, or an archive of them; perhaps damaged."""
    if rng.random() < 0.3:
        content = zipped({f"x/{name}.ascii": table for name, table in tables.items()}, rng)
        path = folder / "coat.zip"
        path.write_bytes(some_bytes(content, rng) if rng.random() < 0.7 else content)
        return path
    for name, table in tables.items():
        for old in folder.glob(f"{name}.ascii*"):
            old.unlink()
        ending = ".xz" if rng.random() < 0.3 else ""
        (folder / f"{name}.ascii{ending}").write_bytes(packed(table, ending, rng))
    return folder


@bounded
@given(seed=seeds)
def test_coat_broken(tmp_path_factory, few_coats, seed):
    rng = Random(seed)
    tables, name = dict(few_coats), rng.choice(sorted(few_coats))
    tables[name] = broken(tables[name], rng)
    folder = tmp_path_factory.getbasetemp() / "coat"
    folder.mkdir(exist_ok=True)
    path = write_coat(folder, tables, rng)
    found = outcome(lambda: coat.load(path), (*coat.TABLES, path.name))
    if found is not None:
        assert found.train.shape == found.test.shape == (PEOPLE, COATS)
        assert ((found.train >= 0) & (found.train <= 5)).all()
        assert ((found.propensities > 0) & (found.propensities <= 1)).all()
        assert np.isin(found.user_features, (0, 1)).all()


def test_the_unbroken_files_are_read(tmp_path, few_coats):
    """Else every outcome above could be an error."""
    for name, content in (("h", HILLSTROM), ("r", RETAIL), ("o", BANDIT), ("items", ITEMS)):
        (tmp_path / f"{name}.csv").write_bytes(content)
    assert hillstrom.read(tmp_path / "h.csv").n == 3
    assert open_bandit.read(tmp_path / "o.csv", tmp_path / "items.csv").n == 3
    assert len(online_retail.load(tmp_path / "r.csv")) == 3
    for name, table in few_coats.items():
        (tmp_path / f"{name}.ascii").write_bytes(table)
    assert coat.load(tmp_path).train.shape == (PEOPLE, COATS)


# --------------------------------------------------------------- what breaking them has taught us


def test_an_unequal_line_of_invoices_is_no_table(tmp_path):
    path = tmp_path / "lines.csv"
    path.write_bytes(RETAIL + b"536380,D,x,1,2010-12-01,2.5,1,Norway,more\n")
    with pytest.raises(ValueError, match=r"lines\.csv is no table \(.*saw 9\)"):
        online_retail.load(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b",6,", b",1.5,", "quantity must hold whole numbers; row 0 has '1.5'"),
        (b",6,", b",1e300,", "quantity must hold whole numbers; row 0 has '1e300'"),
        (b"2.55", b"inf", "price must hold numbers; row 0 has 'inf'"),
    ],
)
def test_numbers_of_invoices_are_finite_and_pieces_whole(tmp_path, old, new, message):
    path = tmp_path / "lines.csv"
    path.write_bytes(RETAIL.replace(old, new))
    with pytest.raises(ValueError, match=message):
        online_retail.load(path)
    path.write_bytes(RETAIL.replace(b",6,", b",6.0,"))
    assert online_retail.load(path)["quantity"].tolist() == [6, 2, -1]


def test_a_workbook_without_its_parts_is_named(tmp_path):
    path = tmp_path / "book.xlsx"
    path.write_bytes(zipped({"[Content_Types].xml": b"<html/>"}, Random(0)))
    with pytest.raises(ValueError, match=r"book\.xlsx is damaged or cut short, or no workbook \("):
        online_retail.load(path)


def test_a_table_of_coats_in_another_encoding_is_named(tmp_path, few_coats):
    for name, table in few_coats.items():
        (tmp_path / f"{name}.ascii").write_bytes(table)
    (tmp_path / "test.ascii").write_bytes(few_coats["test"].decode().encode("utf-16"))
    with pytest.raises(ValueError, match=r"test\.ascii must be plain text .*; byte 0 is 0xff"):
        coat.load(tmp_path)


def test_an_archive_that_unpacks_to_more_than_can_be_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(coat, "MAX_UNPACKED", 1000)
    path = tmp_path / "coat.zip"
    path.write_bytes(zipped({f"{name}.ascii": bytes(300) for name in coat.TABLES}, Random(0)))
    with pytest.raises(ValueError, match=r"coat\.zip would unpack to 1500 bytes; at most 1000"):
        coat.load(path)
    for name in coat.TABLES:
        (tmp_path / f"{name}.ascii.xz").write_bytes(lzma.compress(bytes(1001)))
    with pytest.raises(ValueError, match=r"train\.ascii\.xz would unpack to more than 1000 bytes"):
        coat.load(tmp_path)


def test_nothing_is_written_where_an_archive_of_coats_says(tmp_path, few_coats):
    files = {f"../../up/{name}.ascii": table for name, table in few_coats.items()}
    (tmp_path / "coat.zip").write_bytes(zipped(files, Random(0)))
    before = sorted(tmp_path.parent.rglob("*"))
    assert coat.load(tmp_path / "coat.zip").train.shape == (PEOPLE, COATS)
    assert sorted(tmp_path.parent.rglob("*")) == before
