/**
 * Two small charts in SVG: lines over an axis, and bars. They take the width that they are given, so
 * that their text keeps its size on a phone; colours and dashes are the book's (`book.css`).
 */

import { make } from "./dom";

export interface Line {
  name: string;
  points: readonly (readonly [number, number])[];
  style: 0 | 1 | 2 | 3 | 4;
  /** x, low, high */
  band?: readonly (readonly [number, number, number])[];
}

export interface Axes {
  /** The accessible name. */
  label: string;
  /** Titles of the axes, with units. */
  x: string;
  y: string;
  domain?: { x?: [number, number]; y?: [number, number] };
  logX?: boolean;
  height?: number;
}

type Range = readonly [number, number];
type Shape = "svg" | "g" | "path" | "line" | "rect" | "text" | "circle";

const NAMESPACE = "http://www.w3.org/2000/svg";
const DIGIT = 7.6; // pixels of a digit in the ticks' size, on the safe side
const EDGE = { top: 10, right: 24, bottom: 24 };
const OVER = 4; // a line on the frame keeps its other half
const FALLBACK = 640; // pixels, until the chart stands in a page

function shape<K extends Shape>(name: K, attributes: Record<string, string | number> = {}): SVGElementTagNameMap[K] {
  const element = document.createElementNS(NAMESPACE, name);
  set(element, attributes);
  return element;
}

function set(element: SVGElement, attributes: Record<string, string | number>): void {
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
}

/** As many children of one kind as there are things to draw; what is there is kept. */
function fit<K extends Shape>(parent: SVGElement, name: K, count: number): SVGElementTagNameMap[K][] {
  while (parent.childElementCount > count) parent.lastElementChild?.remove();
  while (parent.childElementCount < count) parent.append(shape(name));
  return [...parent.children] as unknown as SVGElementTagNameMap[K][];
}

const plain = new Intl.NumberFormat("en-GB", { maximumSignificantDigits: 6 });

/** A tick's number: 0.05, 1,000, 2M. */
export const tickText = (value: number): string =>
  (Math.abs(value) < 1e6 ? plain.format(value) : `${plain.format(value / 1e6)}M`).replace("-", "−");

/** Round numbers, about `count` of them, that lie within a range. */
export function ticks([low, high]: Range, count: number): number[] {
  if (!(high > low)) return [low];
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((factor) => factor * power >= rough * 0.999) ?? 10);
  const found: number[] = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at++) {
    found.push(Number((at * step).toPrecision(12)));
  }
  return found;
}

/** 1, 2 and 5 times powers of ten within a range; fewer where these would be too many. */
export function logTicks([low, high]: Range, count: number): number[] {
  const found = (factors: readonly number[], every: number): number[] => {
    const all: number[] = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
      if (power % every) continue;
      all.push(...factors.map((factor) => Number((factor * 10 ** power).toPrecision(12))));
    }
    return all.filter((value) => value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9));
  };
  const choices = [found([1, 2, 5], 1), found([1, 3], 1), found([1], 1), found([1], 2)];
  return choices.find((some) => some.length <= count) ?? found([1], 3);
}

const span = (values: number[]): Range => {
  const finite = values.filter(Number.isFinite);
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  if (!finite.length) return [0, 1];
  return low < high ? [low, high] : [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
};

/** What both charts have: titles, a frame with ticks, and a width that follows the page's. */
abstract class Chart {
  readonly element: HTMLElement;
  protected readonly picture: SVGSVGElement;
  /** Where the values are drawn: what lies outside of the axes is cut off. */
  protected readonly inside = shape("svg", { class: "chart-inside" });
  protected readonly over = shape("g");
  private readonly grid = shape("g", { class: "chart-grid", "aria-hidden": "true" });
  private readonly texts = shape("g", { class: "chart-ticks", "aria-hidden": "true" });
  private width = FALLBACK;
  private framed = "";
  protected left = 0;
  protected readonly height: number;

  protected constructor(protected readonly axes: Axes) {
    this.height = axes.height ?? 240;
    this.picture = shape("svg", { role: "img", "aria-label": axes.label });
    this.picture.append(this.grid, this.texts, this.inside, this.over);
    this.element = make(
      "div",
      { class: "live-chart" },
      make("p", { class: "chart-y" }, axes.y),
      this.picture as unknown as HTMLElement,
      make("p", { class: "chart-x" }, axes.x),
    );
    new ResizeObserver(() => {
      const width = Math.round(this.element.clientWidth);
      if (!width || width === this.width) return;
      this.width = width;
      this.framed = "";
      this.again();
    }).observe(this.element);
  }

  /** Draw what was drawn last, at the width of now. */
  protected abstract again(): void;

  protected get across(): number {
    return Math.max(40, this.width - this.left - EDGE.right);
  }

  protected get down(): number {
    return this.height - EDGE.top - EDGE.bottom;
  }

  /** Pixels from the top of the inside, of a value on the y axis. */
  protected toY(value: number, [low, high]: Range): number {
    return this.down * (1 - (value - low) / (high - low));
  }

  /** The frame, only where it is another one than the last. */
  protected frame(y: Range, columns: () => { at: number; text: string }[]): void {
    const rows = ticks(y, Math.max(2, Math.floor(this.down / 40)));
    const texts = rows.map(tickText);
    const left = 8 + DIGIT * Math.max(...texts.map((text) => text.length));
    this.left = left;
    const names = columns();
    const key = JSON.stringify([this.width, y, names]);
    if (key === this.framed) return;
    this.framed = key;
    set(this.picture, { viewBox: `0 0 ${this.width} ${this.height}`, width: this.width, height: this.height });
    set(this.inside, {
      x: left - OVER,
      y: EDGE.top - OVER,
      width: this.across + 2 * OVER,
      height: this.down + 2 * OVER,
      viewBox: `${-OVER} ${-OVER} ${this.across + 2 * OVER} ${this.down + 2 * OVER}`,
    });
    set(this.over, { transform: `translate(${left} ${EDGE.top})` });
    const lines = fit(this.grid, "line", rows.length + 1);
    const floor = EDGE.top + this.down;
    rows.forEach((value, row) => {
      const at = EDGE.top + this.toY(value, y);
      set(lines[row], { x1: left, x2: left + this.across, y1: at, y2: at, class: value === 0 ? "chart-zero" : "" });
    });
    set(lines[rows.length], { x1: left, x2: left + this.across, y1: floor, y2: floor, class: "chart-floor" });
    const labels = fit(this.texts, "text", rows.length + names.length);
    rows.forEach((value, row) => {
      labels[row].textContent = texts[row];
      set(labels[row], { x: left - 6, y: EDGE.top + this.toY(value, y), dy: "0.32em", "text-anchor": "end" });
    });
    names.forEach(({ at, text }, column) => {
      const label = labels[rows.length + column];
      label.textContent = text;
      set(label, { x: left + at, y: floor + 17, dy: 0, "text-anchor": "middle" });
    });
  }
}

/** Lines over a linear or logarithmic axis, with a legend where there is more than one. */
export class LineChart extends Chart {
  private readonly bands = shape("g");
  private readonly paths = shape("g");
  private readonly dots = shape("g");
  private readonly rule = shape("line", { class: "chart-rule" });
  private readonly legend = make("ul", { class: "chart-legend", "aria-hidden": "true" });
  private named = "";
  private last: [readonly Line[], { x: number } | undefined] = [[], undefined];

  constructor(axes: Axes) {
    super(axes);
    this.inside.append(this.bands, this.rule, this.paths, this.dots);
    this.element.prepend(this.legend);
  }

  /** Draw the lines, and a vertical rule at `mark.x` with a dot on each line that has a point there. */
  draw(lines: readonly Line[], mark?: { x: number }): void {
    this.last = [lines, mark];
    const shown = lines.filter((line) => line.points.length);
    const x = this.axes.domain?.x ?? span(shown.flatMap((line) => line.points.map((point) => point[0])));
    const y = this.axes.domain?.y ?? this.roomy(shown);
    this.frame(y, () => this.columns(x));
    const toX = this.scale(x);
    const at = (px: number, py: number): string => `${toX(px).toFixed(1)} ${this.toY(py, y).toFixed(1)}`;
    const paths = fit(this.paths, "path", shown.length);
    const bands = fit(this.bands, "path", shown.length);
    shown.forEach((line, number) => {
      let joined = false;
      let d = "";
      for (const [px, py] of line.points) {
        const there = Number.isFinite(toX(px)) && Number.isFinite(py);
        if (there) d += `${joined ? "L" : "M"}${at(px, py)}`;
        joined = there;
      }
      set(paths[number], { d, class: `chart-line chart-style-${line.style}` });
      const band = line.band ?? [];
      const edge = [...band.map(([px, low]) => at(px, low)), ...band.toReversed().map(([px, , high]) => at(px, high))];
      set(bands[number], { d: edge.length ? `M${edge.join("L")}Z` : "", class: `chart-band chart-style-${line.style}` });
    });
    this.drawMark(shown, mark, toX, y);
    this.name(lines);
  }

  protected again(): void {
    this.draw(...this.last);
  }

  private drawMark(lines: readonly Line[], mark: { x: number } | undefined, toX: (x: number) => number, y: Range): void {
    const on = mark
      ? lines.flatMap((line) => line.points.filter((point) => point[0] === mark.x).map((point) => ({ line, value: point[1] })))
      : [];
    const x = mark ? toX(mark.x) : 0;
    set(this.rule, { x1: x, x2: x, y1: 0, y2: this.down, visibility: mark ? "visible" : "hidden" });
    const dots = fit(this.dots, "circle", on.length);
    on.forEach(({ line, value }, number) =>
      set(dots[number], { cx: x, cy: this.toY(value, y), r: 4.5, class: `chart-dot chart-style-${line.style}` }),
    );
  }

  private scale([low, high]: Range): (x: number) => number {
    if (!this.axes.logX) return (x) => (this.across * (x - low)) / (high - low);
    return (x) => (this.across * Math.log(x / low)) / Math.log(high / low);
  }

  private columns(x: Range): { at: number; text: string }[] {
    const toX = this.scale(x);
    const count = Math.max(2, Math.floor(this.across / 64));
    const found = this.axes.logX ? logTicks(x, count) : ticks(x, count);
    return found.map((value) => ({ at: toX(value), text: tickText(value) }));
  }

  /** The values' range, out to the next ticks. */
  private roomy(lines: readonly Line[]): Range {
    const [low, high] = span(
      lines.flatMap((line) => [
        ...line.points.map((point) => point[1]),
        ...(line.band ?? []).flatMap(([, from, to]) => [from, to]),
      ]),
    );
    const found = ticks([low, high], 5);
    const step = found.length > 1 ? found[1] - found[0] : high - low;
    return [Math.floor(low / step + 1e-9) * step, Math.ceil(high / step - 1e-9) * step];
  }

  private name(lines: readonly Line[]): void {
    const key = JSON.stringify(lines.map((line) => [line.name, line.style]));
    if (key === this.named) return;
    this.named = key;
    this.legend.hidden = lines.length < 2;
    this.legend.replaceChildren(
      ...lines.map((line) => {
        const sample = shape("svg", { width: 34, height: 10, viewBox: "0 0 34 10" });
        sample.append(shape("path", { d: "M1 5H33", class: `chart-line chart-style-${line.style}` }));
        return make("li", {}, sample, ` ${line.name}`);
      }),
    );
  }
}

/** A bar for each name, from zero. */
export class BarChart extends Chart {
  private readonly bars = shape("g");
  private readonly values = shape("g", { class: "chart-values", "aria-hidden": "true" });
  private readonly names: readonly string[];
  private last: [readonly number[], readonly string[] | undefined];

  constructor(axes: Axes & { names: readonly string[] }) {
    super(axes);
    this.names = axes.names;
    this.last = [axes.names.map(() => 0), undefined];
    this.inside.append(this.bars);
    this.over.append(this.values);
  }

  /** Draw the values, and above each bar its text where one is given. */
  draw(values: readonly number[], texts?: readonly string[]): void {
    this.last = [values, texts];
    const y = this.axes.domain?.y ?? span([0, ...values]);
    const step = (): number => this.across / this.names.length;
    this.frame(y, () => {
      // as many names as there is room for
      const room = DIGIT * Math.max(...this.names.map((text) => text.length)) + 5;
      const every = Math.ceil(room / step());
      const columns = this.names.map((text, place) => ({ at: (place + 0.5) * step(), text }));
      return columns.filter((_, place) => place % every === 0);
    });
    const bars = fit(this.bars, "rect", values.length);
    const labels = fit(this.values, "text", texts ? values.length : 0);
    values.forEach((value, place) => {
      const [top, bottom] = [this.toY(Math.max(0, value), y), this.toY(Math.min(0, value), y)];
      const width = Math.min(48, 0.7 * step());
      const middle = (place + 0.5) * step();
      set(bars[place], {
        x: middle - width / 2,
        width,
        y: top,
        height: Math.max(0, bottom - top),
        class: "chart-bar chart-style-0",
      });
      if (!texts) return;
      labels[place].textContent = texts[place];
      set(labels[place], { x: middle, y: value < 0 ? bottom + 14 : top - 5, "text-anchor": "middle" });
    });
  }

  protected again(): void {
    this.draw(...this.last);
  }
}
