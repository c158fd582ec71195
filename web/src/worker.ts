/** The worker: it trains two networks in step, and listens between the steps. */

import { defaultDevice, init, numpy as np } from "@jax-js/jax";
import { Adam } from "./adam";
import { Experiment, type Cells, type Settings, type Way } from "./experiment";
import type { FromWorker, Reading, ToWorker } from "./messages";
import { gradient, scorer, type Params } from "./trainable";

const AT_A_TIME = 40; // milliseconds of steps between two looks at what the page wants
const ROWS = 500; // people asked at a time

const post = (message: FromWorker): void => self.postMessage(message);

/** One of the two networks, with what it learns from. */
interface Learner {
  way: Way;
  cells: Cells;
  adam: Adam;
  losses: number[];
  read: number; // losses that went into a reading
}

class Trainer {
  private readonly experiment: Experiment;
  private readonly gradient: ReturnType<typeof gradient>;
  private readonly score: ReturnType<typeof scorer>;
  private learners: Learner[] = [];
  private order: Generator<Int32Array<ArrayBuffer>, never> | null = null;
  private shapes: Record<string, number[]> = {};
  private run = 0;
  private done = 0;
  private loop = 0; // counts up whenever training starts or stops
  private running = false;
  private busy = { steps: 0, time: 0 };

  constructor(data: Extract<ToWorker, { say: "data" }>["data"]) {
    this.experiment = new Experiment(data);
    this.gradient = gradient(data.shape);
    this.score = scorer(data.shape);
  }

  private get schedule() {
    return this.experiment.data.schedule;
  }

  async hear(message: Exclude<ToWorker, { say: "data" }>): Promise<void> {
    switch (message.say) {
      case "reset":
        return this.reset(message.settings);
      case "run":
        if (!this.running) await this.go();
        return;
      case "pause":
        if (this.running) this.stop();
        return;
      case "step":
        if (!this.running && this.done < this.schedule.steps) {
          this.one();
          this.read();
          this.rest();
        }
    }
  }

  private stop(): void {
    this.running = false;
    this.loop++;
    this.rest();
  }

  private reset(settings: Settings): void {
    this.running = false;
    this.loop++;
    this.run++;
    this.done = 0;
    this.busy = { steps: 0, time: 0 };
    const ways: Way[] = ["purchases", settings.weighted ? "weights" : "exposed"];
    this.learners = ways.map((way) => {
      const initial = Object.entries(this.experiment.initial(settings.seed));
      this.shapes = Object.fromEntries(initial.map(([name, { shape }]) => [name, shape]));
      const values = Object.fromEntries(initial.map(([name, own]) => [name, own.values]));
      const adam = new Adam(values, settings.rate);
      return { way, adam, cells: this.experiment.cells(way, settings), losses: [], read: 0 };
    });
    this.order = this.experiment.order(settings.seed);
    this.read();
    this.rest();
  }

  /** Train until the end, or until the page says otherwise. */
  private async go(): Promise<void> {
    const mine = ++this.loop;
    const { steps, every } = this.schedule;
    this.running = true;
    while (mine === this.loop && this.done < steps) {
      const until = performance.now() + AT_A_TIME;
      do {
        this.one();
        if (this.done % every === 0) this.read();
      } while (this.done < steps && performance.now() < until);
      await new Promise((listen) => setTimeout(listen)); // messages are heard here
    }
    if (mine === this.loop) this.stop();
  }

  /** A network's numbers of now, for jax-js. */
  private params({ adam }: Learner): Params {
    const arrays = Object.entries(adam.values).map(([name, own]) => [name, np.array(own.slice()).reshape(this.shapes[name])]);
    return Object.fromEntries(arrays) as Params;
  }

  /** One step of each network, on the same people. */
  private one(): void {
    const begun = performance.now();
    const people = this.order!.next().value;
    const { experiment } = this;
    const array = (of: Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer>, ...shape: number[]): np.Array =>
      np.array(experiment.rows(of as Float32Array<ArrayBuffer>, people)).reshape([people.length, ...shape]);
    const cells = [experiment.data.shape.arms.length, experiment.items];
    for (const learner of this.learners) {
      const examples = {
        place: array(experiment.place, experiment.length),
        bought: array(experiment.bought, experiment.length),
        target: array(learner.cells.target, ...cells),
        weight: array(learner.cells.weight, ...cells),
      };
      const [value, slopes] = this.gradient(this.params(learner), examples);
      learner.adam.step(Object.fromEntries(Object.entries(slopes).map(([name, slope]) => [name, slope.dataSync()])));
      learner.losses.push(value.dataSync()[0]);
    }
    this.done++;
    if (this.done > 1) {
      this.busy.steps += this.learners.length; // the first step is compiled
      this.busy.time += performance.now() - begun;
    }
  }

  /** Ask both networks about everybody. */
  private read(): void {
    const { experiment } = this;
    const readings: Partial<Record<Way, Reading>> = {};
    for (const learner of this.learners) {
      const all = new Float32Array(experiment.people * experiment.data.shape.arms.length * experiment.items);
      const each = all.length / experiment.people;
      for (let from = 0; from < experiment.people; from += ROWS) {
        const size = Math.min(ROWS, experiment.people - from);
        const part = (of: Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer>): np.Array =>
          np
            .array(of.slice(from * experiment.length, (from + size) * experiment.length) as Float32Array<ArrayBuffer>)
            .reshape([size, experiment.length]);
        const scores = this.score(this.params(learner), { place: part(experiment.place), bought: part(experiment.bought) });
        all.set(scores.dataSync() as Float32Array, from * each);
      }
      const since = learner.losses.slice(learner.read);
      learner.read = learner.losses.length;
      const loss = since.length ? since.reduce((sum, value) => sum + value, 0) / since.length : null;
      readings[learner.way] = { step: this.done, loss, ...experiment.read(learner.way, all) };
    }
    const { steps, time } = this.busy;
    post({ say: "read", run: this.run, readings, speed: steps ? (1000 * steps) / time : null });
  }

  private rest(): void {
    const losses = Object.fromEntries(this.learners.map((learner) => [learner.way, learner.losses]));
    post({ say: "paused", run: this.run, step: this.done, ended: this.done >= this.schedule.steps, losses });
  }
}

let trainer: Promise<Trainer> | null = null;

async function begin(data: Extract<ToWorker, { say: "data" }>["data"]): Promise<Trainer> {
  await init("wasm");
  defaultDevice("wasm");
  return new Trainer(data);
}

self.onmessage = async ({ data: message }: MessageEvent<ToWorker>) => {
  try {
    if (message.say === "data") {
      trainer = begin(message.data);
      await trainer;
      post({ say: "ready" });
    } else await (await trainer!).hear(message);
  } catch (why) {
    post({ say: "failed", why: String(why) });
  }
};
