/** The range of a page, as its address says it: `from=now-3h&to=now`, or RFC 3339. Seconds. */

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86400, w: 604800, y: 31536000 };

export interface Range {
  readonly from: string;
  readonly to: string;
}

/** Seconds of a length like `3h`; NaN when it is none. */
export function length(text: string): number {
  const match = /^(\d+(?:\.\d+)?)([smhdwy])$/.exec(text);
  return match ? Number(match[1]) * (UNITS[match[2] ?? ""] ?? NaN) : NaN;
}

/** Unix seconds of `now`, `now-3h`, a number or RFC 3339; NaN when it is none. */
export function seconds(text: string, now: number): number {
  if (text === "now") return now;
  if (text.startsWith("now-")) return now - length(text.slice(4));
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
  return Date.parse(text) / 1000;
}

/** A moment as the address says it, to the second. */
export function written(time: number): string {
  return new Date(Math.round(time) * 1000).toISOString().replace(".000Z", "Z");
}

/** The length of a range that ends now, as `3h`; "" when it is another range. */
export function relative(range: Range): string {
  return range.to === "now" && range.from.startsWith("now-") ? range.from.slice(4) : "";
}

/** A length in its greatest whole unit: 10800 -> 3h. */
export function shortened(length: number): string {
  const whole = Math.max(1, Math.round(length));
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["m", 60]] as const) {
    if (whole % size === 0) return `${whole / size}${unit}`;
  }
  return `${whole}s`;
}

/** The same range, `factor` times as long (around its middle, or up to now). A live range stays live. */
export function scaled(range: Range, factor: number, now: number, center?: number): Range {
  const begin = seconds(range.from, now);
  const end = seconds(range.to, now);
  const size = Math.max(10, (end - begin) * factor);
  if (relative(range) && center === undefined) return { from: `now-${shortened(size)}`, to: "now" };
  const middle = center ?? (begin + end) / 2;
  return bounded(middle - size / 2, middle + size / 2, now);
}

/** The range moved by a share of its length. */
export function moved(range: Range, share: number, now: number): Range {
  const begin = seconds(range.from, now);
  const end = seconds(range.to, now);
  const by = (end - begin) * share;
  if (end + by >= now) return { from: `now-${shortened(end - begin)}`, to: "now" };
  return { from: written(begin + by), to: written(end + by) };
}

/** A range between two moments that does not reach into the future. */
export function bounded(begin: number, end: number, now: number): Range {
  if (end >= now) return { from: written(Math.max(0, begin)), to: "now" };
  return { from: written(Math.max(0, begin)), to: written(end) };
}
