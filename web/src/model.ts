/** What the page knows and can compute: the shop, the networks, and one person's state. */

import { only, readNetwork, say, type Exported, type Network, type Said } from "./network";
import { effects, sigmoid, truths, without, type Happened, type Shop } from "./store";

/** A product's name and category, for people. */
export interface Product {
  id: number;
  name: string;
  category: string;
}

/** Somebody of the shop, with the taste that nobody logs. */
export interface Person {
  label: string;
  taste: number[];
  history: Happened[];
}

/** Two networks of one log. */
export interface Trained<Form> {
  log: Form;
  causal: Form;
}

/** What the build writes into the page. */
export interface PageData {
  shop: Shop;
  names: string[];
  categories: string[];
  people: Person[];
  /** With the campaign following intent, and without. */
  networks: { on: Trained<Exported>; off: Trained<Exported> };
}

/** All three shelves of one person. */
export const SHELVES = ["log", "causal", "oracle"] as const;
export type Shelf = (typeof SHELVES)[number];

/** One product on a shelf, with what is true of it. */
export interface Shown {
  product: Product;
  shown: number;
  not: number;
  money: number;
  anyway: number;
}

/** One event, three ways. */
export interface Explained {
  attention: number;
  model: number;
  person: number;
}

/** The page's model; nothing here knows of elements. */
export class Store {
  readonly products: Product[];
  readonly shop: Shop;
  readonly people: Person[];
  private readonly networks: { on: Trained<Network>; off: Trained<Network> };

  constructor(data: PageData) {
    this.shop = data.shop;
    this.people = data.people;
    this.products = data.names.map((name, place) => ({
      id: place + 1,
      name,
      category: data.categories[data.shop.category[place]],
    }));
    const read = (pair: Trained<Exported>): Trained<Network> => ({
      log: readNetwork(pair.log),
      causal: readNetwork(pair.causal),
    });
    this.networks = { on: read(data.networks.on), off: read(data.networks.off) };
  }

  /** The networks of the shop whose campaign follows intent, or does not. */
  pair(confounded: boolean): Trained<Network> {
    return confounded ? this.networks.on : this.networks.off;
  }

  /** What a network says of a history. */
  say(name: "log" | "causal", history: readonly Happened[], confounded: boolean): Said {
    return say(this.pair(confounded)[name], history);
  }

  /** What is true of every product, for a taste and a history. */
  truths(taste: readonly number[], history: readonly Happened[]): ReturnType<typeof truths> {
    return truths(this.shop, taste, history);
  }

  /** A number a product, the larger the better, by which a shelf is filled. */
  ranking(
    shelf: Shelf,
    history: readonly Happened[],
    taste: readonly number[],
    confounded: boolean,
  ): number[] {
    if (shelf === "oracle") return this.truths(taste, history).uplift;
    const { scores } = this.say(shelf, history, confounded);
    const chance = scores.map((own) => Array.from(own, sigmoid));
    return chance.length === 1 ? chance[0] : chance[0].map((value, item) => value - chance[1][item]);
  }

  /** The best products of a shelf; the lower id first among equals. */
  shelf(
    shelf: Shelf,
    history: readonly Happened[],
    taste: readonly number[],
    confounded: boolean,
    length: number,
  ): Shown[] {
    const ranking = this.ranking(shelf, history, taste, confounded);
    const { shown, not, uplift } = this.truths(taste, history);
    return this.products
      .toSorted((a, b) => ranking[b.id - 1] - ranking[a.id - 1] || a.id - b.id)
      .slice(0, length)
      .map((product) => {
        const at = product.id - 1;
        return {
          product,
          shown: shown[at],
          not: not[at],
          money: uplift[at] * this.shop.price[at],
          anyway: not[at] / shown[at],
        };
      });
  }

  /** Attention, leave-one-out and the true effect of every event on one product. */
  explain(
    history: readonly Happened[],
    taste: readonly number[],
    item: number,
    confounded: boolean,
  ): Explained[] {
    const network = only(this.pair(confounded).causal, item);
    const { scores, cross } = say(network, history);
    const whole = sigmoid(scores[0][0]);
    const person = effects(this.shop, taste, history, item);
    return history.map((_, place) => ({
      attention: cross.reduce((sum, head) => sum + head.at[place], 0) / cross.length,
      model: whole - sigmoid(say(network, without(history, place)).scores[0][0]),
      person: person[place],
    }));
  }
}
