"""The store, live: what it says is what JAX says, and it stands whatever a reader does to it."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, SITE, offline_context, opened
from playwright.sync_api import Browser, Page, expect

NAME = "book/playground.html"
PYTHON = os.environ.get("RECFLAX_PYTHON", str(ROOT / ".venv" / "bin" / "python"))
APART = """(cases) => {
  const store = window.recflaxStore;
  const apart = { scores: 0, attention: 0, truth: 0, effect: 0 };
  const hold = (what, ours, theirs) => {
    if (ours.length !== theirs.length) throw new Error(`${what}: ${ours.length} numbers`);
    theirs.forEach((value, at) => {
      const difference = Math.abs(ours[at] - value);
      if (!(difference <= apart[what])) apart[what] = difference;
    });
  };
  for (const one of cases) {
    for (const part of ["log", "causal"]) {
      const said = store.say(part, one.history, one.confounded);
      const { scores, cross, self } = one.networks[part];
      scores.forEach((arm, a) => hold("scores", said.scores[a], arm));
      cross.forEach((head, h) => hold("attention", said.cross[h].at, head.flat()));
      self.forEach((head, h) => hold("attention", said.self[h].at, head.flat()));
    }
    const truth = store.truths(one.taste, one.history);
    hold("truth", truth.shown, one.shown);
    hold("truth", truth.not, one.not);
    const effect = store.explain(one.history, one.taste, one.item, one.confounded);
    hold("effect", effect.map((event) => event.person), one.effect);
  }
  return apart;
}"""


@pytest.fixture
def page(browser: Browser, server: str) -> Iterator[Page]:
    """The page, open; a fault on it fails the test."""
    with opened(browser, f"{server}/{NAME}") as page:
        expect(page.locator(".live-card").first).to_be_visible()
        yield page


def history(page: Page) -> list[str]:
    return page.locator(".live-history .live-name").all_text_contents()


def shelf(page: Page, number: int) -> list[str]:
    return page.locator(".live-shelf").nth(number).locator("strong").all_text_contents()


def test_scores_attention_and_truth_are_those_of_jax(page: Page) -> None:
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [PYTHON, str(Path(__file__).parent / "expected.py"), str(SITE / NAME)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    cases = json.loads(done.stdout)
    assert len(cases) == 200
    apart = page.evaluate(APART, cases)
    assert set(apart) == {"scores", "attention", "truth", "effect"}
    assert max(apart.values()) < 1e-5, apart
    cases[7]["shown"][3] += 1e-3  # and a wrong answer would be seen
    assert page.evaluate(APART, cases)["truth"] > 9e-4


def test_the_history_is_made_by_clicks_and_undone(page: Page) -> None:
    start = history(page)
    page.get_by_label("Search the 120 products").fill("teal lamp")
    page.get_by_role("button", name="look at teal").first.click()
    assert len(history(page)) == len(start) + 1
    assert "lamp" in history(page)[-1]
    bought = page.locator(".live-bought").last
    expect(bought).to_have_attribute("aria-pressed", "false")
    bought.click()
    expect(page.locator(".live-bought").last).to_have_attribute("aria-pressed", "true")
    for _ in range(2):
        page.get_by_role("button", name="Undo").click()
    assert history(page) == start
    page.get_by_role("button", name="Turn the order round").click()
    assert history(page) == start[::-1]


def test_truth_does_not_follow_the_switch_and_the_log_does(page: Page) -> None:
    before = [shelf(page, number) for number in range(3)]
    page.get_by_label("the campaign is shown").uncheck()
    after = [shelf(page, number) for number in range(3)]
    assert before[2] == after[2]
    scores = page.evaluate(
        "[true, false].map((on) => recflaxStore.say('log', recflaxStore.people[0].history, on)"
        ".scores[0][0])"
    )
    assert scores[0] != scores[1]


def test_a_ready_made_person_brings_her_history_and_a_newcomer_none(page: Page) -> None:
    choice = page.get_by_label("You are")
    labels = choice.locator("option").all_text_contents()
    assert len(labels) == 5
    page.get_by_role("button", name="Turn the order round").click()
    choice.select_option(label=labels[1])
    assert history(page)
    # what somebody else did cannot be undone into her history
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()
    choice.select_option(label=labels[-1])
    assert history(page) == []
    expect(page.get_by_text("Nothing yet")).to_be_visible()
    expect(page.locator(".live-card")).to_have_count(9)


def test_everything_can_be_done_from_the_keyboard(page: Page) -> None:
    page.get_by_label("Search the 120 products").focus()
    page.keyboard.type("mug")
    page.keyboard.press("Tab")  # the first product's "look"
    start = len(history(page))
    page.keyboard.press("Enter")
    assert len(history(page)) == start + 1
    focused = page.evaluate("document.activeElement.dataset.key")
    assert focused.startswith("view-")  # and the focus is still there
    page.keyboard.press("Enter")
    assert len(history(page)) == start + 2
    card = page.locator(".live-card").first
    card.focus()
    page.keyboard.press("Space")
    expect(page.locator(".live-card").first).to_have_attribute("aria-pressed", "true")


def test_one_product_many_times_and_more_events_than_a_history_holds(page: Page) -> None:
    page.get_by_role("button", name="Forget all").click()
    page.get_by_label("Search the 120 products").fill("mug")
    look = page.locator(".live-found button").first
    for _ in range(20):
        look.click()
    assert len(history(page)) == 16
    assert len(set(history(page))) == 1
    numbers = page.evaluate(
        "recflaxStore.ranking('causal', Array(200).fill({item: 7, bought: true}),"
        " recflaxStore.people[0].taste, true)"
    )
    assert len(numbers) == 120
    assert all(number == number and abs(number) <= 1 for number in numbers)


@pytest.mark.alone
def test_a_click_answers_within_fifty_milliseconds(page: Page) -> None:
    """The median of twenty, each until everything is drawn."""
    page.get_by_label("You are").select_option(index=0)
    took = page.evaluate(
        """() => {
          const took = [];
          for (let i = 0; i < 21; i++) {
            const start = performance.now();
            document.querySelector('[data-key="turn"]').click();
            document.body.offsetHeight;
            took.push(performance.now() - start);
          }
          return took.sort((a, b) => a - b)[10];
        }"""
    )
    print(f"a click: {took:.1f} ms")
    assert took < 50


@pytest.mark.parametrize("over", ["http", "file"])
def test_without_a_script_a_picture_stands_there(browser: Browser, server: str, over: str) -> None:
    base = server if over == "http" else SITE.resolve().as_uri()
    with offline_context(browser, [], java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"{base}/{NAME}")
        expect(page.locator(".tag_live-still img, .tag_live-still svg").first).to_be_visible()
        expect(page.get_by_text("Without a script this page stands still")).to_be_visible()
    with offline_context(browser, []) as context:
        page = context.new_page()
        page.goto(f"{base}/{NAME}")
        expect(page.locator(".live-card").first).to_be_visible()
        expect(page.locator(".tag_live-still").first).to_be_hidden()


def test_other_pages_do_not_load_the_store(browser: Browser, server: str) -> None:
    loaded: list[str] = []
    with offline_context(browser, []) as context:
        page = context.new_page()
        page.on("request", lambda request: loaded.append(request.url))
        page.goto(f"{server}/book/intro.html")
    assert loaded
    assert not any("live/" in address for address in loaded)


def test_nothing_moves_when_no_motion_is_wanted(browser: Browser, server: str) -> None:
    with opened(browser, f"{server}/{NAME}", reduced_motion="reduce") as page:
        for name in ("Turn the order round", "Forget all", "Undo"):
            page.get_by_role("button", name=name).click()
            assert page.evaluate("document.getAnimations().length") == 0
