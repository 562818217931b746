/** Under a graph: what its colours mean, and the figures of its range. */

import type { Series, SeriesReply } from "./api";
import { data, t } from "./data";
import { duration, moment, percent, span } from "./format";
import { agentColor, colors, hatching, lossColor } from "./paint";

function patch(paint: (pen: CanvasRenderingContext2D) => void): HTMLCanvasElement {
  const tile = document.createElement("canvas");
  tile.width = 28;
  tile.height = 18;
  tile.style.width = "14px";
  tile.style.height = "9px";
  const pen = tile.getContext("2d");
  if (pen) paint(pen);
  return tile;
}

function item(tile: HTMLCanvasElement, text: string): HTMLElement {
  const span = document.createElement("span");
  span.append(tile, text);
  return span;
}

function text(words: string): HTMLElement {
  const span = document.createElement("span");
  span.className = "words";
  span.textContent = words;
  return span;
}

/** What the colours mean, with so many agents in one graph. */
export function legend(agents: number): HTMLElement {
  const line = document.createElement("div");
  line.className = "legend";
  const tints = colors();
  const several = agents > 1;
  const lead = !several ? "loss_color" : data.page === "several" ? "loss_lines" : "loss_strips";
  line.append(t(lead, { pings: data.pings ?? 20 }));
  data.palette.loss.forEach(([, , label], place) => {
    // Of several agents the lines keep their colours: no loss is not painted.
    if (several && place === 0) return;
    const last = place === data.palette.loss.length - 1;
    const tile = patch((pen) => {
      pen.fillStyle = last ? tints.down : lossColor(place);
      pen.fillRect(0, 0, 28, 18);
      if (!last) return;
      pen.fillStyle = tints.downEdge;
      pen.fillRect(0, 0, 28, 5);
    });
    line.append(item(tile, last ? t("legend_down") : label));
  });
  const empty = patch((pen) => {
    pen.fillStyle = hatching(pen, tints, 1.5);
    pen.fillRect(0, 0, 28, 18);
  });
  line.append(item(empty, t("legend_nodata")));
  if (several) line.append(text(t(data.page === "several" ? "legend_lines" : "legend_agents")));
  return line;
}

function cell(text: string, kind = ""): HTMLTableCellElement {
  const td = document.createElement("td");
  td.textContent = text;
  td.className = kind;
  return td;
}

function header(text: string, hint = ""): HTMLTableCellElement {
  const th = document.createElement("th");
  th.textContent = text;
  if (hint) th.title = hint;
  return th;
}

const lossKind = (share: number | null): string => (share === 1 ? "down" : share ? "lossy" : "");

function rowOf(name: string, hint: string, cells: readonly HTMLElement[]): HTMLTableRowElement {
  const row = document.createElement("tr");
  const th = header(name, hint);
  th.scope = "row";
  row.append(th, ...cells);
  const fill = document.createElement("td");
  fill.className = "fill";
  row.append(fill);
  return row;
}

function rows(series: Series): HTMLTableRowElement[] {
  const s = series.summary;
  const median = [s.median_average, s.median_most, s.median_least, s.median_now].map((v) => cell(duration(v)));
  const loss = [s.loss_average, s.loss_most, s.loss_least, s.loss_now].map((v) => cell(percent(v), lossKind(v)));
  const deviation = cell(duration(s.deviation));
  deviation.title = t("deviation_hint");
  return [
    rowOf(t("median"), t("median_hint"), [...median, deviation]),
    rowOf(t("loss"), t("loss_hint"), [...loss, cell("")]),
  ];
}

/** The figures of each series, and the counts of all pings. */
export function figures(reply: SeriesReply, shown: readonly Series[], places: readonly number[]): HTMLElement {
  const box = document.createElement("div");
  const scroll = document.createElement("div");
  scroll.className = "figures-scroll";
  const table = document.createElement("table");
  table.className = "figures";
  table.setAttribute("aria-label", t("figures"));
  const head = table.createTHead().insertRow();
  head.append(header(""), ...["average", "most", "least", "now", "deviation"].map((key) => header(t(key))));
  const body = table.createTBody();
  shown.forEach((series, k) => {
    if (shown.length > 1) body.append(agentRow(series, places[k] ?? k));
    body.append(...rows(series));
  });
  scroll.append(table);
  box.append(scroll, ...shown.map((series) => countsLine(series, reply, shown.length > 1)));
  return box;
}

function agentRow(series: Series, place: number): HTMLTableRowElement {
  const row = document.createElement("tr");
  row.className = "agent-row";
  const th = document.createElement("th");
  th.colSpan = 7;
  const swatch = document.createElement("i");
  swatch.className = "swatch";
  swatch.style.background = agentColor(series.color, place);
  th.append(swatch, series.title);
  row.append(th);
  return row;
}

/** The range of the figures, where it is not about the range asked for: rollups are counted by whole bins. */
function counted(series: Series, reply: SeriesReply): string[] {
  const begin = series.begin < reply.begin ? series.begin : reply.begin;
  const end = Math.min(series.end, reply.now) > reply.end + 1 ? series.end : reply.end;
  const more = reply.begin - begin + end - reply.end;
  if (more < 0.01 * (reply.end - reply.begin)) return [];
  return [t("counted", { begin: moment(begin, 60), end: moment(Math.floor(end), 60) })];
}

/** Bit of rounds that another system had averaged. */
const IMPORTED = Number(Object.entries(data.flags).find(([, key]) => key === "flag_imported")?.[0] ?? 0);

function imported(series: Series): string[] {
  return series.flags.some((flags) => (flags & IMPORTED) !== 0) ? [t("imported_text")] : [];
}

/** Many series, a row each: SmokePing's figures of a page that draws several targets. */
export function listing(shown: readonly Series[], places: readonly number[]): HTMLElement {
  const scroll = document.createElement("div");
  scroll.className = "figures-scroll";
  const table = document.createElement("table");
  table.className = "figures listing";
  table.setAttribute("aria-label", t("figures"));
  const names = [t("median"), t("most"), t("least"), t("now"), t("loss"), t("now"), t("deviation_short")];
  table.createTHead().insertRow().append(header(""), ...names.map((name) => header(name)), header(""));
  const body = table.createTBody();
  shown.forEach((series, k) => body.append(listed(series, places[k] ?? k)));
  scroll.append(table);
  const note = shown.flatMap(imported)[0];
  if (note) scroll.append(note);
  return scroll;
}

function listed(series: Series, place: number): HTMLTableRowElement {
  const s = series.summary;
  const row = document.createElement("tr");
  const th = document.createElement("th");
  th.scope = "row";
  const swatch = document.createElement("i");
  swatch.className = "swatch";
  swatch.style.background = agentColor(series.color, place);
  const link = document.createElement("a");
  const query = new URLSearchParams({ agent: series.agent, ...(data.hierarchy ? { hierarchy: data.hierarchy } : {}) });
  link.href = `/targets${encodeURI(series.target)}?${query.toString()}`;
  link.title = `${t("line_open")}: ${series.target}`;
  link.textContent = series.title;
  th.append(swatch, link);
  const fill = cell("", "fill");
  const medians = [s.median_average, s.median_most, s.median_least, s.median_now].map((value) => cell(duration(value)));
  const losses = [s.loss_average, s.loss_now].map((value) => cell(percent(value), lossKind(value)));
  row.append(th, ...medians, ...losses, cell(duration(s.deviation)), fill);
  return row;
}

function countsLine(series: Series, reply: SeriesReply, named: boolean): HTMLElement {
  const s = series.summary;
  const { sent, late, duplicates, reordered, errors } = s;
  const line = document.createElement("p");
  line.className = "counts-line";
  const parts = [
    t("pings_text", { sent, lost: sent - s.received, late, duplicates, reordered, errors }),
    ...(s.doubtful ? [t("doubtful_text", { count: s.doubtful })] : []),
    ...(s.received ? [`${t("rtt_range")}: ${duration(s.rtt_least)} – ${duration(s.rtt_most)}`] : []),
    ...(s.jitter == null ? [] : [`${t("jitter")}: ${duration(s.jitter)}`]),
    t("resolution", { step: span(series.step) }),
    ...counted(series, reply),
    ...imported(series),
  ];
  line.textContent = (named ? `${series.title}: ` : "") + parts.join(" · ");
  return line;
}
