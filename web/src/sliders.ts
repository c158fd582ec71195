/**
 * Sliders over numbers that the chapter's own run has computed: every stop is a frame that stands in
 * the page as JSON (`recflax/plots/sliders.py` writes it). What is drawn and said is all in the data.
 */

import { BarChart, LineChart, type Line } from "./chart";
import { make } from "./dom";

interface Control {
  name: string;
  stops: string[];
  start: number;
}

/** Something for each combination of the stops of some controls; the last of them moves fastest. */
interface Frames<T> {
  by: number[];
  frames: T[];
}

interface Panel {
  label: string;
  x: string;
  y: string;
  names: string[];
  range: [number, number];
}

interface Bars extends Panel, Frames<number[]> {
  kind: "bars";
}

interface Lines extends Panel, Frames<number[][]> {
  kind: "lines";
  at: number[];
  logX: boolean;
  mark: { by: number; at: number[] } | null;
}

interface Data {
  key: string;
  invite: string;
  controls: Control[];
  panels: (Bars | Lines)[];
  sentences: Frames<string>[];
}

const BARS = 190; // pixels: two panels of bars, one below the other, fit on a screen

class Slider {
  private readonly stops: number[];
  private readonly draws: (() => void)[];
  private readonly said = make("p", { class: "live-said", role: "status" });
  private waiting = 0;

  constructor(
    root: HTMLElement,
    private readonly data: Data,
  ) {
    this.stops = data.controls.map((control) => control.start);
    const inputs = data.controls.map((control, number) => this.input(control, number));
    const panels = data.panels.map((panel) => (panel.kind === "bars" ? this.bars(panel) : this.lines(panel)));
    this.draws = panels.map((panel) => panel.draw);
    root.replaceChildren(
      make("p", { class: "live-note" }, data.invite),
      make("div", { class: "slider-controls" }, ...inputs),
      make("div", { class: "slider-panels" }, ...panels.map((panel) => panel.element)),
      this.said,
    );
    this.show();
  }

  private input(control: Control, number: number): HTMLElement {
    const id = `slider-${this.data.key}-${number}`;
    const stop = make("output", { for: id, "aria-hidden": "true" }, control.stops[control.start]);
    const range = make("input", {
      type: "range",
      id,
      min: 0,
      max: control.stops.length - 1,
      step: 1,
      value: control.start,
      autocomplete: "off",
      "aria-valuetext": control.stops[control.start],
      input: () => {
        this.stops[number] = range.valueAsNumber;
        const text = control.stops[range.valueAsNumber];
        stop.textContent = text;
        range.setAttribute("aria-valuetext", text);
        this.later();
      },
    });
    return make("div", { class: "slider-control" }, make("label", { for: id }, control.name), stop, range);
  }

  /** At most one drawing for each of the screen's. */
  private later(): void {
    this.waiting ||= requestAnimationFrame(() => {
      this.waiting = 0;
      this.show();
    });
  }

  private show(): void {
    for (const draw of this.draws) draw();
    this.said.textContent = this.data.sentences.map((sentence) => this.frame(sentence)).join(" ");
  }

  private frame<T>({ by, frames }: Frames<T>): T {
    return frames[by.reduce((at, number) => at * this.data.controls[number].stops.length + this.stops[number], 0)];
  }

  private bars(panel: Bars): { element: HTMLElement; draw: () => void } {
    const { label, x, y, names, range } = panel;
    const chart = new BarChart({ label, x, y, names, domain: { y: range }, height: BARS });
    return { element: chart.element, draw: () => chart.draw(this.frame(panel)) };
  }

  private lines(panel: Lines): { element: HTMLElement; draw: () => void } {
    const { label, x, y, names, range, at, logX, mark } = panel;
    const ends: [number, number] = [at[0], at[at.length - 1]];
    const chart = new LineChart({ label, x, y, logX, domain: { x: ends, y: range } });
    const draw = (): void => {
      const lines = this.frame(panel).map(
        (values, number): Line => ({
          name: names[number],
          points: values.map((value, place) => [at[place], value] as const),
          style: number as Line["style"],
        }),
      );
      chart.draw(lines, mark ? { x: mark.at[this.stops[mark.by]] } : undefined);
    };
    return { element: chart.element, draw };
  }
}

/** Fill each place; the still pictures go only once all of them stand. */
function start(): void {
  for (const root of document.querySelectorAll<HTMLElement>(".live-slider")) {
    const text = root.nextElementSibling?.textContent;
    if (!text) return;
    new Slider(root, JSON.parse(text) as Data);
  }
  document.documentElement.classList.add("live-sliders-run");
}

if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
else start();
