// The text format of Prometheus, as far as the metrics of this server use it.

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/** Returns the samples: `name`, `labels` and `value`. */
export function parseMetrics(text) {
  const samples = [];
  for (const line of text.split("\n")) {
    const found = line.startsWith("#") ? null : SAMPLE.exec(line);
    if (!found) continue;
    const labels = Object.fromEntries([...(found[2] ?? "").matchAll(LABEL)].map(([, name, value]) => [name, value]));
    samples.push({ name: found[1], labels, value: Number(found[3]) });
  }
  return samples;
}

/** Returns the value of a sample without labels. */
export function single(samples, name) {
  return samples.find((sample) => sample.name === name)?.value;
}

/** Returns the counters of each route, the most requested first. */
export function routesOf(samples) {
  const routes = new Map();
  const of = (route) => {
    if (!routes.has(route)) routes.set(route, { route, requests: 0, failures: 0, refusals: 0, inFlight: 0, buckets: [], sum: 0, count: 0 });
    return routes.get(route);
  };
  for (const { name, labels, value } of samples) {
    if (labels.route === undefined) continue;
    const row = of(labels.route);
    if (name === "throughline_http_requests_total") {
      row.requests += value;
      // 501 says that the store has no such operation, and not that it failed.
      if (labels.status >= "500" && labels.status !== "501") row.failures += value;
      else if (labels.status >= "400") row.refusals += value;
    } else if (name === "throughline_http_requests_in_flight") row.inFlight = value;
    else if (name.endsWith("_duration_seconds_bucket")) row.buckets.push([labels.le === "+Inf" ? Infinity : Number(labels.le), value]);
    else if (name.endsWith("_duration_seconds_sum")) row.sum = value;
    else if (name.endsWith("_duration_seconds_count")) row.count = value;
  }
  return [...routes.values()].filter((row) => row.requests > 0 || row.inFlight > 0).sort((a, b) => b.requests - a.requests);
}

/** Returns the upper bound of the bucket that holds a quantile, or undefined without requests. */
export function quantile({ buckets, count }, part) {
  if (count === 0) return undefined;
  return buckets.find(([, below]) => below >= count * part)?.[0];
}
