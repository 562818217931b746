/**
 * Painting the smoke: where each point stands on the canvas, and in which colours.
 *
 * Three things never look alike: total loss (full height, red), no data (full height, hatched grey) and an answer.
 */

import type uPlot from "uplot";
import type { Series, SeriesReply } from "./api";
import { data } from "./data";
import { isDark } from "./theme";

export interface Colors {
  readonly card: string;
  readonly ink: string;
  readonly soft: string;
  readonly grid: string;
  readonly down: string;
  readonly downEdge: string;
  readonly hatch: string;
  readonly nodata: string;
  readonly smoke: readonly string[];
}

/** Colours of agents that have none of their own. */
const AGENTS = ["#1f77b4", "#e377c2", "#2ca02c", "#ff7f0e", "#9467bd", "#17becf", "#bcbd22", "#8c564b"] as const;
const AGENTS_DARK = ["#5fb0ec", "#f29fd6", "#5fd068", "#ffab5c", "#b79be6", "#4fd8e6", "#d8d94f", "#c99a8d"] as const;

/** How light a line on a dark page is at least, of 1. */
const LEAST_LIGHT = 0.45;

export function agentColor(color: string, place: number): string {
  if (/^[0-9a-fA-F]{6}$/.test(color)) return isDark() ? lifted(color) : `#${color}`;
  const list = isDark() ? AGENTS_DARK : AGENTS;
  return list[place % list.length] ?? list[0];
}

/** A configured colour on a dark page: what is too dark to be seen there is mixed with white. */
function lifted(color: string): string {
  const parts = [0, 2, 4].map((at) => parseInt(color.slice(at, at + 2), 16));
  const [red = 0, green = 0, blue = 0] = parts;
  const light = (0.299 * red + 0.587 * green + 0.114 * blue) / 255;
  const share = Math.max(0, (LEAST_LIGHT - light) / (1 - light));
  return `rgb(${parts.map((part) => Math.round(part + (255 - part) * share)).join(",")})`;
}

/** Light on paper is dark on a dark page: the innermost smoke stands out most in both. */
function shade(grey: number, dark: boolean): string {
  if (!dark) return `rgb(${grey},${grey},${grey})`;
  const depth = (240 - grey) / 190;
  const mix = (from: number, to: number): number => Math.round(from + (to - from) * depth);
  return `rgb(${mix(28, 158)},${mix(35, 168)},${mix(43, 178)})`;
}

export function colors(): Colors {
  const dark = isDark();
  const style = getComputedStyle(document.documentElement);
  const of = (name: string): string => style.getPropertyValue(name).trim();
  return {
    card: of("--card"),
    ink: of("--ink"),
    soft: of("--soft"),
    grid: dark ? "rgba(255,255,255,.07)" : "rgba(20,30,40,.10)",
    down: dark ? "rgba(255,50,60,.30)" : "rgba(230,20,30,.22)",
    downEdge: dark ? "#ff4a50" : "#b00010",
    hatch: dark ? "rgba(150,165,180,.30)" : "rgba(90,105,120,.28)",
    nodata: dark ? "rgba(150,165,180,.07)" : "rgba(90,105,120,.07)",
    smoke: data.palette.layers.map(([, , grey]) => shade(grey, dark)),
  };
}

/** Which colour of loss a share has; -1 when it is not known. */
export function lossClass(sent: number, received: number): number {
  if (sent === 0) return -1;
  if (received === 0) return data.palette.loss.length - 1;
  const share = (sent - received) / sent;
  const found = data.palette.loss.findIndex(([most]) => share <= most);
  return found < 0 ? data.palette.loss.length - 1 : found;
}

export const lossColor = (place: number): string => `#${data.palette.loss[place]?.[1] ?? "808080"}`;

export interface Block {
  readonly point: number;
  readonly left: number;
  readonly width: number;
}

export interface Gap {
  readonly begin: number;
  readonly end: number;
}

/** End of each point, Unix seconds: where the next begins when they touch, else a step later. */
export function pointEnd(series: Series, k: number): number {
  const begin = series.time[k] ?? 0;
  const next = series.time[k + 1];
  const end = begin + series.step;
  return next !== undefined && (next < end || next - end < 0.3 * series.step) ? next : end;
}

/** Where each point stands, in canvas pixels. Neighbours share their border, so nothing shines through. */
export function blocks(u: uPlot, series: Series): Block[] {
  const { left, width } = u.bbox;
  const bound = (time: number): number =>
    Math.max(left, Math.min(left + width, Math.round(u.valToPos(time, "x", true))));
  const result: Block[] = [];
  for (let k = 0; k < series.time.length; k++) {
    const begin = bound(series.time[k] ?? 0);
    const end = bound(pointEnd(series, k));
    if (end > left && begin < left + width) result.push({ point: k, left: begin, width: Math.max(1, end - begin) });
  }
  return result;
}

/** Stretches without a point in the range asked for; the newest round may still be under way, or wait for its upload. */
export function gaps(series: Series, { begin, end, now, upload_interval: delay }: SeriesReply): Gap[] {
  const found: Gap[] = [];
  const count = series.time.length;
  let covered = begin;
  for (let k = 0; k < count; k++) {
    const start = series.time[k] ?? 0;
    // The round under way at the begin of the range began before it.
    if (start - covered > (k === 0 ? 1.05 : 0.5) * series.step) found.push({ begin: covered, end: start });
    covered = Math.max(covered, pointEnd(series, k));
  }
  const last = Math.min(end, now);
  const grace = end >= now - 1 ? 2 * series.step + 5 + delay : 0.5 * series.step;
  if (last - covered > grace) found.push({ begin: covered, end: last });
  return found;
}

export function hatching(ctx: CanvasRenderingContext2D, colors: Colors, ratio: number): CanvasPattern | string {
  const size = Math.round(8 * ratio);
  const tile = document.createElement("canvas");
  tile.width = tile.height = size;
  const pen = tile.getContext("2d");
  if (!pen) return colors.nodata;
  pen.fillStyle = colors.nodata;
  pen.fillRect(0, 0, size, size);
  pen.strokeStyle = colors.hatch;
  pen.lineWidth = 1.2 * ratio;
  for (const shift of [-size, 0, size]) {
    pen.beginPath();
    pen.moveTo(shift, size);
    pen.lineTo(shift + size, 0);
    pen.stroke();
  }
  return ctx.createPattern(tile, "repeat") ?? colors.nodata;
}
