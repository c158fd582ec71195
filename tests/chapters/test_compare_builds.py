"""Two builds that say the same are the same, whatever the clock said; one digit is a difference."""

from pathlib import Path

import compare_builds
import pytest

PAGE = """<html><body><nav>{nav}</nav><article>
<p>When this page was built, its cells ran in {seconds} s with at most 0.6 GB of memory.</p>
<div class="recflax-cost">{seconds} s of processor time</div>
<table><thead><tr><th>10,000 products, here and now</th></tr></thead>
<tbody><tr><td>{seconds}</td></tr></tbody></table>
<table><thead><tr><th></th><th>effect</th><th>fit (s)</th></tr></thead>
<tbody><tr><th>one</th><td>{effect}</td><td>{seconds}</td></tr></tbody></table>
<pre>320 steps in {seconds} s
peak memory so far: {seconds} MB</pre>
<div class="recflax-claim">Slower: ratio of median times. <b>{seconds}</b></div>
<table><thead><tr><th>sentence</th><th>number</th></tr></thead>
<tbody><tr><td>Slower: ratio of median times.</td><td>{seconds}</td></tr></tbody></table>
</article></body></html>"""


def build(folder: Path, **words: str) -> Path:
    folder.mkdir()
    (folder / "chapter.html").write_text(PAGE.format(**words))
    return folder


@pytest.fixture
def one(tmp_path) -> Path:
    return build(tmp_path / "one", nav="a", seconds="12", effect=".141")


def test_the_clock_does_not_count(one, tmp_path) -> None:
    other = build(tmp_path / "other", nav="b", seconds="15", effect=".141")
    assert list(compare_builds.differences(one, other)) == []


def test_a_digit_counts_and_so_does_a_page(one, tmp_path) -> None:
    other = build(tmp_path / "other", nav="a", seconds="12", effect=".142")
    (other / "more.html").write_text("<article>more</article>")
    assert list(compare_builds.differences(one, other)) == [
        f"more.html: only in {other}",
        "chapter.html: -.141",
        "chapter.html: +.142",
    ]
