/**
 * One log, several trainings: what recflax/lessons/train_it_here.py does, without the network. The
 * cells to learn from, whom each step sees, the first numbers, and what is read off.
 */

import { sigmoid, truths, type Happened, type Shop } from "./store";

/** An array as base64 of its bytes, little-endian. */
type Packed = string;

/** What the build writes into the page. */
export interface TrainingData {
  shop: Shop;
  shape: { categories: number[]; width: number; heads: number; max_length: number; arms: string[] };
  schedule: { steps: number; batch: number; rate: number; every: number };
  clip: number;
  people: { taste: Packed; history: Packed; bought: Packed };
  /** The same visits twice: the slot filled by the old policy, and at random. Rows are ordered by visit, then by person. */
  log: {
    visits: number;
    propensity: Packed;
    policy: { shown: Packed; bought: Packed };
    random: { shown: Packed; bought: Packed };
    /** What is bought without being shown, in either. */
    organic: { row: Packed; item: Packed };
  };
  later: { visits: number; person: Packed; item: Packed };
  /** How the first numbers are drawn: normal around a mean. */
  initial: Record<string, { shape: number[]; mean: number; deviation: number }>;
  /** What each training is called. */
  ways: Record<Way, string>;
  recorded: { seed: number; share: number; rate: number; random: number; ways: Record<Way, Recorded> };
}

/** What the build's own run read off. */
export interface Recorded {
  step: number[];
  loss: number[];
  likelihood: number[];
  increment: number[];
}

export type Way = "purchases" | "weights" | "exposed";

/** What a reader can set. */
export interface Settings {
  seed: number;
  rate: number;
  /** Share of visits whose slot is filled at random, 0 to 1. */
  share: number;
  /** Whether the second training has weights. */
  weighted: boolean;
}

/** Targets and weights (U, A, M). */
export interface Cells {
  target: Float32Array<ArrayBuffer>;
  weight: Float32Array<ArrayBuffer>;
}

function bytes(text: Packed): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

const floats = (text: Packed): Float32Array<ArrayBuffer> => new Float32Array(bytes(text).buffer);
const shorts = (text: Packed): Uint16Array<ArrayBuffer> => new Uint16Array(bytes(text).buffer);

/** Random numbers in [0, 1) from a whole number (mulberry32, of Tommy Ettinger). */
export function uniforms(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A stream of random numbers for each use of a seed, so that one does not move another. */
const STREAMS = { initial: 1, order: 2, random: 3 };
const stream = (seed: number, use: keyof typeof STREAMS): (() => number) =>
  uniforms(Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(STREAMS[use], 0x85ebca6b));

export class Experiment {
  readonly people: number;
  readonly items: number;
  readonly length: number;
  /** (U, L) the product's place in the catalogue, -1 where there is none. */
  readonly place: Int32Array<ArrayBuffer>;
  /** (U, L) 0 or 1. */
  readonly bought: Float32Array<ArrayBuffer>;
  /** (U, M) what showing adds, exactly. */
  private readonly uplift: Float32Array;
  /** (U, M) later visits at which it was bought. */
  private readonly later: Float32Array;
  private readonly visits: {
    propensity: Float32Array;
    slots: { shown: Uint8Array; bought: Uint8Array }[];
    row: Uint16Array;
    item: Uint8Array;
  };

  constructor(readonly data: TrainingData) {
    const { shop, people, log, later, shape } = data;
    this.items = shop.category.length;
    this.length = shape.max_length;
    const history = bytes(people.history);
    this.people = history.length / this.length;
    this.place = Int32Array.from(history, (id) => id - 1);
    this.bought = Float32Array.from(bytes(people.bought));
    this.uplift = this.exact(floats(people.taste));
    this.later = new Float32Array(this.people * this.items);
    const [who, what] = [shorts(later.person), bytes(later.item)];
    who.forEach((person, at) => (this.later[person * this.items + what[at] - 1] += 1));
    this.visits = {
      propensity: floats(log.propensity),
      slots: [log.policy, log.random].map((slot) => ({ shown: bytes(slot.shown), bought: bytes(slot.bought) })),
      row: shorts(log.organic.row),
      item: bytes(log.organic.item),
    };
  }

  /** (U, M) of the shop's equations. */
  private exact(taste: Float32Array): Float32Array {
    const kinds = taste.length / this.people;
    const all = new Float32Array(this.people * this.items);
    for (let person = 0; person < this.people; person++) {
      const history: Happened[] = [];
      for (let at = person * this.length; at < (person + 1) * this.length; at++)
        if (this.place[at] >= 0) history.push({ item: this.place[at] + 1, bought: this.bought[at] === 1 });
      const own = [...taste.subarray(person * kinds, (person + 1) * kinds)];
      all.set(truths(this.data.shop, own, history).uplift, person * this.items);
    }
    return all;
  }

  /** (R,) which visits are filled at random: a visit that is at one share is at every larger one. */
  randomised(seed: number, share: number): Uint8Array {
    const next = stream(seed, "random");
    return Uint8Array.from({ length: this.visits.propensity.length }, () => Number(next() < share));
  }

  /** The cells of one training, as `recflax.lessons.train_it_here.learned_cells` has them. */
  cells(way: Way, { seed, share }: Settings): Cells {
    const [count, arms] = [this.items, this.data.shape.arms.length];
    const [target, weight] = [0, 1].map(() => new Float32Array(this.people * arms * count));
    const at = (row: number, arm: number, item: number): number =>
      ((row % this.people) * arms + arm) * count + item - 1;
    const random = this.randomised(seed, share);
    const visits = this.data.log.visits;
    if (way === "purchases")
      for (let person = 0; person < this.people; person++)
        weight.fill(visits, person * arms * count, (person * arms + 1) * count);
    else
      for (let person = 0; person < this.people; person++)
        weight.fill(visits, (person * arms + 1) * count, (person + 1) * arms * count);
    const rows = random.length;
    for (let row = 0; row < rows; row++) {
      const { shown, bought } = this.visits.slots[random[row]];
      const propensity = random[row] ? 1 / count : this.visits.propensity[row];
      const worth = way === "weights" ? Math.min(this.data.clip, 1 / propensity) : 1;
      if (way === "purchases") target[at(row, 0, shown[row])] += bought[row];
      else {
        target[at(row, 0, shown[row])] += worth * bought[row];
        weight[at(row, 0, shown[row])] += worth;
        weight[at(row, 1, shown[row])] -= 1;
      }
    }
    this.visits.row.forEach((row, number) => {
      const item = this.visits.item[number];
      if (item === this.visits.slots[random[row]].shown[row]) return; // it was shown: that is counted above
      target[at(row, way === "purchases" ? 0 : 1, item)] += 1;
    });
    for (let cell = 0; cell < target.length; cell++) target[cell] = weight[cell] > 0 ? target[cell] / weight[cell] : 0;
    return { target, weight };
  }

  /** Whom each step sees: everybody once, shuffled, then again; a short rest is left out. */
  *order(seed: number): Generator<Int32Array<ArrayBuffer>, never> {
    const next = stream(seed, "order");
    const { batch } = this.data.schedule;
    const all = Int32Array.from({ length: this.people }, (_, person) => person);
    for (;;) {
      for (let last = all.length - 1; last > 0; last--) {
        const other = Math.floor(next() * (last + 1));
        [all[last], all[other]] = [all[other], all[last]];
      }
      for (let at = 0; at + batch <= all.length; at += batch) yield all.slice(at, at + batch);
    }
  }

  /** The first numbers of every array, the same for all trainings of a seed. */
  initial(seed: number): Record<string, { shape: number[]; values: Float32Array<ArrayBuffer> }> {
    const next = stream(seed, "initial");
    const normal = (): number => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
    return Object.fromEntries(
      Object.entries(this.data.initial).map(([name, { shape, mean, deviation }]) => {
        const size = shape.reduce((product, length) => product * length, 1);
        const values = Float32Array.from({ length: size }, () => (deviation ? mean + deviation * normal() : mean));
        return [name, { shape, values }];
      }),
    );
  }

  /** Some people's part of an array with one row a person. */
  rows<Numbers extends Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer>>(of: Numbers, people: Int32Array): Numbers {
    const wide = of.length / this.people;
    const some = new (of.constructor as new (length: number) => Numbers)(people.length * wide);
    people.forEach((person, at) => some.set(of.subarray(person * wide, (person + 1) * wide), at * wide));
    return some;
  }

  /** Held-out likelihood (nats a visit) and exact increment (purchases a visit) of scores (U, A, M). */
  read(way: Way, scores: Float32Array): { likelihood: number; increment: number } {
    const [count, arms, visits] = [this.items, this.data.shape.arms.length, this.data.later.visits];
    let [likelihood, increment] = [0, 0];
    for (let person = 0; person < this.people; person++) {
      let [best, most] = [0, -Infinity];
      for (let item = 0; item < count; item++) {
        const at = person * arms * count + item;
        const shown = sigmoid(scores[at]);
        const not = sigmoid(scores[at + count]);
        const see = way === "purchases" ? shown : shown / count + (1 - 1 / count) * not;
        const rank = way === "purchases" ? shown : shown - not;
        const times = this.later[person * count + item];
        likelihood += times * Math.log(see) + (visits - times) * Math.log1p(-see);
        if (rank > most) [best, most] = [item, rank];
      }
      increment += this.uplift[person * count + best];
    }
    // a network that fell apart chooses nothing
    if (!Number.isFinite(likelihood)) return { likelihood: NaN, increment: NaN };
    return { likelihood: likelihood / (this.people * visits), increment: increment / this.people };
  }
}
