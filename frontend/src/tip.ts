/** What a point of the graph says, beside the cursor; read aloud when it is reached by key. */

import type { Series } from "./api";
import { pointAt } from "./chart";
import { data, t } from "./data";
import { clock, day, duration, moment, percent } from "./format";
import { agentColor } from "./paint";

const QUARTER = 5;
const THREE_QUARTERS = 15;

export class Tip {
  private readonly box = document.createElement("div");
  private readonly mark = document.createElement("div");
  private shown: readonly Series[] = [];
  private places: readonly number[] = [];
  private left = 0;
  time: number | null = null;

  constructor(
    private readonly over: HTMLElement,
    private readonly host: HTMLElement,
  ) {
    this.box.className = "tip";
    this.box.hidden = true;
    this.mark.className = "tip-mark";
    this.mark.hidden = true;
    host.append(this.box);
    over.append(this.mark);
  }

  refresh(shown: readonly Series[], places: readonly number[]): void {
    this.shown = shown;
    this.places = places;
    if (this.time !== null) this.show(this.left, this.time);
  }

  hide(): void {
    this.box.hidden = true;
    this.mark.hidden = true;
    this.time = null;
  }

  remove(): void {
    this.box.remove();
    this.mark.remove();
  }

  /** Say what was measured at a moment, `left` pixels into the plot. */
  show(left: number, time: number, aloud = false): void {
    this.left = left;
    this.time = time;
    this.box.setAttribute("aria-live", aloud ? "polite" : "off");
    this.box.replaceChildren(...this.lines(time));
    this.box.hidden = false;
    this.mark.hidden = !aloud;
    this.mark.style.left = `${left}px`;
    this.place(left);
  }

  private place(left: number): void {
    const margin = this.over.offsetLeft;
    const width = this.box.offsetWidth;
    const right = margin + left + 16;
    const fits = right + width < this.host.clientWidth;
    const start = fits ? right : Math.max(0, margin + left - width - 16);
    this.box.style.left = `${Math.min(start, Math.max(0, this.host.clientWidth - width))}px`;
    this.box.style.top = "6px";
  }

  private lines(time: number): HTMLElement[] {
    const points = this.shown.map((series) => pointAt(series, time));
    const known = this.shown.findIndex((_, k) => points[k] !== null);
    const series = this.shown[known];
    const point = points[known];
    const head = document.createElement("b");
    head.textContent = series && point != null ? when(series, point) : moment(Math.round(time), 60);
    const parts: HTMLElement[] = [head];
    this.shown.forEach((one, k) => {
      if (this.shown.length > 1) parts.push(who(one, this.places[k] ?? k));
      parts.push(...describe(one, points[k] ?? null));
    });
    return parts;
  }
}

function when(series: Series, k: number): string {
  const begin = series.time[k] ?? 0;
  if ((series.rounds[k] ?? 1) <= 1 && series.level === "raw") return `${day(begin)} ${clock(begin, true)}`;
  const end = begin + series.step;
  const last = day(begin) === day(end) ? clock(end, series.step < 60) : moment(end, series.step);
  return `${moment(begin, series.step)} – ${last}`;
}

function who(series: Series, place: number): HTMLElement {
  const line = document.createElement("span");
  line.className = "who";
  const swatch = document.createElement("i");
  swatch.className = "swatch";
  swatch.style.background = agentColor(series.color, place);
  line.append(swatch, series.title);
  return line;
}

function note(text: string, kind: string): HTMLElement {
  const line = document.createElement("div");
  line.className = kind;
  line.textContent = text;
  return line;
}

function describe(series: Series, k: number | null): HTMLElement[] {
  if (k === null) return [note(t("tip_nodata"), "soft")];
  const rows: [string, string][] = [];
  const sent = series.sent[k] ?? 0;
  const received = series.received[k] ?? 0;
  const at = (column: readonly (number | null)[] | undefined): number | null => column?.[k] ?? null;
  if (received > 0) {
    rows.push([t("tip_median"), duration(at(series.median))]);
    rows.push([t("tip_middle"), `${duration(at(series.bands[QUARTER]))} – ${duration(at(series.bands[THREE_QUARTERS]))}`]);
    rows.push([t("tip_range"), `${duration(at(series.bands[0]))} – ${duration(at(series.bands[20]))}`]);
    rows.push([t("tip_mean"), `${duration(at(series.mean))} ± ${duration(at(series.deviation))}`]);
    if (at(series.jitter) !== null) rows.push([t("tip_jitter"), duration(at(series.jitter))]);
  }
  if (sent > 0) rows.push([t("tip_loss"), percent((sent - received) / sent)]);
  rows.push([t("tip_received"), t("tip_of", { received, sent })]);
  for (const name of ["late", "duplicates", "reordered", "errors"] as const) {
    const count = series[name][k] ?? 0;
    if (count > 0) rows.push([t(`tip_${name}`), String(count)]);
  }
  const list = document.createElement("dl");
  for (const [name, value] of rows) {
    const term = document.createElement("dt");
    const text = document.createElement("dd");
    term.textContent = name;
    text.textContent = value;
    list.append(term, text);
  }
  const result: HTMLElement[] = [list];
  if (sent > 0 && received === 0) result.unshift(note(t("tip_down"), "total"));
  const rounds = series.rounds[k] ?? 1;
  if (rounds > 1) result.push(note(t("tip_points", { count: rounds }), "soft"));
  const words = flagWords(series.flags[k] ?? 0);
  if (words.length > 0) result.push(note(words.join(", "), "notes"));
  return result;
}

/** The flags in words. */
export function flagWords(flags: number): string[] {
  return Object.entries(data.flags)
    .filter(([bit]) => (flags & Number(bit)) !== 0)
    .map(([, key]) => t(key));
}
