"""The loader on small files made here: every trap is a clear error or the right frame."""

import functools
import hashlib
import http.server
import io
import lzma
import threading
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recflax.data import online_retail
from recflax.data.cleaning import LINES, NON_PRODUCT_CODES
from recflax.data.online_retail import available, load, parse_dates
from recflax.data.sources import DataNotFound, Source

HEADING = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
FIRST = "536365,00123,RED MUG,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom\n"
REST = (
    "536365,85123A,,2,2010-12-01 08:26:00,3.39,17850.0,United Kingdom\n"
    "C536379,D,Discount,-1,2010-12-01 09:41:00,27.5,,Norway\n"
)


@pytest.fixture(autouse=True)
def empty_home(monkeypatch, tmp_path) -> None:
    """No test sees this machine's data, cache or proxy."""
    monkeypatch.delenv("RECFLAX_DATA_DIR", raising=False)
    monkeypatch.setenv("RECFLAX_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def written(tmp_path: Path, text: str | bytes, name: str = "lines.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def workbook(**changes: list) -> bytes:
    """A workbook as the publisher's: numbers are numbers, dates are dates, some are text."""
    columns = {
        "InvoiceNo": [536365, 536365, "C536379"],
        "StockCode": ["00123", 71053, "D"],
        "Description": ["RED MUG", None, "Discount"],
        "Quantity": [6, 2, -1],
        "InvoiceDate": [pd.Timestamp("2010-12-01 08:26"), "13/12/2010 8:26", "1/12/2010 09:41"],
        "UnitPrice": [2.55, 3, 27.5],
        "CustomerID": [17850, 17850.0, None],
        "Country": ["United Kingdom", "United Kingdom", "Norway"],
    }
    file = io.BytesIO()
    pd.DataFrame({**columns, **changes}, dtype=object).to_excel(file, index=False)
    return file.getvalue()


def zipped(**files: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_xlsx", ".xlsx"), content)
    return file.getvalue()


@pytest.fixture
def server(tmp_path):
    """A publisher on this machine: a folder, and the address that serves it."""
    folder = tmp_path / "published"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()
        thread.join()


def test_a_good_file_is_the_right_frame(tmp_path) -> None:
    lines = load(written(tmp_path, HEADING + FIRST + REST))
    assert tuple(lines.columns) == LINES
    assert lines["invoice"].tolist() == ["536365", "536365", "C536379"]
    assert lines["code"].tolist() == ["00123", "85123A", "D"]  # leading zeros stay
    assert lines["customer"].isna().tolist() == [False, False, True]
    assert lines["customer"].tolist()[:2] == ["17850", "17850"]  # no ".0"
    assert lines["description"].isna().tolist() == [False, True, False]
    assert lines["quantity"].tolist() == [6, 2, -1]
    assert lines["quantity"].dtype == np.int64
    assert lines["price"].tolist() == [2.55, 3.39, 27.5]
    assert lines["time"].tolist()[2] == pd.Timestamp("2010-12-01 09:41")


def test_columns_may_stand_in_another_order(tmp_path) -> None:
    frame = pd.read_csv(written(tmp_path, HEADING + FIRST + REST), dtype=str)
    path = tmp_path / "turned.csv"
    frame[frame.columns[::-1]].to_csv(path, index=False)
    pd.testing.assert_frame_equal(load(path), load(tmp_path / "lines.csv"))


def test_wrong_columns_are_named(tmp_path) -> None:
    renamed = HEADING.replace("InvoiceNo", "Invoice") + FIRST
    with pytest.raises(ValueError, match=r"lacks the columns \['InvoiceNo'\].*\['Invoice'\]"):
        load(written(tmp_path, renamed))
    more = HEADING.replace("Country", "Country,Colour") + FIRST.strip() + ",red\n"
    with pytest.raises(ValueError, match=r"lines.csv has the unknown columns \['Colour'\]"):
        load(written(tmp_path, more))


@pytest.mark.parametrize("day_first", [True, False])
def test_day_first_and_month_first_dates(tmp_path, day_first) -> None:
    early, late = ("3/12/2010 8:26", "13/12/2010 08:26:30")
    if not day_first:
        early, late = ("12/3/2010 8:26", "12/13/2010 08:26:30")
    rows = "".join(FIRST.replace("2010-12-01 08:26:00", date) for date in (early, late))
    path = written(tmp_path, HEADING + rows + FIRST)
    assert load(path, day_first=day_first)["time"].tolist() == [
        pd.Timestamp("2010-12-03 08:26"),
        pd.Timestamp("2010-12-13 08:26:30"),
        pd.Timestamp("2010-12-01 08:26"),
    ]
    order = "day" if day_first else "month"
    with pytest.raises(ValueError, match=f"{late}.* seem to be {order}-first; pass day_first="):
        load(path, day_first=not day_first)


def test_dates_that_are_dates_are_left_alone() -> None:
    dates = pd.Series(pd.to_datetime(["2011-12-03 08:26", None]), name="time")
    pd.testing.assert_series_equal(parse_dates(dates), dates)


def test_dates_that_cannot_be_read_are_missing_but_not_all() -> None:
    dates = parse_dates(pd.Series(["soon", "31.02.2011", "5-6-2011", None], name="time"))
    assert dates.isna().tolist() == [True, True, False, True]
    assert dates[2] == pd.Timestamp("2011-06-05")
    with pytest.raises(ValueError, match="time holds no date that can be read; row 0 has 'soon'"):
        parse_dates(pd.Series(["soon", "later"], name="time"))


def test_latin_1_bytes_are_read(tmp_path) -> None:
    text = HEADING + FIRST.replace("RED MUG", "CAFÉ MUG £5")
    expected = "CAFÉ MUG £5"
    for encoding in ("latin-1", "utf-8", "utf-8-sig"):
        lines = load(written(tmp_path, text.encode(encoding)))
        assert lines["description"].tolist() == [expected]


def test_a_description_that_says_na_is_a_text(tmp_path) -> None:
    lines = load(written(tmp_path, HEADING + FIRST.replace("RED MUG", "NA")))
    assert lines["description"].tolist() == ["NA"]


def test_customers_as_floats_with_nan_become_text_without_point_zero(tmp_path) -> None:
    frame = pd.read_csv(written(tmp_path, HEADING + FIRST + REST))
    assert frame["CustomerID"].dtype == float
    frame.to_csv(tmp_path / "floats.csv", index=False)
    lines = load(tmp_path / "floats.csv")
    assert lines["customer"].dropna().tolist() == ["17850", "17850"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",6,", ",six,", "quantity must hold numbers; row 0 has 'six'"),
        (",6,", ",,", "quantity must hold numbers; row 0 has nan"),
        ("2.55", '"2,55"', "price must hold numbers; row 0 has '2,55'"),
    ],
)
def test_a_number_that_is_none_is_named(tmp_path, old, new, message) -> None:
    with pytest.raises(ValueError, match=message):
        load(written(tmp_path, HEADING + FIRST.replace(old, new)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "lines.csv is empty"),
        (b"\n\n", "lines.csv is empty"),
        (HEADING.encode(), "lines.csv has a heading and no line"),
    ],
)
def test_an_empty_file_is_an_error(tmp_path, content, message) -> None:
    with pytest.raises(ValueError, match=message):
        load(written(tmp_path, content))


@pytest.mark.parametrize("kind", ["xz", "gz", "zip", "xlsx"])
@pytest.mark.parametrize("harm", ["cut", "replaced"])
def test_a_damaged_archive_is_an_error(tmp_path, kind, harm) -> None:
    plain = tmp_path / f"whole.csv.{kind}"
    if kind in ("xz", "gz"):
        pd.read_csv(written(tmp_path, HEADING + FIRST * 101), dtype=str).to_csv(plain, index=False)
        content, name = plain.read_bytes(), f"lines.csv.{kind}"
    else:
        content = workbook() if kind == "xlsx" else zipped(book_xlsx=workbook())
        name = f"lines.{kind}"
    content = content[: len(content) // 2] if harm == "cut" else b"<html>not found</html>"
    with pytest.raises(ValueError, match=f"{name} is damaged or cut short"):
        load(written(tmp_path, content, name))


def test_a_workbook_gives_the_same_as_text(tmp_path) -> None:
    lines = load(written(tmp_path, workbook(), "book.xlsx"))
    assert lines["invoice"].tolist() == ["536365", "536365", "C536379"]
    assert lines["code"].tolist() == ["00123", "71053", "D"]
    assert lines["customer"].tolist()[:2] == ["17850", "17850"]
    assert lines["customer"].isna().tolist() == [False, False, True]
    assert lines["time"].dt.day.tolist() == [1, 13, 1]
    assert lines["price"].tolist() == [2.55, 3.0, 27.5]


def test_an_archive_must_hold_one_workbook_of_a_bearable_size(tmp_path, monkeypatch) -> None:
    with pytest.raises(ValueError, match=r"must hold one .xlsx file; it holds 0"):
        load(written(tmp_path, zipped(readme=b"hello"), "lines.zip"))
    with pytest.raises(ValueError, match="it holds 2"):
        load(written(tmp_path, zipped(a_xlsx=b"", b_xlsx=b""), "lines.zip"))
    monkeypatch.setattr(online_retail, "MAX_UNPACKED", 1000)
    with pytest.raises(ValueError, match=r"lines.zip would unpack to .* at most 1000"):
        load(written(tmp_path, zipped(a_xlsx=bytes(1001)), "lines.zip"))
    with pytest.raises(ValueError, match=r"the workbook would unpack to .* at most 1000"):
        load(written(tmp_path, workbook(), "book.xlsx"))


def test_nothing_is_written_where_an_archive_says(tmp_path) -> None:
    archive = written(tmp_path, zipped(**{"../../evil_xlsx": workbook()}), "lines.zip")
    before = sorted(tmp_path.parent.rglob("*"))
    assert len(load(archive)) == 3
    assert sorted(tmp_path.parent.rglob("*")) == before


def test_the_folder_of_real_data_comes_first(tmp_path, monkeypatch) -> None:
    assert not available()
    monkeypatch.setenv("RECFLAX_DATA_DIR", str(tmp_path))
    assert not available()  # the folder lacks the file
    (tmp_path / "online_retail").mkdir()
    packed = lzma.compress((HEADING + FIRST).encode())
    (tmp_path / "online_retail" / "online_retail.csv.xz").write_bytes(packed)
    assert available()
    assert load()["code"].tolist() == ["00123"]


def test_a_download_is_checked_read_once_and_kept_by_column(server, monkeypatch) -> None:
    folder, address = server
    content = zipped(book_xlsx=workbook())
    (folder / "online.zip").write_bytes(content)
    source = Source(f"{address}/online.zip", hashlib.sha256(content).hexdigest())
    first = load(source=source)
    (folder / "online.zip").unlink()
    monkeypatch.setattr(online_retail, "download", None)  # a second download would be an error
    pd.testing.assert_frame_equal(load(source=source), first)
    assert first["description"].isna().tolist() == [False, True, False]


def test_a_cached_copy_makes_the_data_available(server, monkeypatch) -> None:
    folder, address = server
    content = zipped(book_xlsx=workbook())
    (folder / "online.zip").write_bytes(content)
    source = Source(f"{address}/online.zip", hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(online_retail, "PUBLISHER", source)
    assert not available()
    load(source=source)
    assert available()


def test_another_hash_is_an_error_and_nothing_is_kept(server, tmp_path) -> None:
    folder, address = server
    (folder / "online.zip").write_bytes(zipped(book_xlsx=workbook()))
    with pytest.raises(ValueError, match="SHA256 hash"):
        load(source=Source(f"{address}/online.zip", "0" * 64))
    assert not list((tmp_path / "cache").glob("*.npz"))


def test_without_file_and_network_the_error_says_what_to_set(server, tmp_path) -> None:
    _, address = server
    with pytest.raises(DataNotFound, match=r"RECFLAX_DATA_DIR .*online_retail.csv.xz"):
        load(source=Source(f"{address}/nowhere.zip", "0" * 64))
    with pytest.raises(DataNotFound, match=r"nowhere.csv does not exist"):
        load(tmp_path / "nowhere.csv")
    assert issubclass(DataNotFound, FileNotFoundError)


def test_the_publisher_is_the_recorded_one() -> None:
    assert online_retail.PUBLISHER.url.startswith("https://archive.ics.uci.edu/")
    assert len(online_retail.PUBLISHER.sha256) == len(hashlib.sha256().hexdigest())


def test_the_plain_filter_keeps_sales_of_products(tmp_path) -> None:
    sale = load(written(tmp_path, HEADING + FIRST))
    changes = {
        "customer": None,
        "invoice": "C536365",
        "quantity": 0,
        "price": 0.0,
        "code": NON_PRODUCT_CODES[0],
    }
    wrong = [sale.assign(**{name: value}) for name, value in changes.items()]
    kept = online_retail.plain_sales(pd.concat([*wrong, sale, sale]).astype(sale.dtypes))
    pd.testing.assert_frame_equal(kept, pd.concat([sale, sale], ignore_index=True))
