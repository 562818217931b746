/** One smoke graph on a canvas: uPlot's axes, scales and cursor, our painting. */

import uPlot from "uplot";
import type { Series, SeriesReply } from "./api";
import { data } from "./data";
import { axisDurations, axisTimes } from "./format";
import { agentColor, blocks, colors, gaps, hatching, lossClass, lossColor, type Block, type Colors } from "./paint";
import { Tip } from "./tip";

export type Scale = "auto" | "max" | "log";

export interface ChartOptions {
  readonly height: number;
  /** No axes, no cursor. */
  readonly mini?: boolean;
  readonly onZoom?: (begin: number, end: number) => void;
  readonly onZoomOut?: (center?: number) => void;
  readonly onMove?: (share: number) => void;
}

/** CSS pixels of one agent's strip of loss, with the line between two. */
const STRIP = { full: 6, mini: 4 } as const;
/** With more series than these their strips take room beside the plot, or get thinner, instead of taking it away. */
const FEW = { full: 3, mini: 4 } as const;

const FONT = '11px system-ui, -apple-system, "Segoe UI", Roboto, "PingFang SC", "Microsoft YaHei", sans-serif';

/** Of several agents: least to most, then the middle 80 %; [lower quantile, upper quantile, opacity]. */
const RIBBONS = [
  [0, 20, 0.13],
  [2, 18, 0.18],
] as const;

export class SmokeChart {
  private plot: uPlot | null = null;
  private reply: SeriesReply | null = null;
  private shown: readonly Series[] = [];
  private places: readonly number[] = [];
  private scale: Scale = "auto";
  private limits: [number, number] = [0, 1];
  private colors: Colors = colors();
  private tip: Tip | null = null;
  private width = 0;

  constructor(
    readonly element: HTMLElement,
    private readonly options: ChartOptions,
  ) {
    new ResizeObserver(() => this.resize()).observe(element);
    if (!options.mini) this.listen();
  }

  /** Show these series of a reply; `places` are the agents' numbers, for their colours. */
  show(
    reply: SeriesReply,
    shown: readonly Series[],
    places: readonly number[],
    scale: Scale,
    limits?: [number, number],
  ): void {
    const lanes = shown.length !== this.shown.length;
    const remade = this.plot !== null && (lanes || (scale === "log") !== (this.scale === "log"));
    this.reply = reply;
    this.shown = shown;
    this.places = places;
    this.scale = scale;
    this.limits = limits ?? verticalLimits(shown, scale);
    if (!this.plot || remade) this.make();
    else {
      this.plot.setData(this.columns(), false);
      this.plot.setScale("x", { min: reply.begin, max: reply.end });
      this.plot.setScale("y", { min: this.limits[0], max: this.limits[1] });
      this.tip?.refresh(this.shown, this.places);
    }
  }

  /** Paint again, in the colours of the theme of now. */
  repaint(): void {
    this.colors = colors();
    if (this.plot) this.make();
  }

  private columns(): uPlot.AlignedData {
    const first = this.shown[0];
    return first ? [first.time as number[], first.median as (number | null)[]] : [[], []];
  }

  private resize(): void {
    const width = Math.floor(this.element.clientWidth);
    if (width === this.width || width < 40) return;
    this.width = width;
    if (this.plot) this.plot.setSize({ width, height: this.height() });
    else if (this.reply) this.make();
  }

  private make(): void {
    this.width = Math.floor(this.element.clientWidth);
    if (this.width < 40) return;
    this.tip?.remove();
    this.plot?.destroy();
    this.plot = new uPlot(this.plotOptions(), this.columns(), this.element);
    if (!this.options.mini) {
      this.tip = new Tip(this.plot.over, this.element);
      this.tip.refresh(this.shown, this.places);
    }
  }

  private plotOptions(): uPlot.Options {
    const mini = this.options.mini ?? false;
    const axis = { stroke: this.colors.soft, font: FONT, grid: { stroke: this.colors.grid, width: 1 } };
    const ticks = { stroke: this.colors.grid, width: 1, size: 5 };
    const strips = this.strips();
    return {
      width: this.width,
      height: this.height(),
      padding: mini ? [2, 0, strips, 0] : [8, 8, 0, 0],
      legend: { show: false },
      scales: {
        x: { time: true, auto: false, range: () => [this.reply?.begin ?? 0, this.reply?.end ?? 1] },
        y: { auto: false, distr: this.scale === "log" ? 3 : 1, range: () => this.limits },
      },
      axes: mini
        ? [{ show: false }, { show: false }]
        : [
            { ...axis, ticks, space: 62, size: 38 + strips, gap: 5 + strips, values: (_, splits, __, ___, step) => axisTimes(splits, step) },
            { ...axis, ticks, space: 34, size: 62, values: (_, splits) => this.labels(splits) },
          ],
      series: [{}, { show: true, stroke: "transparent", paths: () => null, points: { show: false } }],
      cursor: mini ? { show: false } : this.cursorOptions(),
      hooks: {
        drawClear: [(u) => this.paintGround(u)],
        draw: [(u) => this.paintLines(u)],
        setSelect: [(u) => this.selected(u)],
        setCursor: [(u) => this.pointed(u)],
      },
    };
  }

  /** Labels of the vertical axis; without an answer there is nothing to measure on it. */
  private labels(splits: readonly (number | null)[]): string[] {
    const heard = this.shown.some((series) => series.summary.received > 0);
    return heard ? axisDurations(splits) : splits.map(() => "");
  }

  private cursorOptions(): uPlot.Cursor {
    return {
      y: false,
      points: { show: false },
      drag: { x: true, y: false, setScale: false, dist: 5 },
      bind: {
        dblclick: () => (event) => {
          const time = this.plot?.posToVal(event.offsetX, "x");
          this.options.onZoomOut?.(time);
          return null;
        },
      },
    };
  }

  private selected(u: uPlot): void {
    if (u.select.width < 5) return;
    const begin = u.posToVal(u.select.left, "x");
    const end = u.posToVal(u.select.left + u.select.width, "x");
    u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.options.onZoom?.(begin, end);
  }

  private pointed(u: uPlot): void {
    const left = u.cursor.left ?? -1;
    if (left < 0) this.tip?.hide();
    else this.tip?.show(left, u.posToVal(left, "x"));
  }

  // ------------------------------------------------------------ painting

  private paintGround(u: uPlot): void {
    const { ctx } = u;
    const { left, top, width, height } = u.bbox;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, top, width, height);
    ctx.clip();
    this.paintGaps(u);
    const single = this.shown.length === 1;
    for (const series of this.shown) if (single) this.paintSmoke(u, series);
    if (!single) this.shown.forEach((series, k) => this.paintRibbon(u, series, k));
    this.paintOutages(u);
    ctx.restore();
  }

  /** Hatched where no agent measured. */
  private paintGaps(u: uPlot): void {
    const reply = this.reply;
    if (!reply) return;
    const { ctx } = u;
    const { top, height } = u.bbox;
    const found = this.shown.map((series) => gaps(series, reply));
    ctx.fillStyle = hatching(ctx, this.colors, devicePixelRatio);
    for (const gap of common(found)) {
      const from = Math.round(u.valToPos(gap.begin, "x", true));
      const to = Math.round(u.valToPos(gap.end, "x", true));
      ctx.fillRect(from, top, Math.max(1, to - from), height);
    }
  }

  private paintSmoke(u: uPlot, series: Series): void {
    const { ctx } = u;
    const y = this.heights(u);
    const all = blocks(u, series);
    data.palette.layers.forEach(([low, high], layer) => {
      const under = series.bands[low];
      const over = series.bands[high];
      if (!under || !over) return;
      const path = new Path2D();
      for (const { point, left, width } of all) {
        const a = under[point];
        const b = over[point];
        if (a == null || b == null) continue;
        const high = y(b);
        path.rect(left, high, width, Math.max(0, y(a) - high));
      }
      ctx.fillStyle = this.colors.smoke[layer] ?? "#888";
      ctx.fill(path);
    });
  }

  /** With several agents: all pings of each faintly in its colour, their middle 80 % stronger. */
  private paintRibbon(u: uPlot, series: Series, k: number): void {
    const { ctx } = u;
    const y = this.heights(u);
    const all = blocks(u, series);
    ctx.fillStyle = this.agent(series, k);
    for (const [low, high, alpha] of RIBBONS) {
      const under = series.bands[low];
      const over = series.bands[high];
      if (!under || !over) continue;
      const path = new Path2D();
      for (const { point, left, width } of all) {
        const a = under[point];
        const b = over[point];
        if (a != null && b != null) path.rect(left, y(b), width, Math.max(1, y(a) - y(b)));
      }
      ctx.globalAlpha = alpha;
      ctx.fill(path);
    }
    ctx.globalAlpha = 1;
  }

  /** Full height, where every agent shown that measured lost every ping. */
  private paintOutages(u: uPlot): void {
    const { ctx } = u;
    const { top, height } = u.bbox;
    const edge = Math.round(3 * devicePixelRatio);
    const found = this.shown.flatMap((series) =>
      blocks(u, series).filter(({ point }) => {
        const middle = (series.time[point] ?? 0) + series.step / 2;
        return isDown(series, point) && !this.shown.some((other) => answersAt(other, middle));
      }),
    );
    for (const { left, width } of merged(found)) {
      ctx.fillStyle = this.colors.down;
      ctx.fillRect(left, top, width, height);
      ctx.fillStyle = this.colors.downEdge;
      ctx.fillRect(left, top, width, edge);
    }
  }

  private paintLines(u: uPlot): void {
    const { ctx } = u;
    const { left, top, width, height } = u.bbox;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, top, width, height);
    ctx.clip();
    const single = this.shown.length === 1;
    this.shown.forEach((series, k) => {
      const all = blocks(u, series);
      if (single) this.paintStairs(u, series, all, this.colors.ink, 0.5);
      this.paintMedian(u, series, all, single);
      // Of several agents the line keeps its colour; the loss is a halo around it.
      if (!single) this.paintStairs(u, series, all, this.agent(series, k), 1);
      this.paintOver(u, series, all, k);
    });
    ctx.restore();
    this.shown.forEach((series, k) => this.paintStrip(u, series, k));
  }

  /** The line through the medians, in steps; it breaks where nothing was answered or measured. */
  private paintStairs(u: uPlot, series: Series, all: readonly Block[], color: string, alpha: number): void {
    const { ctx } = u;
    const y = this.heights(u);
    const path = new Path2D();
    let pen = NaN;
    for (const { point, left, width } of all) {
      const median = series.median[point];
      if (median == null) {
        pen = NaN;
        continue;
      }
      const height = y(median);
      if (Math.abs(pen - left) <= 1) path.lineTo(left, height);
      else path.moveTo(left, height);
      pen = left + width;
      path.lineTo(pen, height);
    }
    ctx.globalAlpha = alpha;
    ctx.strokeStyle = color;
    ctx.lineWidth = (alpha < 1 ? 1 : 1.6) * devicePixelRatio;
    ctx.stroke(path);
    ctx.globalAlpha = 1;
  }

  /** The median of each point as a bar in the colour of its loss. */
  private paintMedian(u: uPlot, series: Series, all: readonly Block[], single: boolean): void {
    const y = this.heights(u);
    const thick = Math.round((this.options.mini ? 2 : 3) * (single ? 1 : 2) * devicePixelRatio);
    const paths = data.palette.loss.map(() => new Path2D());
    for (const { point, left, width } of all) {
      const median = series.median[point];
      const kind = lossClass(series.sent[point] ?? 0, series.received[point] ?? 0);
      if (median == null || kind < 0 || (!single && kind === 0)) continue;
      const wide = Math.max(width, kind > 0 ? thick : 1);
      paths[kind]?.rect(left - (wide - width) / 2, Math.round(y(median) - thick / 2), wide, thick);
    }
    paths.forEach((path, kind) => {
      u.ctx.fillStyle = lossColor(kind);
      u.ctx.fill(path);
    });
  }

  /** At the top edge: an arrow for each median higher than the scale, a bar where single pings are. */
  private paintOver(u: uPlot, series: Series, all: readonly Block[], k: number): void {
    const { ctx } = u;
    const single = this.shown.length === 1;
    const size = 4 * devicePixelRatio;
    const thick = Math.round(2 * devicePixelRatio);
    // Each agent has a line of its own, so that none covers another's.
    const top = u.bbox.top + (single ? 0 : k * (thick + 1));
    const path = new Path2D();
    for (const { point, left, width } of all) {
      const most = series.bands[series.bands.length - 1]?.[point];
      if (most != null && most > this.limits[1]) path.rect(left, top, Math.max(width, thick), thick);
      const median = series.median[point];
      if (median == null || median <= this.limits[1]) continue;
      const middle = left + width / 2;
      path.moveTo(middle - size, top + size * 1.6);
      path.lineTo(middle, top + 1);
      path.lineTo(middle + size, top + size * 1.6);
      path.closePath();
    }
    ctx.fillStyle = single ? this.colors.ink : this.agent(series, k);
    ctx.fill(path);
  }

  /** CSS pixels below the plot that the strips of loss take. */
  private strips(): number {
    return Math.max(1, this.shown.length) * this.pace() + 1;
  }

  /** CSS pixels from one strip to the next. */
  private pace(): number {
    if (!this.options.mini) return STRIP.full;
    return this.shown.length > FEW.mini ? (this.shown.length > 4 * FEW.mini ? 1 : 2) : STRIP.mini;
  }

  private height(): number {
    const more = this.options.mini ? 0 : Math.max(0, this.shown.length - FEW.full) * STRIP.full;
    return this.options.height + more;
  }

  /** Below the plot: every point that lost something, in the colour of its loss; one strip for each agent. */
  private paintStrip(u: uPlot, series: Series, lane: number): void {
    const { ctx } = u;
    const pace = this.pace();
    const thick = Math.max(1, Math.round((pace - 1) * devicePixelRatio));
    const top = u.bbox.top + u.bbox.height + Math.round((lane * pace + 1.5) * devicePixelRatio);
    ctx.fillStyle = this.colors.grid;
    ctx.fillRect(u.bbox.left, top, u.bbox.width, thick);
    if (this.shown.length > 1) {
      this.paintBare(u, series, top, thick);
      ctx.fillStyle = this.agent(series, lane);
      const wide = Math.round(7 * devicePixelRatio);
      if (!this.options.mini) ctx.fillRect(u.bbox.left - wide - Math.round(devicePixelRatio), top, wide, thick);
    }
    for (const { point, left, width } of blocks(u, series)) {
      const kind = lossClass(series.sent[point] ?? 0, series.received[point] ?? 0);
      if (kind <= 0) continue;
      ctx.fillStyle = isDown(series, point) ? this.colors.downEdge : lossColor(kind);
      ctx.fillRect(left, top, Math.max(width, Math.round(devicePixelRatio * 1.5)), thick);
    }
  }

  /** In the strip of one agent of several: hatched where it measured nothing. */
  private paintBare(u: uPlot, series: Series, top: number, thick: number): void {
    const reply = this.reply;
    if (!reply) return;
    u.ctx.fillStyle = hatching(u.ctx, this.colors, devicePixelRatio);
    const everyone = common(this.shown.map((one) => gaps(one, reply)));
    for (const gap of without(gaps(series, reply), everyone)) {
      const from = Math.round(u.valToPos(gap.begin, "x", true));
      u.ctx.fillRect(from, top, Math.max(1, Math.round(u.valToPos(gap.end, "x", true)) - from), thick);
    }
  }

  private heights(u: uPlot): (value: number) => number {
    const least = this.scale === "log" ? this.limits[0] : -Infinity;
    // Far above the canvas is as good as just above it, and painters dislike huge numbers.
    return (value) => Math.max(-1e4, u.valToPos(Math.max(value, least), "y", true));
  }

  private agent(series: Series, k: number): string {
    return agentColor(series.color, this.places[k] ?? k);
  }

  // ------------------------------------------------------------ keys

  private listen(): void {
    this.element.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (this.press(event)) event.preventDefault();
    });
    this.element.addEventListener("blur", () => this.tip?.hide());
  }

  private press(event: KeyboardEvent): boolean {
    const left = event.key === "ArrowLeft";
    if (left || event.key === "ArrowRight") {
      if (event.shiftKey) this.options.onMove?.(left ? -0.5 : 0.5);
      else this.step(left ? -1 : 1);
      return true;
    }
    switch (event.key) {
      case "+":
      case "=":
        this.zoomIn();
        return true;
      case "-":
      case "Backspace":
        this.options.onZoomOut?.();
        return true;
      case "Home":
      case "End":
        this.step(event.key === "Home" ? -Infinity : Infinity);
        return true;
      case "Escape":
        this.tip?.hide();
        return true;
      default:
        return false;
    }
  }

  private step(by: number): void {
    const series = this.shown[0];
    if (!series || !this.plot || series.time.length === 0) return;
    const now = this.tip?.time ?? Infinity;
    const at = pointAt(series, now) ?? series.time.length - (by < 0 ? 0 : 1);
    const next = Math.max(0, Math.min(series.time.length - 1, at + by));
    const time = (series.time[next] ?? 0) + series.step / 2;
    this.tip?.show(this.plot.valToPos(time, "x"), time, true);
  }

  private zoomIn(): void {
    const reply = this.reply;
    if (!reply) return;
    const middle = this.tip?.time ?? (reply.begin + reply.end) / 2;
    const quarter = (reply.end - reply.begin) / 4;
    if (quarter >= 5) this.options.onZoom?.(middle - quarter, middle + quarter);
  }
}

/** Number of the point that holds a moment, or null. */
export function pointAt(series: Series, time: number): number | null {
  let low = 0;
  let high = series.time.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((series.time[middle] ?? 0) <= time) low = middle + 1;
    else high = middle;
  }
  const found = low - 1;
  return found >= 0 && time < (series.time[found] ?? 0) + series.step * 1.3 ? found : null;
}

function isDown(series: Series, k: number): boolean {
  return (series.sent[k] ?? 0) > 0 && series.received[k] === 0;
}

/** Blocks that touch or overlap become one. */
function merged(list: readonly { left: number; width: number }[]): { left: number; width: number }[] {
  const result: { left: number; width: number }[] = [];
  for (const { left, width } of [...list].sort((a, b) => a.left - b.left)) {
    const last = result[result.length - 1];
    if (last && left <= last.left + last.width) last.width = Math.max(last.width, left + width - last.left);
    else result.push({ left, width });
  }
  return result;
}

function answersAt(series: Series, time: number): boolean {
  const k = pointAt(series, time);
  return k !== null && (series.received[k] ?? 0) > 0;
}

/** The parts that all lists of gaps share. */
function common(lists: readonly (readonly { begin: number; end: number }[])[]): { begin: number; end: number }[] {
  const [first, ...others] = lists;
  let result = [...(first ?? [])];
  for (const other of others) {
    result = result.flatMap((a) =>
      other
        .map((b) => ({ begin: Math.max(a.begin, b.begin), end: Math.min(a.end, b.end) }))
        .filter((gap) => gap.begin < gap.end),
    );
  }
  return result;
}

/** The parts of the first list that the second does not cover. */
function without(
  list: readonly { begin: number; end: number }[],
  other: readonly { begin: number; end: number }[],
): { begin: number; end: number }[] {
  return other.reduce(
    (rest, gap) =>
      rest
        .flatMap((one) => [
          { begin: one.begin, end: Math.min(one.end, gap.begin) },
          { begin: Math.max(one.begin, gap.end), end: one.end },
        ])
        .filter((one) => one.begin < one.end),
    [...list],
  );
}

/** Where the vertical axis begins and ends so that all series fit as the scale says. */
export function verticalLimits(shown: readonly Series[], scale: Scale): [number, number] {
  const known = (column: readonly (number | null)[] | undefined): number[] =>
    (column ?? []).filter((value): value is number => value !== null);
  const greatest = (place: number): number =>
    shown.reduce((most, series) => known(series.bands[place] ?? series.median).reduce((a, b) => Math.max(a, b), most), 0);
  if (scale === "auto") {
    const heard = shown.filter((series) => series.summary.received > 0);
    return [0, heard.reduce((most, series) => Math.max(most, series.upper), 0) || 0.001];
  }
  const clip = data.palette.most > 0 ? data.palette.most : Infinity;
  const most = Math.min(clip, greatest(20) * 1.05) || 0.001;
  if (scale === "max") return [0, most];
  const least = shown.reduce(
    (low, series) => known(series.bands[0] ?? series.median).reduce((a, b) => Math.min(a, b), low),
    Infinity,
  );
  if (!Number.isFinite(least)) return [most / 1000, most];
  return [rounded(Math.max(1e-7, least), false), rounded(Math.max(most, least * 1.5), true)];
}

/** The next of 1, 2, 5 times a power of ten, up or down. */
function rounded(value: number, up: boolean): number {
  const power = 10 ** Math.floor(Math.log10(value));
  const steps = [1, 2, 5, 10].map((factor) => factor * power);
  return up ? (steps.find((step) => step >= value) ?? value) : ([...steps].reverse().find((step) => step <= value) ?? value);
}
