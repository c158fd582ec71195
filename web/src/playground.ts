/** The store, live: a page on which the reader is the customer. */

import { make, percent, signed } from "./dom";
import { SHELVES, Store, type PageData, type Product, type Shelf, type Shown } from "./model";
import type { Happened } from "./store";

const SHELF_NAMES: Record<Shelf, string> = {
  log: "trained on the log",
  causal: "trained to tell effects",
  oracle: "knows everything",
};
const ON_A_SHELF = 3;
const FOUND = 8;

interface State {
  history: Happened[];
  person: number;
  confounded: boolean;
  chosen: number | null;
  sought: string;
}

class Page {
  private state: State;
  private past: Happened[][] = [];
  private readonly parts: Record<"history" | "found" | "shelves" | "looks" | "bars" | "said", HTMLElement>;

  constructor(
    private readonly root: HTMLElement,
    private readonly store: Store,
  ) {
    this.state = { history: [...store.people[0].history], person: 0, confounded: true, chosen: null, sought: "" };
    const part = (name: string): HTMLElement => make("div", { class: `live-${name}` });
    this.parts = {
      history: part("history"),
      found: part("found"),
      shelves: part("shelves"),
      looks: part("looks"),
      bars: part("bars"),
      said: make("p", { class: "live-said", role: "status" }),
    };
    this.root.replaceChildren(...this.frame());
    this.show();
  }

  /** What stays while the rest is drawn again. */
  private frame(): HTMLElement[] {
    const people = this.store.people.map((person, number) =>
      make("option", { value: number }, person.label),
    );
    const choose = make(
      "select",
      { id: "live-person", change: (event) => this.become(Number((event.target as HTMLSelectElement).value)) },
      ...people,
    );
    const intent = make("input", {
      type: "checkbox",
      id: "live-confounded",
      checked: true,
      change: (event) => {
        this.state.confounded = (event.target as HTMLInputElement).checked;
        this.show();
      },
    });
    const seek = make("input", {
      type: "search",
      id: "live-seek",
      autocomplete: "off",
      placeholder: "cushion, red, star …",
      input: (event) => {
        this.state.sought = (event.target as HTMLInputElement).value;
        this.showFound();
      },
    });
    return [
      make(
        "div",
        { class: "live-controls" },
        make("label", { for: "live-person" }, "You are ", choose),
        make("label", { for: "live-confounded" }, intent, " the campaign is shown to those who came to buy"),
      ),
      this.section("Your history", "oldest first", this.parts.history),
      this.section(
        "Look at something",
        "",
        make("label", { for: "live-seek" }, `Search the ${this.store.products.length} products `, seek),
        this.parts.found,
      ),
      this.parts.said,
      this.section("What each would show you", "choose a product to look closer", this.parts.shelves),
      this.section("Where the network looks", "", this.parts.looks),
      this.section("Take one event away", "", this.parts.bars),
    ];
  }

  private section(title: string, note: string, ...children: HTMLElement[]): HTMLElement {
    const small = note ? [make("span", { class: "live-note" }, ` ${note}`)] : [];
    return make("section", {}, make("p", { class: "live-title", role: "heading", "aria-level": 3 }, title, ...small), ...children);
  }

  /** How many events the shop remembers. */
  private get memory(): number {
    return this.store.shop.constants.length;
  }

  private get taste(): number[] {
    return this.store.people[this.state.person].taste;
  }

  private become(person: number): void {
    this.state = { ...this.state, person, chosen: null, history: [...this.store.people[person].history] };
    this.past = []; // what another person did is not hers to take back
    this.show();
  }

  /** Take a new history; the shop remembers its newest events. */
  private change(history: Happened[]): void {
    this.past.push(this.state.history);
    this.state.history = history.slice(-this.memory);
    this.show();
  }

  private undo(): void {
    const before = this.past.pop();
    if (!before) return;
    this.state.history = before;
    this.show();
  }

  private product(event: Happened): Product {
    return this.store.products[event.item - 1];
  }

  /** Draw everything again, and give the focus back to what had it. */
  private show(): void {
    const key = (document.activeElement as HTMLElement | null)?.dataset?.key;
    this.showHistory();
    this.showFound();
    const top = this.showShelves();
    const item = this.state.chosen ?? top.causal[0].product.id;
    this.showLooks(item);
    this.showBars(item);
    const named = SHELVES.map((shelf) => `${SHELF_NAMES[shelf]}: ${top[shelf][0].product.name}`);
    this.parts.said.textContent = `In the slot now – ${named.join("; ")}.`;
    if (key) this.root.querySelector<HTMLElement>(`[data-key="${key}"]`)?.focus();
  }

  private showHistory(): void {
    const { history } = this.state;
    const last = history.length - 1;
    const swap = (at: number, to: number): void => {
      const changed = [...history];
      [changed[at], changed[to]] = [changed[to], changed[at]];
      this.change(changed);
    };
    const rows = history.map((event, at) => {
      const name = this.product(event).name;
      const button = (key: string, label: string, said: string, off: boolean, act: () => void) =>
        make(
          "button",
          { type: "button", "data-key": `${key}-${at}`, "aria-label": `${said}: ${name}`, disabled: off, click: act },
          label,
        );
      return make(
        "li",
        {},
        make("span", { class: "live-name" }, name),
        make(
          "button",
          {
            type: "button",
            "data-key": `bought-${at}`,
            "aria-pressed": String(event.bought),
            class: "live-bought",
            click: () => this.change(history.map((e, i) => (i === at ? { ...e, bought: !e.bought } : e))),
          },
          event.bought ? "bought" : "viewed",
        ),
        button("up", "↑", "earlier", at === 0, () => swap(at, at - 1)),
        button("down", "↓", "later", at === last, () => swap(at, at + 1)),
        button("drop", "×", "remove", false, () => this.change(history.filter((_, i) => i !== at))),
      );
    });
    const empty = make("p", {}, "Nothing yet: you are new here.");
    this.parts.history.replaceChildren(
      rows.length ? make("ol", {}, ...rows) : empty,
      make(
        "p",
        { class: "live-buttons" },
        make("button", { type: "button", "data-key": "undo", disabled: !this.past.length, click: () => this.undo() }, "Undo"),
        make("button", { type: "button", "data-key": "clear", disabled: !history.length, click: () => this.change([]) }, "Forget all"),
        make("button", { type: "button", "data-key": "turn", disabled: history.length < 2, click: () => this.change(history.toReversed()) }, "Turn the order round"),
        ` ${history.length} of ${this.memory} events`,
      ),
    );
  }

  private showFound(): void {
    const words = this.state.sought.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = this.store.products.filter((product) =>
      words.every((word) => `${product.name} ${product.category}`.toLowerCase().includes(word)),
    );
    const rows = fits.slice(0, FOUND).map((product) => {
      const act = (bought: boolean) => () => this.change([...this.state.history, { item: product.id, bought }]);
      return make(
        "li",
        {},
        make("span", { class: "live-name" }, product.name),
        make("button", { type: "button", "data-key": `view-${product.id}`, "aria-label": `look at ${product.name}`, click: act(false) }, "look"),
        make("button", { type: "button", "data-key": `buy-${product.id}`, "aria-label": `buy ${product.name}`, click: act(true) }, "buy"),
      );
    });
    const more = fits.length - rows.length;
    const note = fits.length ? (more ? `and ${more} more: type to narrow` : "") : "Nothing of that name.";
    this.parts.found.replaceChildren(make("ul", {}, ...rows), make("p", { class: "live-note" }, note));
  }

  private showShelves(): Record<Shelf, Shown[]> {
    const { history, confounded } = this.state;
    const all = Object.fromEntries(
      SHELVES.map((shelf) => [shelf, this.store.shelf(shelf, history, this.taste, confounded, ON_A_SHELF)]),
    ) as Record<Shelf, Shown[]>;
    this.parts.shelves.replaceChildren(
      ...SHELVES.map((shelf) =>
        make(
          "div",
          { class: "live-shelf" },
          make("p", { class: "live-shelf-name" }, SHELF_NAMES[shelf]),
          make("ol", {}, ...all[shelf].map((shown) => make("li", {}, this.card(shelf, shown)))),
        ),
      ),
    );
    return all;
  }

  private card(shelf: Shelf, { product, shown, not, money, anyway }: Shown): HTMLElement {
    return make(
      "button",
      {
        type: "button",
        class: "live-card",
        "data-key": `card-${shelf}-${product.id}`,
        "aria-pressed": String(this.state.chosen === product.id),
        click: () => {
          this.state.chosen = this.state.chosen === product.id ? null : product.id;
          this.show();
        },
      },
      make("strong", {}, product.name),
      make("span", {}, `bought anyway ${percent(not)}, if shown ${percent(shown)}`),
      make("span", { class: "live-worth" }, `showing it adds ${money.toFixed(2)} in money; ${percent(anyway)} of its sales would have come anyway`),
    );
  }

  private showLooks(item: number): void {
    const { history, confounded } = this.state;
    if (!history.length) {
      this.parts.looks.replaceChildren(make("p", {}, "There is nothing to look at: every score is the product's own bias."));
      return;
    }
    const said = this.store.say("causal", history, confounded);
    const name = this.store.products[item - 1].name;
    const columns = history.map((event, at) =>
      make("th", { scope: "col", title: this.product(event).name }, String(at + 1)),
    );
    // by the root: shares of sixteen events would hardly be told apart otherwise
    const cell = (share: number): HTMLElement =>
      make("td", { style: `--share: ${Math.sqrt(share).toFixed(3)}` }, (100 * share).toFixed(0));
    const row = (label: string, shares: Float32Array): HTMLElement =>
      make("tr", {}, make("th", { scope: "row" }, label), ...Array.from(shares, cell));
    const matrix = (caption: string, rows: HTMLElement[]): HTMLElement[] => [
      make("p", {}, `${caption}.`),
      make(
        "div",
        { class: "live-scroll", tabindex: 0, role: "region", "aria-label": caption },
        make(
          "table",
          { class: "live-matrix", "aria-label": caption },
          make("thead", {}, make("tr", {}, make("td", {}), ...columns.map((column) => column.cloneNode(true)))),
          make("tbody", {}, ...rows),
        ),
      ),
    ];
    const of = (head: { columns: number; at: Float32Array }, place: number): Float32Array =>
      head.at.subarray(place * head.columns, (place + 1) * head.columns);
    const cross = said.cross.map((head, h) => row(`head ${h + 1}`, of(head, item - 1)));
    const self = said.self.flatMap((head, h) =>
      matrix(
        `Self-attention, layer 1, head ${h + 1}: from each event (row) to each event (column), per cent`,
        history.map((_, place) => row(String(place + 1), of(head, place))),
      ),
    );
    this.parts.looks.replaceChildren(
      ...matrix(`Cross-attention: from ${name} to each event of your history, per cent`, cross),
      make("p", { class: "live-note" }, "A number is the share of the sum that is read from there. It is what the network computes with. It is not what moved you, and not what would move you."),
      make("details", {}, make("summary", {}, "Self-attention, event by event"), ...self),
    );
  }

  private showBars(item: number): void {
    const { history, confounded } = this.state;
    if (!history.length) {
      this.parts.bars.replaceChildren(make("p", {}, "Look at something first."));
      return;
    }
    const found = this.store.explain(history, this.taste, item, confounded);
    const largest = (values: number[]): number => Math.max(1e-9, ...values.map(Math.abs));
    const scale = {
      attention: largest(found.map((one) => one.attention)),
      chance: largest(found.flatMap((one) => [one.model, one.person])),
    };
    const bar = (value: number, most: number, text: string): HTMLElement =>
      make(
        "td",
        {},
        make("span", { class: value < 0 ? "live-bar live-negative" : "live-bar", style: `--share: ${(Math.abs(value) / most).toFixed(3)}`, "aria-hidden": "true" }),
        make("span", { class: "live-value" }, text),
      );
    const points = (value: number): string => (value === 0 ? "0" : signed(100 * value, 2));
    const rows = found.map((one, at) =>
      make(
        "tr",
        {},
        make("th", { scope: "row" }, `${at + 1}. ${this.product(history[at]).name}`),
        bar(one.attention, scale.attention, percent(one.attention)),
        bar(one.model, scale.chance, points(one.model)),
        bar(one.person, scale.chance, points(one.person)),
      ),
    );
    const name = this.store.products[item - 1].name;
    const heads = ["event", "attention", "it moves the network", "it moves you"].map((head) => make("th", { scope: "col" }, head));
    this.parts.bars.replaceChildren(
      make("p", { id: "live-effects-say" }, `What each event does for ${name}: its share of attention; by how many percentage points the network's chance of a purchase if shown rises with it; and by how many yours does.`),
      make(
        "div",
        { class: "live-scroll", tabindex: 0, role: "region", "aria-label": "Each event, three ways" },
        make(
          "table",
          { class: "live-effects", "aria-describedby": "live-effects-say" },
          make("thead", {}, make("tr", {}, ...heads)),
          make("tbody", {}, ...rows),
        ),
      ),
    );
  }
}

declare global {
  interface Window {
    recflaxStore?: Store;
  }
}

function start(): void {
  const root = document.getElementById("store-live");
  const data = document.getElementById("store-live-data");
  if (!root || !data?.textContent) return;
  const store = new Store(JSON.parse(data.textContent) as PageData);
  window.recflaxStore = store;
  new Page(root, store);
  document.documentElement.classList.add("store-live-runs");
}

if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
else start();
