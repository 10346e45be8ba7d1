// What was read over the last minutes, for plots. It begins with the page and is nobody's record: the server keeps
// readings, not their course.

export const POINTS_MAX = 600;

/// Points in time, each with a number for every name. A name that a point does not have was 0 then.
export class History {
  readonly #times: number[] = [];
  readonly #points: Map<string, number>[] = [];
  /// What those have that have no name.
  readonly #rest: number[] = [];

  add(atMs: number, point: Map<string, number>, rest: number): void {
    this.#times.push(atMs / 1_000);
    this.#points.push(point);
    this.#rest.push(rest);
    if (this.#times.length > POINTS_MAX) {
      this.#times.shift();
      this.#points.shift();
      this.#rest.shift();
    }
  }

  get length(): number {
    return this.#times.length;
  }

  get times(): readonly number[] {
    return this.#times;
  }

  series(name: string): number[] {
    return this.#points.map((point) => point.get(name) ?? 0);
  }

  /// The names with the largest sums, largest first.
  largest(most: number): string[] {
    const sums = new Map<string, number>();
    for (const point of this.#points) {
      for (const [name, value] of point) {
        sums.set(name, (sums.get(name) ?? 0) + value);
      }
    }
    const order = [...sums].filter(([, sum]) => sum > 0);
    order.sort(([oneName, one], [otherName, other]) => other - one || oneName.localeCompare(otherName));
    return order.slice(0, most).map(([name]) => name);
  }

  /// What all names but these have, point by point.
  others(named: readonly string[]): number[] {
    const known = new Set(named);
    return this.#points.map((point, index) => {
      let sum = this.#rest[index] ?? 0;
      for (const [name, value] of point) {
        sum += known.has(name) ? 0 : value;
      }
      return sum;
    });
  }
}
