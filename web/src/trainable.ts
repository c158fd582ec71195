/**
 * The network of recflax/recommender.py once more, in jax-js, so that it can be trained here.
 *
 * Every person asks with one learned question (`query="person"`). Parameters stand under the names
 * of `recflax.export.weights_to_json`. jax-js counts references by hand: an array is used up by the
 * function that takes it, and `.ref` keeps it for another.
 */

import { jit, nn, numpy as np, valueAndGrad } from "@jax-js/jax";

type A = np.Array;
export type Params = Record<string, A>;

/** The shape of the network, as `RecommenderConfig` has it. */
export interface Shape {
  categories: number[];
  width: number;
  heads: number;
  max_length: number;
  arms: string[];
}

/** Histories: the product's place in the catalogue (B, L), -1 where there is none; and bought (B, L), 0 or 1. */
export type Histories = { place: A; bought: A };

/** Histories with the cells to learn from: targets and weights (B, A, M). */
export type Examples = Histories & { target: A; weight: A };

/** x W + b over the last axis; x (..., D). */
function dense(p: Params, path: string, x: A): A {
  const rows = x.shape.slice(0, -1);
  const kernel = p[`${path}['kernel']`];
  const [into, out] = kernel.shape;
  return np.matmul(x.reshape([-1, into]), kernel).add(p[`${path}['bias']`]).reshape([...rows, out]);
}

/** Layer normalisation over the last axis. */
function normalised(p: Params, path: string, x: A): A {
  const centred = x.ref.sub(np.mean(x, -1, { keepdims: true }));
  const variance = np.mean(np.square(centred.ref), -1, { keepdims: true });
  return centred.div(np.sqrt(variance.add(1e-6))).mul(p[`${path}['scale']`]).add(p[`${path}['bias']`]);
}

/** The approximation of GELU that JAX uses, x / (1 + exp(-2 z)) with z as there: one exponential, not two. */
function gelu(x: A): A {
  const z = x.ref.add(np.square(x.ref).mul(x.ref).mul(0.044715)).mul(Math.sqrt(2 / Math.PI));
  return x.mul(nn.sigmoid(z.mul(2)));
}

/** Multi-head attention of queries (B or 1, Q, D) over a context (B, L, D); real (B, L) is 1 where something stands. */
function attend(p: Params, path: string, heads: number, queries: A, context: A, real: A): A {
  const [batch, length, width] = context.shape;
  const [asking, wanted] = queries.shape;
  const split = (x: A): A => x.reshape([x.shape[0], x.shape[1], heads, width / heads]);
  let query = split(dense(p, `${path}['query']`, queries)); // (B or 1, Q, H, d)
  if (asking !== batch) query = np.broadcastTo(query, [batch, wanted, heads, width / heads]);
  const key = split(dense(p, `${path}['key']`, context.ref)); // (B, L, H, d)
  const value = split(dense(p, `${path}['value']`, context));
  const open = real.reshape([batch, 1, 1, length]);
  const scores = np.einsum("bqhd,blhd->bhql", query, key).div(Math.sqrt(width / heads));
  const hidden = open.ref.sub(1).mul(1e9); // far below every score
  const weights = nn.softmax(scores.add(hidden), -1).mul(open); // (B, H, Q, L); zeros if nothing stands
  const mixed = np.einsum("bhql,blhd->bqhd", weights, value).reshape([batch, wanted, width]);
  return dense(p, `${path}['out']`, mixed);
}

/** Scores (B, A, M) of every arm and product, logits. */
export function scores(p: Params, { place, bought }: Histories, shape: Shape): A {
  const { categories, width, heads, max_length: length, arms } = shape;
  const count = categories.length;
  const batch = place.shape[0];
  const of = np.array(categories, { dtype: np.int32 });
  const classes = p["['category']"].shape[0];
  const items = p["['item']"].add(np.matmul(nn.oneHot(of, classes), p["['category']"])); // (M, D)
  const real = np.greaterEqual(place.ref, 0).astype(np.float32); // (B, L)
  const one = nn.oneHot(place.reshape([-1]), count); // (BL, M), a row of zeros where nothing stands
  const kinds = nn.oneHot(bought.astype(np.int32).reshape([-1]), 2); // (BL, 2)
  let x = np.matmul(one, items.ref).add(np.matmul(kinds, p["['bought']"])).reshape([batch, length, width]);
  x = x.add(np.flip(p["['place']"], 0)); // row 0 of the table is the newest place
  const block = "['blocks'][0]";
  const first = normalised(p, `${block}['norms'][0]`, x.ref);
  x = x.add(attend(p, `${block}['attention']`, heads, first.ref, first, real.ref));
  const wide = gelu(dense(p, `${block}['wide']`, normalised(p, `${block}['norms'][1]`, x.ref)));
  x = x.add(dense(p, `${block}['narrow']`, wide));
  const history = normalised(p, "['norm']", x);
  const question = p["['question']"].reshape([1, 1, width]);
  const person = attend(p, "['cross']", heads, question, history, real).reshape([batch, width]);
  const keys = np.einsum("md,ade->ame", items, p["['arm']"]).reshape([arms.length * count, width]);
  const products = np.matmul(person, np.transpose(keys)).div(Math.sqrt(width));
  return products.reshape([batch, arms.length, count]).add(p["['bias']"]);
}

/** `recflax.fitted.cell_loss`: binary cross-entropy, in each arm a weighted mean of its own. */
function loss(p: Params, { target, weight, ...histories }: Examples, shape: Shape): A {
  const s = scores(p, histories, shape);
  const each = nn.softplus(s.ref).sub(s.mul(target)); // (B, A, M)
  const total = np.sum(weight.ref, [0, 2]); // (A,)
  const some = np.where(np.greater(total.ref, 0), total, 1);
  return np.sum(np.sum(each.mul(weight), [0, 2]).div(some));
}

/** The loss and its gradient, compiled. */
export function gradient(shape: Shape) {
  const both = valueAndGrad((p: Params, examples: Examples) => loss(p, examples, shape));
  return jit((p: Params, examples: Examples) => both(p, examples) as [A, Params]);
}

/** Scores of many people, compiled. */
export function scorer(shape: Shape) {
  return jit((p: Params, histories: Histories): A => scores(p, histories, shape));
}
