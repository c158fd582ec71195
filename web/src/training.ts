/** Train it here: the page on which the reader's own browser trains two networks on one log. */

import source from "../build/worker.txt";
import { LineChart, type Axes, type Line } from "./chart";
import { make, signed } from "./dom";
import { Experiment, type Settings, type TrainingData, type Way } from "./experiment";
import type { FromWorker, Reading, ToWorker } from "./messages";

type State = "recorded" | "starting" | "running" | "resting" | "ended" | "unable";
type Curves = Partial<Record<Way, Reading[]>>;

const STYLES: Record<Way, Line["style"]> = { purchases: 1, weights: 0, exposed: 2 };
const FACTORS = [1 / 4, 1 / 2, 1, 2, 4]; // of the learning rate that the build used
const MOST = 1e6; // the largest seed
const MEASURES = ["likelihood", "increment", "loss"] as const;
type Measure = (typeof MEASURES)[number];

/** What training here needs and this browser lacks, or nothing. */
export function lacking(): string | null {
  if (typeof Worker !== "function" || typeof URL.createObjectURL !== "function") return "workers";
  if (typeof WebAssembly !== "object") return "WebAssembly";
  const iterators = (globalThis as { Iterator?: { prototype?: object } }).Iterator;
  return iterators?.prototype && "map" in iterators.prototype ? null : "iterator helpers";
}

class Page {
  settings: Settings;
  state: State = "recorded";
  /** Of the last time that training stopped: the loss of each step of each network. */
  losses: Partial<Record<Way, number[]>> = {};
  speed: number | null = null;
  curves: Curves;
  step = 0;
  private worker: Worker | null = null;
  private wanted = false; // whether to run as soon as the worker can
  private asked = false; // whether to take one step as soon as the worker can
  private run = 0; // resets that were sent
  private told = 0; // resets that were answered
  private stale = false; // settings have changed since the last reset
  private drawing = false;
  private readonly charts: Record<Measure, { axes: Axes; chart: LineChart }>;
  private readonly go = make("button", { type: "button", class: "train-go", click: () => this.toggle() }, "Train");
  private readonly one = make("button", { type: "button", click: () => this.once() }, "One step");
  private readonly again = make("button", { type: "button", click: () => this.reset() }, "Start again");
  private readonly said = make("p", { class: "live-said", role: "status" });
  private readonly pace = make("p", { class: "live-note train-pace" });
  private readonly numbers = make("tbody");
  private readonly shareText = make("output", { for: "train-share" });
  private readonly share = make("input", {
    type: "range",
    id: "train-share",
    min: 0,
    max: 100,
    step: 5,
    input: () => this.sayShare(this.share.valueAsNumber),
    change: () => this.set({ share: this.share.valueAsNumber / 100 }),
  });
  private readonly still = matchMedia("(prefers-reduced-motion: reduce)");

  constructor(
    root: HTMLElement,
    readonly data: TrainingData,
  ) {
    const { recorded, schedule } = data;
    this.settings = { seed: recorded.seed, rate: schedule.rate, share: recorded.share, weighted: true };
    const chart = (label: string, y: string): { axes: Axes; chart: LineChart } => {
      const axes = { label, x: "steps", y, domain: { x: [0, schedule.steps] as [number, number] }, height: 200 };
      return { axes, chart: new LineChart(axes) };
    };
    this.charts = {
      likelihood: chart(
        "How likely both networks find the purchases of later visits, by step",
        "held-out log-likelihood, nats per visit",
      ),
      increment: chart("What both networks would add by filling the slot, by step", "purchases added per visit, exact"),
      loss: chart("The training loss of both networks, by step", "training loss, as a share of its first reading"),
    };
    this.curves = this.recorded();
    root.replaceChildren(...this.frame());
    const lacks = lacking();
    if (lacks) this.unable(`it has no ${lacks}`);
    else this.show();
    this.draw();
  }

  /** What is on the page: controls, buttons, charts, and the last numbers in a table. */
  private frame(): HTMLElement[] {
    const { rate } = this.data.schedule;
    const rates = FACTORS.map((factor) =>
      make("option", { value: rate * factor, selected: factor === 1 }, String(Number((rate * factor).toPrecision(3)))),
    );
    const value = (event: Event): string => (event.target as HTMLInputElement | HTMLSelectElement).value;
    const seed = make("input", {
      type: "number",
      id: "train-seed",
      min: 0,
      max: MOST,
      step: 1,
      value: this.settings.seed,
      change: (event) => {
        const box = event.target as HTMLInputElement;
        const given = Math.round(Number(box.value));
        const kept = Number.isFinite(given) && box.value !== "" ? Math.min(MOST, Math.max(0, given)) : this.settings.seed;
        box.value = String(kept);
        this.set({ seed: kept });
      },
    });
    const weighted = make("input", {
      type: "checkbox",
      id: "train-weighted",
      checked: true,
      change: (event) => this.set({ weighted: (event.target as HTMLInputElement).checked }),
    });
    this.share.value = String(100 * this.settings.share);
    this.sayShare(100 * this.settings.share);
    const heads = ["network", "step", "increment", "likelihood", "loss (of its own question)"].map((text) => make("th", { scope: "col" }, text));
    return [
      make(
        "div",
        { class: "live-controls" },
        make("label", { for: "train-share" }, "traffic filled at random ", this.share, this.shareText),
        make("label", { for: "train-weighted" }, weighted, " propensity weights"),
        make(
          "label",
          { for: "train-rate" },
          "learning rate ",
          make("select", { id: "train-rate", change: (event) => this.set({ rate: Number(value(event)) }) }, ...rates),
        ),
        make("label", { for: "train-seed" }, "seed ", seed),
      ),
      make("p", { class: "live-buttons" }, this.go, this.one, this.again),
      this.said,
      this.pace,
      make("div", { class: "train-charts" }, ...MEASURES.map((measure) => this.charts[measure].chart.element)),
      make(
        "div",
        { class: "live-scroll", tabindex: 0, role: "region", "aria-label": "The last numbers" },
        make(
          "table",
          { class: "train-numbers", "aria-label": "The last numbers of each network" },
          make("thead", {}, make("tr", {}, ...heads)),
          this.numbers,
        ),
      ),
    ];
  }

  private sayShare(percent: number): void {
    this.shareText.textContent = `${percent}%`;
    this.share.setAttribute("aria-valuetext", `${percent}%`);
  }

  /** The two trainings on the page now. */
  private get ways(): Way[] {
    return ["purchases", this.settings.weighted ? "weights" : "exposed"];
  }

  private recorded(): Curves {
    const { ways } = this.data.recorded;
    const readings = (way: Way): Reading[] =>
      ways[way].step.map((step, at) => ({
        step,
        loss: at ? ways[way].loss[at - 1] : null,
        likelihood: ways[way].likelihood[at],
        increment: ways[way].increment[at],
      }));
    return Object.fromEntries(this.ways.map((way) => [way, readings(way)]));
  }

  /** Take a setting; what was trained with another is gone. */
  private set(changed: Partial<Settings>): void {
    this.settings = { ...this.settings, ...changed };
    if (this.state === "recorded" || this.state === "unable") {
      this.curves = this.recorded();
      this.draw();
    } else this.reset();
  }

  private toggle(): void {
    this.wanted = this.state !== "running" && !this.wanted;
    if (!this.worker) return this.begin();
    if (this.state === "ended") return this.reset();
    if (this.state === "running") this.send({ say: "pause" });
    else this.proceed();
    this.show();
  }

  private once(): void {
    if (this.one.ariaDisabled === "true") return;
    this.asked = true;
    if (!this.worker) this.begin();
    else this.proceed();
  }

  /** Go on where the worker rests and nothing is waited for. */
  private proceed(): void {
    if (this.state !== "resting" || this.told !== this.run) return;
    if (this.asked) this.send({ say: "step" });
    this.asked = false;
    if (!this.wanted) return;
    this.state = "running";
    this.send({ say: "run" });
    this.show();
  }

  private reset(): void {
    if (!this.worker) {
      this.curves = this.recorded();
      return this.draw();
    }
    if (this.told !== this.run || this.state === "starting") {
      this.stale = true; // one is on its way: the newest settings follow when it is answered
      return this.show();
    }
    this.stale = false;
    this.run++;
    this.curves = {};
    this.losses = {};
    this.step = 0;
    this.speed = null;
    this.state = "starting";
    this.send({ say: "reset", settings: this.settings });
    this.show();
  }

  private begin(): void {
    this.state = "starting";
    this.show();
    const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    try {
      this.worker = new Worker(address);
    } catch (why) {
      return this.unable(`its worker did not start: ${String(why)}`);
    } finally {
      URL.revokeObjectURL(address);
    }
    this.worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.hear(data);
    this.worker.onerror = (event) => {
      event.preventDefault();
      this.unable(event.message || "its worker failed");
    };
    this.send({ say: "data", data: this.data });
  }

  private send(message: ToWorker): void {
    this.worker?.postMessage(message);
  }

  private hear(message: FromWorker): void {
    if (message.say === "failed") return this.unable(message.why);
    if (message.say === "ready") {
      this.state = "resting";
      return this.reset();
    }
    if (message.run !== this.run) return; // of a run that is over
    if (message.say === "read") {
      for (const [way, reading] of Object.entries(message.readings) as [Way, Reading][])
        (this.curves[way] ??= []).push(reading);
      this.step = Math.max(...Object.values(message.readings).map((reading) => reading.step));
      this.speed = message.speed;
      if (!this.still.matches) this.draw();
      return this.pacing();
    }
    this.told = this.run;
    this.losses = message.losses;
    this.step = message.step;
    this.state = message.ended ? "ended" : "resting";
    if (message.ended) this.wanted = false;
    if (this.stale) return this.reset();
    this.show();
    this.draw();
    this.proceed();
  }

  /** Training is not to be had: the recorded run stands, and the page says why. */
  private unable(why: string): void {
    this.worker?.terminate();
    this.worker = null;
    this.state = "unable";
    this.wanted = false;
    this.curves = this.recorded();
    this.show();
    this.said.textContent = `Your browser cannot train here: ${why}. ${this.ofTheRecord()}`;
    this.draw();
  }

  private ofTheRecord(): string {
    const { seed, share } = this.data.recorded;
    return `The curves are those of a run that was recorded when this book was built, with seed ${seed} and ${100 * share}% of the traffic at random.`;
  }

  private show(): void {
    const { steps } = this.data.schedule;
    const words: Record<State, string> = {
      recorded: `Nothing has been trained here yet. ${this.ofTheRecord()}`,
      starting: "Getting ready …",
      running: this.still.matches ? "Training. The curves are drawn when it ends, since you asked for no motion." : "Training.",
      resting: `At rest after ${this.step} of ${steps} steps.`,
      ended: this.outcome(),
      unable: "",
    };
    if (this.said.textContent !== words[this.state]) this.said.textContent = words[this.state];
    this.go.textContent = this.state === "running" || this.wanted ? "Pause" : this.state === "ended" ? "Train again" : "Train";
    const off = this.state === "unable";
    this.go.disabled = off;
    // not `disabled`, which would take the focus away from who presses it again and again
    this.one.setAttribute("aria-disabled", String(off || this.state === "running" || this.state === "ended"));
    this.again.disabled = off || this.state === "recorded";
    for (const id of ["train-share", "train-rate", "train-seed"]) {
      const control = document.getElementById(id) as HTMLInputElement | HTMLSelectElement | null;
      if (control) control.disabled = off;
    }
    this.pacing();
  }

  private pacing(): void {
    const { steps } = this.data.schedule;
    const pace = this.speed ? `, ${Math.round(this.speed)} steps a second, both networks counted` : "";
    this.pace.textContent = this.state === "recorded" || this.state === "unable" ? "\u00a0" : `${this.step} of ${steps} steps${pace}`;
  }

  private last(way: Way): Reading | undefined {
    return this.curves[way]?.at(-1);
  }

  private outcome(): string {
    const [one, other] = this.ways.map((way) => this.last(way));
    if (!one || !other) return "";
    const broken = this.ways.find((way) => !Number.isFinite(this.last(way)?.likelihood));
    if (broken) return `Done, but the network trained ${this.data.ways[broken]} fell apart. Choose a smaller learning rate.`;
    const likelier = this.data.ways[this.ways[one.likelihood > other.likelihood ? 0 : 1]];
    const more = signed(other.increment - one.increment, 3);
    return `Done. The network trained ${likelier} finds later purchases likelier. Beside the one trained on purchases, the other adds ${more} purchases per visit.`;
  }

  /** Draw once before the browser paints next, however many readings come. */
  private draw(): void {
    if (this.drawing) return;
    this.drawing = true;
    requestAnimationFrame(() => {
      this.drawing = false;
      const { random } = this.data.recorded;
      for (const measure of MEASURES) {
        const lines: Line[] = this.ways.map((way) => ({
          name: this.data.ways[way],
          style: STYLES[way],
          points: this.points(way, measure),
        }));
        if (measure === "increment")
          lines.push({ name: "a random product", style: 3, points: [[0, random], [this.data.schedule.steps, random]] });
        const { axes, chart } = this.charts[measure];
        axes.domain = { ...axes.domain, y: this.range(measure, lines) };
        chart.draw(lines);
      }
      this.numbers.replaceChildren(
        ...this.ways.map((way) => {
          const found = this.last(way);
          const cell = (value: number | null | undefined, decimals: number): HTMLElement =>
            make("td", {}, value === null || value === undefined || !Number.isFinite(value) ? "–" : value.toFixed(decimals).replace("-", "−"));
          return make(
            "tr",
            {},
            make("th", { scope: "row" }, this.data.ways[way]),
            cell(found?.step, 0),
            cell(found?.increment, 3),
            cell(found?.likelihood, 3),
            cell(found?.loss, 4),
          );
        }),
      );
    });
  }

  /** The recorded runs' range at least, so that a beginning is not blown up. */
  private range(measure: Measure, lines: readonly Line[]): [number, number] {
    const { ways, random } = this.data.recorded;
    const curves = Object.values(ways).map((way) => way[measure]);
    const recorded = measure === "loss" ? curves.flatMap((curve) => curve.map((value) => value / curve[0])) : curves.flat();
    const drawn = lines.flatMap((line) => line.points.map((point) => point[1]));
    const all = [...recorded, ...drawn, ...(measure === "increment" ? [0, random] : [])].filter(Number.isFinite);
    const [low, high] = [Math.min(...all), Math.max(...all)];
    return [measure === "increment" ? Math.min(0, low) : low - 0.05 * (high - low), high + 0.05 * (high - low)];
  }

  /** A curve; losses of two questions can be compared only with their own first reading. */
  private points(way: Way, measure: Measure): [number, number][] {
    const read = (this.curves[way] ?? []).flatMap((reading) => {
      const value = reading[measure];
      return value === null ? [] : [[reading.step, value] as [number, number]];
    });
    return measure === "loss" ? read.map(([step, value]) => [step, value / read[0][1]]) : read;
  }

  /** What a run of some settings is made of, for those who want to repeat it elsewhere. */
  inside(settings: Settings, steps: number) {
    const experiment = new Experiment(this.data);
    const order = experiment.order(settings.seed);
    const initial = Object.entries(experiment.initial(settings.seed));
    return {
      initial: Object.fromEntries(initial.map(([name, { shape, values }]) => [name, { shape, values: [...values] }])),
      order: Array.from({ length: steps }, () => [...order.next().value]),
      randomised: [...experiment.randomised(settings.seed, settings.share)],
    };
  }
}

declare global {
  interface Window {
    recflaxTraining?: Page;
  }
}

function start(): void {
  const root = document.getElementById("train-live");
  const data = document.getElementById("train-live-data");
  if (!root || !data?.textContent) return;
  window.recflaxTraining = new Page(root, JSON.parse(data.textContent) as TrainingData);
  document.documentElement.classList.add("train-live-runs");
}

if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
else start();
