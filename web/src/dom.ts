/** Elements, made in one expression. */

type Attributes = Record<string, string | number | boolean | ((event: Event) => void)>;

/**
 * An element with attributes and children. Functions become listeners (`click`, `input`), `true`
 * an empty attribute, and `false` none. Text is text: nothing is parsed as HTML.
 */
export function make<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key, value);
    else if (value !== false) element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children);
  return element;
}

/** A share as per cent, without a decimal from ten on. */
export const percent = (value: number): string =>
  `${(100 * value).toFixed(Math.abs(value) < 0.0995 ? 1 : 0)}%`;

/** A number with its sign. */
export const signed = (value: number, decimals: number): string =>
  `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(decimals)}`;
