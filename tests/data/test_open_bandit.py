"""Open Bandit's loader, on files made here, and on the authors' sample where it is."""

import gzip
import lzma

import numpy as np
import pytest

from recflax.data import open_bandit
from recflax.data.sources import DataNotFound

HEADING = ",timestamp,item_id,position,click,propensity_score,user_feature_0"
ITEMS, ROWS = 7, 53
COMPRESS = {".csv": bytes, ".csv.gz": gzip.compress, ".csv.xz": lzma.compress}


def lines(seed=0):
    rng = np.random.default_rng(seed)
    return [
        f"{row},2019-11-24 0{row % 10}:03:13.442536+00:00,{rng.integers(ITEMS)},"
        f"{rng.integers(1, 4)},{rng.integers(2)},{rng.uniform(0.01, 1):.6f},abc"
        for row in range(ROWS)
    ]


@pytest.fixture
def items(tmp_path):
    path = tmp_path / "item_context.csv"
    path.write_text("\n".join([",item_id,item_feature_0", *(f"{i},{i},0.5" for i in range(ITEMS))]))
    return path


def written(folder, rows, name="men.csv", heading=HEADING):
    path = folder / name
    content = "\n".join([heading, *rows]).encode()
    path.write_bytes(COMPRESS[name.removeprefix("men")](content))
    return path


@pytest.mark.parametrize("ending", COMPRESS)
def test_what_stands_in_the_file_is_what_comes(tmp_path, items, ending):
    found = open_bandit.read(written(tmp_path, lines(), f"men{ending}"), items)
    cells = [line.split(",") for line in lines()]
    assert found.n == ROWS
    assert found.n_items == ITEMS
    assert found.item.tolist() == [int(cell[2]) for cell in cells]
    assert found.position.tolist() == [int(cell[3]) for cell in cells]
    assert found.click.tolist() == [int(cell[4]) for cell in cells]
    assert found.propensity.tolist() == [float(cell[5]) for cell in cells]
    assert str(found.time[3]) == "2019-11-24T03:03:13.442536"


def test_impressions_count_items_from_one_and_know_what_was_uniform(tmp_path, items):
    rows = lines()
    rows[5] = f"5,2019-11-24 00:03:13+00:00,4,2,1,{1 / ITEMS!r},abc"
    frame = open_bandit.read(written(tmp_path, rows), items).impressions()
    assert frame["item"].min() >= 1
    assert frame["item"].max() <= ITEMS
    assert frame.loc[5, ["item", "position", "reward"]].tolist() == [5, 2, 1.0]
    assert not frame["randomised"].any()  # a single 1/A is an accident
    uniform = open_bandit.read(written(tmp_path, [rows[5]] * 3), items).impressions()
    assert uniform["randomised"].all()
    assert frame["person"].is_unique


def test_some_rows(tmp_path, items):
    found = open_bandit.read(written(tmp_path, lines()), items)
    left = found.where(found.position == 1)
    assert left.n == (found.position == 1).sum() < found.n
    assert left.n_items == ITEMS
    assert (left.position == 1).all()
    assert found.uniform().sum(axis=1).tolist() == pytest.approx([1, 1, 1])


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (1, "yesterday", "timestamp must be a time; row 11 has 'yesterday'"),
        (2, str(ITEMS), "item_id must be an item of the campaign, 0 to 6; row 11 has '7'"),
        (2, "2.5", "item_id must be an item"),
        (3, "0", r"position must be one of \(1, 2, 3\); row 11 has '0'"),
        (4, "2", "click must be 0 or 1; row 11 has '2'"),
        (4, "", "click must be 0 or 1; row 11 has ''"),
        (5, "0", r"propensity_score must be in \(0, 1\]; row 11 has '0'"),
        (5, "1.01", r"propensity_score must be in \(0, 1\]"),
        (5, "nan", r"propensity_score must be in \(0, 1\]"),
    ],
)
def test_a_value_that_cannot_be_is_named_with_its_row(tmp_path, items, place, value, message):
    rows = lines()
    cells = rows[11].split(",")
    cells[place] = value
    rows[11] = ",".join(cells)
    with pytest.raises(ValueError, match=message):
        open_bandit.read(written(tmp_path, rows), items)


def test_files_that_are_none(tmp_path, items):
    with pytest.raises(DataNotFound, match=r"men\.csv does not exist"):
        open_bandit.read(tmp_path / "men.csv", items)
    with pytest.raises(ValueError, match="has a heading and no row"):
        open_bandit.read(written(tmp_path, []), items)
    heading = HEADING.replace("propensity_score", "p")
    with pytest.raises(ValueError, match=r"propensity_score"):
        open_bandit.read(written(tmp_path, lines(), heading=heading), items)
    (tmp_path / "men.csv").write_text("")
    with pytest.raises(ValueError, match=r"men\.csv is empty"):
        open_bandit.read(tmp_path / "men.csv", items)
    whole = written(tmp_path, lines(), "men.csv.xz").read_bytes()
    (tmp_path / "men.csv.xz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="damaged or cut short"):
        open_bandit.read(tmp_path / "men.csv.xz", items)


def test_items_out_of_order_are_refused(tmp_path, items):
    items.write_text("item_id\n0\n2\n1\n")
    with pytest.raises(ValueError, match=r"item_id must be 0, 1, 2, \.\.\. in order; row 1"):
        open_bandit.read(written(tmp_path, lines()), items)


def test_where_the_log_is_looked_for(tmp_path, items, monkeypatch):
    home = tmp_path / "open_bandit" / "bts" / "men"
    home.mkdir(parents=True)
    monkeypatch.setenv("RECFLAX_DATA_DIR", str(tmp_path))
    written(home, lines())
    assert not open_bandit.available("bts", "men")  # the list of items is missing
    with pytest.raises(DataNotFound, match=r"bts/men is not here.*RECFLAX_DATA_DIR"):
        open_bandit.load("bts", "men")
    items.rename(home / "item_context.csv")
    assert open_bandit.available("bts", "men")
    assert open_bandit.load("bts", "men").n == ROWS
    assert not open_bandit.available("random", "men")


@pytest.mark.parametrize(("policy", "campaign"), [("greedy", "men"), ("bts", "children")])
def test_names_that_are_none(policy, campaign):
    for door in (open_bandit.available, open_bandit.load):
        with pytest.raises(ValueError, match=r"must be one of .*, but is"):
            door(policy, campaign)
