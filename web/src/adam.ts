/** Adam (Kingma and Ba, 2015, algorithm 1), on plain arrays; the constants are optax's. */

export type Numbers = Float32Array<ArrayBuffer>;
export type Named = Record<string, Numbers>;

const B1 = 0.9;
const B2 = 0.999;
const TINY = 1e-8;

export class Adam {
  private readonly first: Named;
  private readonly second: Named;
  private steps = 0;

  constructor(
    readonly values: Named,
    private readonly rate: number,
  ) {
    const zeros = (): Named =>
      Object.fromEntries(Object.entries(values).map(([name, own]) => [name, new Float32Array(own.length)]));
    this.first = zeros();
    this.second = zeros();
  }

  /** One step down the gradient, in place. */
  step(gradient: Record<string, ArrayLike<number>>): void {
    this.steps++;
    const whole1 = 1 - B1 ** this.steps;
    const whole2 = 1 - B2 ** this.steps;
    for (const [name, own] of Object.entries(this.values)) {
      const [slope, first, second] = [gradient[name], this.first[name], this.second[name]];
      for (let at = 0; at < own.length; at++) {
        first[at] = B1 * first[at] + (1 - B1) * slope[at];
        second[at] = B2 * second[at] + (1 - B2) * slope[at] ** 2;
        own[at] -= (this.rate * (first[at] / whole1)) / (Math.sqrt(second[at] / whole2) + TINY);
      }
    }
  }
}
