/**
 * The simulated shop's exact answers for one person: the equations of
 * recflax/worlds/store_truth.py, in numbers of double precision.
 */

/** The constants of the shop's equations, by the names that `StoreConfig` gives them. */
export interface Constants {
  o0: number;
  o_pop: number;
  b_t: number;
  b_n: number;
  b_c: number;
  b_s: number;
  pz: number;
  g_y: number;
  n_categories: number;
  length: number;
}

/** The shop: one entry a product in every array; product `i + 1` stands at place `i`. */
export interface Shop {
  constants: Constants;
  category: number[];
  popularity: number[];
  lift: number[];
  price: number[];
}

/** Something that a person did: looked at a product, or bought it. Products count from 1. */
export interface Happened {
  item: number;
  bought: boolean;
}

/** What of a history moves purchases; -1 where there is none. */
export interface Mechanisms {
  hot: number;
  complement: number;
  satisfied: Set<number>;
}

/** The logistic function: a chance from log odds. */
export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** Read the mechanisms off a history, oldest first. */
export function mechanisms(shop: Shop, history: readonly Happened[]): Mechanisms {
  const of = (event: Happened): number => shop.category[event.item - 1];
  const [before, last] = [history.at(-2), history.at(-1)];
  const purchase = history.findLast((event) => event.bought);
  return {
    hot: before && last && of(before) === of(last) ? of(last) : -1,
    complement: purchase ? (of(purchase) + 1) % shop.constants.n_categories : -1,
    satisfied: new Set(history.filter((event) => event.bought).map((event) => event.item)),
  };
}

/** Log odds of a purchase of each product that is not shown, at a visit without intent. */
export function logOdds(shop: Shop, taste: readonly number[], history: readonly Happened[]): number[] {
  const { constants: c, category, popularity } = shop;
  const found = mechanisms(shop, history);
  return category.map(
    (own, place) =>
      c.o0 +
      c.o_pop * popularity[place] +
      c.b_t * taste[own] +
      (own === found.hot ? c.b_n : 0) +
      (own === found.complement ? c.b_c : 0) -
      (found.satisfied.has(place + 1) ? c.b_s : 0),
  );
}

/** P(bought | do(shown)) and P(bought | do(not shown)) of each product; the intent is enumerated. */
export function truths(
  shop: Shop,
  taste: readonly number[],
  history: readonly Happened[],
): { shown: number[]; not: number[]; uplift: number[] } {
  const { pz, g_y } = shop.constants;
  const over = (odds: number): number => (1 - pz) * sigmoid(odds) + pz * sigmoid(odds + g_y);
  const odds = logOdds(shop, taste, history);
  const not = odds.map(over);
  const shown = odds.map((value, place) => over(value + shop.lift[place]));
  return { shown, not, uplift: shown.map((value, place) => value - not[place]) };
}

/** The history without the event at a place; older ones move up. */
export function without(history: readonly Happened[], place: number): Happened[] {
  return history.filter((_, other) => other !== place);
}

/** What each event does to P(bought | do(shown)) of one product, the taste held: with it less without. */
export function effects(
  shop: Shop,
  taste: readonly number[],
  history: readonly Happened[],
  item: number,
): number[] {
  const whole = truths(shop, taste, history).shown[item - 1];
  return history.map((_, place) => whole - truths(shop, taste, without(history, place)).shown[item - 1]);
}
