"""Sliders: what is drawn and said at each stop is what the chapter's run computed."""

import json
import re
from itertools import product
from typing import Any

import pytest
from conftest import SITE, offline_context, opened
from playwright.sync_api import Browser, Locator, Page, expect

NAMES = {
    "clip": "book/03b_what_makes_it_causal.html",
    "softmax": "book/04_mathematics.html",
    "power": "book/09_faq.html",
}
every_page = pytest.mark.parametrize("key", NAMES)
DATA = re.compile(r'<script type="application/json" class="live-slider-data">(.*?)</script>', re.S)
DRAWN = """(places) => {
  const number = (element, name) => Number(element.getAttribute(name));
  // a height in pixels of the inside, as a value between the ends of the axis
  const value = (inside, y, [low, high]) => {
    const down = Number(inside.getAttribute("viewBox").split(" ")[3]) - 8;
    return low + (high - low) * (1 - y / down);
  };
  return [...document.querySelectorAll(".live-slider .live-chart")].map((chart, at) => {
    const inside = chart.querySelector(".chart-inside");
    const { kind, range } = places[at];
    const heights = (shapes, name) =>
      [...inside.querySelectorAll(shapes)].map((one) => value(inside, number(one, name), range));
    if (kind === "bars") return heights("rect", "y");
    const dots = heights("circle", "cy");
    const ends = [...inside.querySelectorAll(".chart-line")].map((line) => {
      const [, y] = line.getAttribute("d").split(/[ML]/).at(-1).split(" ");
      return value(inside, Number(y), range);
    });
    return [...dots, ...ends];
  });
}"""


def stated(key: str) -> dict[str, Any]:
    """The numbers in the built page."""
    (text,) = DATA.findall((SITE / NAMES[key]).read_text(encoding="utf-8"))
    return json.loads(text)


def ranges(page: Page) -> Locator:
    return page.locator(".live-slider input[type=range]")


def move(page: Page, stops: tuple[int, ...]) -> None:
    """Put each control at its stop, as a hand would, and wait until it is drawn."""
    page.evaluate(
        """(stops) => {
          document.querySelectorAll(".live-slider input[type=range]").forEach((range, number) => {
            range.value = stops[number];
            range.dispatchEvent(new Event("input", { bubbles: true }));
          });
          return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        }""",
        list(stops),
    )


def frame(data: dict[str, Any], part: dict[str, Any], stops: tuple[int, ...]) -> Any:
    """What the data state for these stops."""
    at = 0
    for number in part["by"]:
        at = at * len(data["controls"][number]["stops"]) + stops[number]
    return part["frames"][at]


def expected(data: dict[str, Any], stops: tuple[int, ...]) -> list[list[float]]:
    """Heights of bars; of lines where the rule stands, and at their right end."""
    found = []
    for panel in data["panels"]:
        values = frame(data, panel, stops)
        if panel["kind"] == "lines":
            mark = panel["mark"]
            place = panel["at"].index(mark["at"][stops[mark["by"]]])
            values = [line[place] for line in values] + [line[-1] for line in values]
        found.append(values)
    return found


def furthest(page: Page, data: dict[str, Any]) -> float:
    """The largest distance of what is drawn from what is stated, as a share of the axis."""
    most = 0.0
    for stops in product(*(range(len(control["stops"])) for control in data["controls"])):
        move(page, stops)
        said = " ".join(frame(data, sentence, stops) for sentence in data["sentences"])
        assert page.locator(".live-slider [role=status]").text_content() == said
        drawn = page.evaluate(DRAWN, data["panels"])
        wanted = expected(data, stops)
        for panel, ours, theirs in zip(data["panels"], drawn, wanted, strict=True):
            low, high = panel["range"]
            assert len(ours) == len(theirs)
            apart = [abs(one - two) for one, two in zip(ours, theirs, strict=True)]
            most = max(most, max(apart) / (high - low))
    return most


@every_page
def test_every_stop_draws_and_says_what_was_computed(
    browser: Browser, server: str, key: str
) -> None:
    with opened(browser, f"{server}/{NAMES[key]}") as page:
        assert furthest(page, stated(key)) < 1e-3  # lines are drawn to a tenth of a pixel


@every_page
def test_a_wrong_number_is_noticed(browser: Browser, server: str, key: str) -> None:
    data = stated(key)
    panel = data["panels"][0]
    low, high = panel["range"]
    wrong = panel["frames"][-1] if panel["kind"] == "bars" else panel["frames"][-1][0]
    wrong[-1] = (low + high) / 2 if abs(wrong[-1] - (low + high) / 2) > 0.1 * (high - low) else high
    planted = (
        f'<script type="application/json" class="live-slider-data">{json.dumps(data)}</script>'
    )
    change = lambda text: DATA.sub(lambda _: planted, text)  # noqa: E731
    with opened(browser, f"{server}/{NAMES[key]}", change=change) as page:
        assert furthest(page, stated(key)) > 0.05


@every_page
@pytest.mark.parametrize("over", ["http", "file"])
def test_the_keyboard_moves_picture_and_sentence(
    browser: Browser, server: str, key: str, over: str
) -> None:
    base = server if over == "http" else SITE.resolve().as_uri()
    with opened(browser, f"{base}/{NAMES[key]}") as page:
        data = stated(key)
        status = page.locator(".live-slider [role=status]")
        for number, control in enumerate(data["controls"]):
            one = page.get_by_role("slider", name=control["name"], exact=True)
            expect(one).to_have_attribute("aria-valuetext", control["stops"][control["start"]])
            said, drawn = status.text_content(), page.locator(".live-slider").inner_html()
            one.focus()
            page.keyboard.press("ArrowRight" if control["start"] == 0 else "ArrowLeft")
            step = 1 if control["start"] == 0 else -1
            text = control["stops"][control["start"] + step]
            expect(one).to_have_attribute("aria-valuetext", text)
            expect(page.locator(".live-slider output").nth(number)).to_have_text(text)
            expect(status).not_to_have_text(said or "")
            assert page.locator(".live-slider").inner_html() != drawn
            page.keyboard.press("End")
            expect(one).to_have_attribute("aria-valuetext", control["stops"][-1])


@every_page
@pytest.mark.parametrize("over", ["http", "file"])
def test_without_a_script_a_picture_stands_there(
    browser: Browser, server: str, key: str, over: str
) -> None:
    base = server if over == "http" else SITE.resolve().as_uri()
    still = ".tag_slider-still :is(img, svg)"
    with offline_context(browser, [], java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"{base}/{NAMES[key]}")
        expect(page.locator(still).first).to_be_visible()
        assert page.locator(".live-slider").inner_html() == ""
        expect(page.locator(".live-slider")).to_be_hidden()
        expect(page.get_by_text(stated(key)["invite"])).to_have_count(0)
    with opened(browser, f"{base}/{NAMES[key]}") as page:
        expect(page.locator(still).first).to_be_hidden()
        expect(page.get_by_text(stated(key)["invite"])).to_be_visible()


@every_page
def test_on_a_phone_nothing_is_wider_than_the_page(browser: Browser, server: str, key: str) -> None:
    with opened(browser, f"{server}/{NAMES[key]}") as page:
        for width in (1280, 390, 320):
            page.set_viewport_size({"width": width, "height": 800})
            expect(page.locator(".live-slider .live-chart").first).to_be_visible()
            page.wait_for_function(
                """() => [...document.querySelectorAll(".live-slider .live-chart")].every((chart) =>
                  chart.querySelector(":scope > svg").getAttribute("width") == chart.clientWidth)"""
            )
            over = page.evaluate(
                """() => {
                  const [box] = document.querySelectorAll(".live-slider");
                  const edge = box.getBoundingClientRect();
                  return [...box.querySelectorAll(".live-chart text, input, p, output")]
                    .map((part) => part.getBoundingClientRect())
                    .filter((part) => part.left < edge.left - 1 || part.right > edge.right + 1)
                    .length;
                }"""
            )
            assert over == 0
            text = page.locator(".live-slider .live-chart text").first
            size = text.evaluate("(one) => one.getBoundingClientRect().height")
            assert size > 11  # a phone's ticks are as large as a desk's
