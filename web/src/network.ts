/**
 * The forward pass of recflax/recommender.py for one person, on plain arrays.
 *
 * Weights come from `recflax.export.weights_to_json`. A history has no padding here, so no mask is
 * needed; an empty one gives the products' own biases.
 */

import type { Happened } from "./store";

/** Numbers in a block of memory of their own. */
type Numbers = Float32Array<ArrayBuffer>;

/** A table of numbers, row after row. */
export interface Table {
  rows: number;
  columns: number;
  at: Numbers;
}

/** What `weights_to_json` writes. */
export interface Exported {
  about: { arms: string[]; categories: number[]; heads: number; max_length: number };
  arrays: Record<string, { shape: number[]; float32: string }>;
}

interface Dense {
  kernel: Table;
  bias: Numbers;
}

interface Norm {
  scale: Numbers;
  bias: Numbers;
}

interface Attention {
  query: Dense;
  key: Dense;
  value: Dense;
  out: Dense;
}

/** A network, ready to run. */
export interface Network {
  arms: string[];
  heads: number;
  maxLength: number;
  /** (M, D) the catalogue's vectors, item plus category. */
  items: Table;
  place: Table;
  bought: Table;
  attention: Attention;
  norms: [Norm, Norm];
  wide: Dense;
  narrow: Dense;
  norm: Norm;
  cross: Attention;
  /** (M, D) the products' side of a score, an arm after the other. */
  keys: Table[];
  bias: Numbers[];
  /** (M, D) the cross-attention's projected queries, which all people share. */
  queries: Table;
}

/** What the network says of one history. */
export interface Said {
  /** A score (a logit) a product, an arm after the other. */
  scores: Numbers[];
  /** Weights (L, L) from event to event, a head after the other. */
  self: Table[];
  /** Weights (M, L) from product to event, a head after the other. */
  cross: Table[];
}

function decode(entry: { shape: number[]; float32: string }): Numbers {
  const text = atob(entry.float32);
  const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

const table = (rows: number, columns: number, at = new Float32Array(rows * columns)): Table => ({
  rows,
  columns,
  at,
});

/** Read a network from its export. */
export function readNetwork(exported: Exported): Network {
  const { about, arrays } = exported;
  // flax writes the name of a variable with or without its attribute, by version
  const entryOf = (path: string) => arrays[path] ?? arrays[`${path}.value`];
  const array = (path: string): Numbers => {
    const entry = entryOf(path);
    if (!entry) throw new Error(`the export has no array ${path}`);
    return decode(entry);
  };
  const matrix = (path: string): Table => {
    const shape = entryOf(path)?.shape ?? [0, 0];
    return table(shape[0], shape[1], array(path));
  };
  const dense = (path: string): Dense => ({
    kernel: matrix(`${path}['kernel']`),
    bias: array(`${path}['bias']`),
  });
  const norm = (path: string): Norm => ({
    scale: array(`${path}['scale']`),
    bias: array(`${path}['bias']`),
  });
  const attention = (path: string): Attention => ({
    query: dense(`${path}['query']`),
    key: dense(`${path}['key']`),
    value: dense(`${path}['value']`),
    out: dense(`${path}['out']`),
  });
  const items = matrix("['item']");
  const category = matrix("['category']");
  const width = items.columns;
  for (let item = 0; item < items.rows; item++)
    for (let d = 0; d < width; d++)
      items.at[item * width + d] += category.at[about.categories[item] * width + d];
  const arm = array("['arm']");
  const bias = array("['bias']");
  const cross = attention("['cross']");
  return {
    arms: about.arms,
    heads: about.heads,
    maxLength: about.max_length,
    items,
    place: matrix("['place']"),
    bought: matrix("['bought']"),
    attention: attention("['blocks'][0]['attention']"),
    norms: [norm("['blocks'][0]['norms'][0]"), norm("['blocks'][0]['norms'][1]")],
    wide: dense("['blocks'][0]['wide']"),
    narrow: dense("['blocks'][0]['narrow']"),
    norm: norm("['norm']"),
    cross,
    keys: about.arms.map((_, a) => {
      const kernel = table(width, width, arm.slice(a * width ** 2, (a + 1) * width ** 2));
      return through({ kernel, bias: new Float32Array(width) }, items);
    }),
    bias: about.arms.map((_, a) => bias.slice(a * items.rows, (a + 1) * items.rows)),
    queries: through(cross.query, items),
  };
}

/** x W + b, for every row of x. */
function through(layer: Dense, x: Table): Table {
  const { kernel, bias } = layer;
  const y = table(x.rows, kernel.columns);
  for (let row = 0; row < x.rows; row++)
    for (let out = 0; out < kernel.columns; out++) {
      let sum = bias[out];
      for (let d = 0; d < x.columns; d++)
        sum += x.at[row * x.columns + d] * kernel.at[d * kernel.columns + out];
      y.at[row * kernel.columns + out] = sum;
    }
  return y;
}

/** Layer normalisation of every row. */
function normalised({ scale, bias }: Norm, x: Table): Table {
  const y = table(x.rows, x.columns);
  for (let row = 0; row < x.rows; row++) {
    const own = x.at.subarray(row * x.columns, (row + 1) * x.columns);
    let mean = 0;
    for (const value of own) mean += value / x.columns;
    let variance = 0;
    for (const value of own) variance += (value - mean) ** 2 / x.columns;
    const deviation = Math.sqrt(variance + 1e-6);
    for (let d = 0; d < x.columns; d++)
      y.at[row * x.columns + d] = ((own[d] - mean) / deviation) * scale[d] + bias[d];
  }
  return y;
}

/** Every entry by the approximation of GELU that JAX uses. */
function gelu(x: Table): Table {
  const curve = (v: number): number =>
    0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3)));
  return table(x.rows, x.columns, x.at.map(curve));
}

/** Scaled dot-product attention, a head at a time; queries are projected already. */
function attend(
  layers: Attention,
  query: Table,
  context: Table,
  heads: number,
): { output: Table; weights: Table[] } {
  const key = through(layers.key, context);
  const value = through(layers.value, context);
  const width = query.columns;
  const part = width / heads;
  const mixed = table(query.rows, width);
  const weights = Array.from({ length: heads }, () => table(query.rows, context.rows));
  for (let head = 0; head < heads; head++)
    for (let row = 0; row < query.rows; row++) {
      const own = weights[head].at.subarray(row * context.rows, (row + 1) * context.rows);
      let largest = -Infinity;
      for (let place = 0; place < context.rows; place++) {
        let score = 0;
        for (let d = head * part; d < (head + 1) * part; d++)
          score += query.at[row * width + d] * key.at[place * width + d];
        own[place] = score / Math.sqrt(part);
        largest = Math.max(largest, own[place]);
      }
      let sum = 0;
      for (let place = 0; place < context.rows; place++) {
        own[place] = Math.exp(own[place] - largest);
        sum += own[place];
      }
      for (let place = 0; place < context.rows; place++) {
        own[place] /= sum;
        for (let d = head * part; d < (head + 1) * part; d++)
          mixed.at[row * width + d] += own[place] * value.at[place * width + d];
      }
    }
  return { output: through(layers.out, mixed), weights };
}

/** One row of a table. */
const rowOf = (x: Table, row: number): Table =>
  table(1, x.columns, x.at.slice(row * x.columns, (row + 1) * x.columns));

/** The network for one product alone, which is much faster. */
export function only(network: Network, item: number): Network {
  return {
    ...network,
    queries: rowOf(network.queries, item - 1),
    keys: network.keys.map((own) => rowOf(own, item - 1)),
    bias: network.bias.map((own) => own.slice(item - 1, item)),
  };
}

/** Everything that the network says of a history, oldest event first; of a long one, its newest part. */
export function say(network: Network, history: readonly Happened[]): Said {
  const events = history.slice(-network.maxLength);
  const { items, place, bought, keys, bias, queries } = network;
  const [count, width] = [events.length, items.columns];
  if (count === 0)
    return {
      scores: bias.map((own) => own.slice()),
      self: Array.from({ length: network.heads }, () => table(0, 0)),
      cross: Array.from({ length: network.heads }, () => table(queries.rows, 0)),
    };
  const x = table(count, width);
  events.forEach((event, at) => {
    for (let d = 0; d < width; d++)
      x.at[at * width + d] =
        items.at[(event.item - 1) * width + d] +
        bought.at[Number(event.bought) * width + d] +
        place.at[(count - 1 - at) * width + d];
  });
  const own = normalised(network.norms[0], x);
  const looked = attend(network.attention, through(network.attention.query, own), own, network.heads);
  x.at.forEach((_, at) => (x.at[at] += looked.output.at[at]));
  const fed = through(network.narrow, gelu(through(network.wide, normalised(network.norms[1], x))));
  x.at.forEach((_, at) => (x.at[at] += fed.at[at]));
  const read = normalised(network.norm, x);
  const asked = attend(network.cross, queries, read, network.heads);
  const scores = keys.map((own, a) =>
    bias[a].map((start, item) => {
      let sum = 0;
      for (let d = item * width; d < (item + 1) * width; d++) sum += asked.output.at[d] * own.at[d];
      return start + sum / Math.sqrt(width);
    }),
  );
  return { scores, self: looked.weights, cross: asked.weights };
}
