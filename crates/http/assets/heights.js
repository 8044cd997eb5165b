// The heights of many chunks, with the sum up to each one in logarithmic time: a Fenwick tree.

export class Heights {
  #tree;
  #values;

  constructor(count, estimate) {
    this.count = 0;
    this.total = 0;
    this.estimate = estimate;
    this.#allocate(Math.max(16, count));
    this.grow(count);
  }

  #allocate(capacity) {
    const values = new Float64Array(capacity);
    if (this.#values) values.set(this.#values.subarray(0, this.count));
    this.#values = values;
    this.#tree = new Float64Array(capacity + 1);
    for (let at = 0; at < this.count; at++) this.#tree[at + 1] += values[at];
    for (let at = 1; at <= capacity; at++) {
      const parent = at + (at & -at);
      if (parent <= capacity) this.#tree[parent] += this.#tree[at];
    }
  }

  /** Adds chunks of the estimated height at the end. */
  grow(count) {
    if (count > this.#values.length) this.#allocate(Math.max(count, this.#values.length * 2));
    for (let at = this.count; at < count; at++) this.#add(at, this.estimate);
    this.count = Math.max(this.count, count);
  }

  #add(at, height) {
    this.#values[at] += height;
    this.total += height;
    for (let node = at + 1; node < this.#tree.length; node += node & -node) this.#tree[node] += height;
  }

  get(at) {
    return this.#values[at];
  }

  set(at, height) {
    this.#add(at, height - this.#values[at]);
  }

  /** Returns the sum of the heights before a chunk. */
  before(at) {
    let sum = 0;
    for (let node = at; node > 0; node -= node & -node) sum += this.#tree[node];
    return sum;
  }

  /** Returns the chunk at a distance from the top. */
  find(y) {
    let [at, rest] = [0, y];
    let step = 1 << (31 - Math.clz32(this.#tree.length));
    for (; step > 0; step >>= 1) {
      const next = at + step;
      if (next < this.#tree.length && this.#tree[next] <= rest) [at, rest] = [next, rest - this.#tree[next]];
    }
    return Math.max(0, Math.min(at, this.count - 1));
  }
}
