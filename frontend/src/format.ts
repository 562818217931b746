/** Numbers and times as people read them; the same rules as the server's `screen.py`. */

import { t } from "./data";

type Unknown = number | null | undefined;

function digits(value: number): string {
  if (value === 0) return "0";
  return value.toFixed(Math.max(0, 2 - Math.max(0, Math.floor(Math.log10(value)))));
}

/** An RTT. */
export function duration(seconds: Unknown): string {
  if (seconds == null || Number.isNaN(seconds)) return "–";
  if (seconds >= 0.9995) return `${digits(seconds)} s`;
  return seconds >= 99.95e-6 || seconds === 0 ? `${digits(seconds * 1e3)} ms` : `${digits(seconds * 1e6)} µs`;
}

/** A loss; what is not nothing never reads as nothing, and what is not total never as total. */
export function percent(share: Unknown): string {
  if (share == null || Number.isNaN(share)) return "–";
  const value = share * 100;
  if (value === 0 || value === 100) return `${value} %`;
  if (value < 0.01) return "<0.01 %";
  const text = value < 10 || value > 99 ? Math.min(value, 99.99).toFixed(2) : value.toFixed(1);
  return `${text.replace(/\.?0+$/, "")} %`;
}

/** A length of time in its two greatest units. */
export function span(seconds: number): string {
  if (seconds < 60) return `${Number(seconds.toPrecision(3))} ${t("unit_s")}`;
  const whole = Math.round(seconds);
  const parts: [number, string][] = [
    [Math.floor(whole / 86400), t("unit_d")],
    [Math.floor(whole / 3600) % 24, t("unit_h")],
    [Math.floor(whole / 60) % 60, t("unit_min")],
    [whole % 60, t("unit_s")],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(" ");
}

const two = (value: number): string => String(value).padStart(2, "0");

/** `2026-11-21`, in the browser's time zone. */
export function day(time: number): string {
  const d = new Date(time * 1000);
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
}

/** `10:05` or `10:05:30`, in the browser's time zone. */
export function clock(time: number, seconds = false): string {
  const d = new Date(time * 1000);
  return `${two(d.getHours())}:${two(d.getMinutes())}${seconds ? `:${two(d.getSeconds())}` : ""}`;
}

/** A moment; seconds only where they matter. */
export function moment(time: number, step = 1): string {
  return step >= 86400 ? day(time) : `${day(time)} ${clock(time, step % 60 !== 0 || time % 60 !== 0)}`;
}

/** A stretch of time; the day is not said twice. */
export function stretch(begin: number, end: number): string {
  const short = end - begin < 600;
  const last = day(begin) === day(end) ? clock(end, short) : `${day(end)} ${clock(end, short)}`;
  return `${day(begin)} ${clock(begin, short)} – ${last}`;
}

/** The browser's time zone, as `Europe/Zurich (UTC+1)`. */
export function zone(): string {
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const offset = -new Date().getTimezoneOffset();
  const sign = offset < 0 ? "−" : "+";
  const minutes = Math.abs(offset) % 60;
  const text = `UTC${sign}${Math.floor(Math.abs(offset) / 60)}${minutes ? `:${two(minutes)}` : ""}`;
  return name === "UTC" ? "UTC" : `${name} (${text})`;
}

/** Labels of a time axis: the date stands under the first label and wherever the day changes. */
export function axisTimes(splits: readonly number[], step: number): string[] {
  let before = "";
  return splits.map((time) => {
    const date = day(time);
    const changed = date !== before;
    before = date;
    if (step >= 28 * 86400) return date.slice(0, 7);
    if (step >= 86400) return date.slice(5);
    const label = clock(time, step < 60);
    return changed ? `${label}\n${date.slice(5)}` : label;
  });
}

/** Labels of an RTT axis, all in the unit of the largest. */
export function axisDurations(splits: readonly (number | null)[]): string[] {
  const most = Math.max(...splits.map((value) => value ?? 0));
  const [scale, unit] = most >= 1 ? [1, "s"] : most >= 1e-3 ? [1e3, "ms"] : [1e6, "µs"];
  return splits.map((value) =>
    value == null ? "" : value === 0 ? "0" : `${Number((value * scale).toPrecision(4))} ${unit}`,
  );
}
