/** The page of one target: its state is its address; every change goes through there, so "back" works. */

import { parameters, series as askSeries, type Series, type SeriesReply } from "./api";
import { SmokeChart, type Scale } from "./chart";
import { data, t, type AgentInfo } from "./data";
import { figures, legend, listing } from "./figures";
import { stretch } from "./format";
import { showLive, watch } from "./live";
import { agentColor } from "./paint";
import { bounded, length, moved, relative, scaled, seconds, type Range } from "./range";
import { refreshParts } from "./refresh";
import { onTheme } from "./theme";

type View = "overlay" | "side";

interface State {
  readonly range: Range | null;
  readonly agents: readonly string[];
  readonly view: View;
  readonly scale: Scale;
}

/** The page draws several targets: its lines stand where else the agents of one target do. */
const SEVERAL = data.page === "several";
const AGENTS: readonly AgentInfo[] = data.agents ?? [];
const KEY = SEVERAL ? "line" : "agent";
/** With more series than these, each has one row of figures. */
const MOST_FULL = 4;
const HEIGHT = 300;
const FIRST_RANGES = ["5m", "15m", "1h", "3h"] as const;
/** Milliseconds after which a page without a wish looks anew how far back there is something to see. */
const LOOK_BACK = 60_000;
/** Milliseconds between two looks at the host's state. */
const STATE_PACE = 5000;

function read(): State {
  const query = new URLSearchParams(location.search);
  const from = query.get("from");
  const known = query.getAll(KEY).filter((name) => AGENTS.some((agent) => agent.name === name));
  const scale = query.get("scale");
  const now = Date.now() / 1000;
  const range = { from: from ?? "", to: query.get("to") ?? "now" };
  const sound = seconds(range.from, now) < seconds(range.to, now);
  return {
    range: from && sound && location.search.slice(1) !== data.refused ? range : null,
    agents: known.length > 0 ? known : AGENTS.map((agent) => agent.name),
    view: query.get("view") === "side" ? "side" : "overlay",
    scale: scale === "max" || scale === "log" ? scale : "auto",
  };
}

function address(state: State): string {
  const query = new URLSearchParams();
  if (state.range) {
    query.set("from", state.range.from);
    query.set("to", state.range.to);
  }
  if (state.agents.length < AGENTS.length) for (const name of state.agents) query.append(KEY, name);
  if (state.view === "side") query.set("view", "side");
  if (state.scale !== "auto") query.set("scale", state.scale);
  if (data.hierarchy) query.set("hierarchy", data.hierarchy);
  const text = query.toString();
  return location.pathname + (text ? `?${text}` : "");
}

/** One graph with what stands around it. */
class Panel {
  readonly element = document.createElement("article");
  private readonly name = document.createElement("b");
  private readonly times = document.createElement("span");
  private readonly now = document.createElement("button");
  private readonly plot = document.createElement("div");
  private readonly message = document.createElement("div");
  private readonly below = document.createElement("div");
  private legend = legend(1);
  private count = 1;
  readonly chart: SmokeChart;

  constructor(page: TargetPage) {
    this.element.className = "graph";
    const head = document.createElement("div");
    head.className = "graph-head";
    this.times.className = "soft";
    const buttons = document.createElement("span");
    buttons.className = "buttons";
    const out = document.createElement("button");
    out.type = "button";
    out.className = "zoom-out";
    out.textContent = t("zoom_out");
    out.addEventListener("click", () => page.zoomOut());
    this.now.type = "button";
    this.now.className = "to-now";
    this.now.textContent = t("back_to_now");
    this.now.addEventListener("click", () => page.toNow());
    buttons.append(this.now, out);
    head.append(this.name, this.times, buttons);
    this.plot.className = "plot";
    this.plot.tabIndex = 0;
    this.plot.setAttribute("role", "application");
    this.message.className = "message";
    this.element.append(head, this.plot, this.legend, this.below);
    this.say(t("loading"));
    this.chart = new SmokeChart(this.plot, {
      height: HEIGHT,
      onZoom: (begin, end) => page.zoom(begin, end),
      onZoomOut: (center) => page.zoomOut(center),
      onMove: (share) => page.move(share),
    });
  }

  show(reply: SeriesReply, shown: readonly Series[], scale: Scale, live: boolean): void {
    // Addresses of one name share their agent: each has a colour of its own.
    const place = (series: Series): number => AGENTS.findIndex((agent) => agent.name === (SEVERAL ? series.name : series.agent));
    const places = shown.map((series, k) => (series.address ? AGENTS.length + k : place(series)));
    const names = shown.map((series) => series.title).join(", ");
    this.name.textContent = SEVERAL ? several(shown) : AGENTS.length > 0 ? t("seen_from", { agent: names }) : "";
    this.times.textContent = stretch(reply.begin, reply.end);
    this.now.hidden = live;
    this.plot.setAttribute("aria-label", `${data.title ?? ""} · ${names} · ${this.times.textContent}. ${t("zoom_hint")}`);
    this.chart.show(reply, shown, places, scale);
    if (this.count !== shown.length) this.explain(shown.length);
    const rows = SEVERAL || shown.length > MOST_FULL;
    this.below.replaceChildren(rows ? listing(shown, places) : figures(reply, shown, places));
    if (shown.some((series) => series.time.length > 0)) this.message.remove();
    else this.say(t("nothing_measured"));
  }

  say(text: string, bad = false): void {
    const inner = document.createElement("span");
    inner.textContent = text;
    this.message.className = bad ? "message bad" : "message";
    this.message.replaceChildren(inner);
    this.plot.append(this.message);
  }

  repaint(): void {
    this.chart.repaint();
    this.explain(this.count);
  }

  /** The legend, for so many agents in one graph. */
  private explain(count: number): void {
    this.count = count;
    const fresh = legend(count);
    this.legend.replaceWith(fresh);
    this.legend = fresh;
  }
}

function several(shown: readonly Series[]): string {
  const [only] = shown;
  return shown.length === 1 && only ? only.title : t("lines_count", { count: shown.length });
}

export class TargetPage {
  private state = read();
  private effective: Range = { from: "now-3h", to: "now" };
  private panels: Panel[] = [];
  private reply: SeriesReply | null = null;
  private asked: AbortController | null = null;
  private due = 0;
  private last = 0;
  private looked = 0;
  private stated = 0;
  private readonly graphs = document.getElementById("graphs") as HTMLElement;
  private readonly glances: { range: string; chart: SmokeChart; shown: number }[] = [];

  start(): void {
    this.wire();
    this.makeGlances();
    this.render();
    window.addEventListener("popstate", () => {
      this.state = read();
      this.render();
    });
    document.addEventListener("visibilitychange", () => this.soon(0));
    onTheme(() => {
      for (const panel of this.panels) panel.repaint();
      for (const glance of this.glances) glance.chart.repaint();
      this.pickers();
    });
    watch([data.path ?? "/"], (rounds) => this.fresh(rounds), () => this.soon(0), (connected) => this.lamp(connected));
    // Without new rounds the window still moves on, and a silent agent's gap grows.
    window.setInterval(() => this.soon(0), 15_000);
  }

  // ------------------------------------------------------------ what people do

  zoom(begin: number, end: number): void {
    this.go({ range: bounded(begin, end, Date.now() / 1000) });
  }

  zoomOut(center?: number): void {
    this.go({ range: scaled(this.effective, 3, Date.now() / 1000, this.live() ? undefined : center) });
  }

  move(share: number): void {
    this.go({ range: moved(this.effective, share, Date.now() / 1000) });
  }

  toNow(): void {
    const now = Date.now() / 1000;
    const size = seconds(this.effective.to, now) - seconds(this.effective.from, now);
    const fitting = data.ranges.find((range) => length(range) >= size * 0.99) ?? "3h";
    this.go({ range: { from: `now-${fitting}`, to: "now" } });
  }

  private go(change: Partial<State>): void {
    this.state = { ...this.state, ...change };
    history.pushState(null, "", address(this.state));
    document.getElementById("not-understood")?.remove(); // it was about another address
    this.render();
  }

  private live(): boolean {
    return this.effective.to === "now";
  }

  // ------------------------------------------------------------ showing

  private wire(): void {
    const on = (id: string, name: string, act: (value: string) => void): void =>
      document.getElementById(id)?.addEventListener("click", (event) => {
        const button = (event.target as HTMLElement).closest<HTMLElement>(`[data-${name}]`);
        const value = button?.dataset[name];
        if (!value) return;
        event.preventDefault();
        act(value);
      });
    on("ranges", "range", (range) => this.go({ range: { from: `now-${range}`, to: "now" } }));
    on("views", "view", (view) => this.go({ view: view as View }));
    on("scales", "scale", (scale) => this.go({ scale: scale as Scale }));
    on("agents", "agent", (name) => this.toggle(name));
  }

  /** An agent joins or leaves the graph; the last one stays. */
  private toggle(name: string): void {
    const chosen = new Set(this.state.agents);
    if (!chosen.delete(name)) chosen.add(name);
    const agents = AGENTS.map((agent) => agent.name).filter((one) => chosen.has(one));
    if (agents.length > 0) this.go({ agents });
  }

  private render(): void {
    if (this.state.range) this.effective = this.state.range;
    else this.looked = 0;
    this.pickers();
    this.soon(0, true);
  }

  private pickers(): void {
    const press = (id: string, name: string, value: string): void => {
      for (const button of document.querySelectorAll<HTMLElement>(`#${id} [data-${name}]`)) {
        const chosen = button.dataset[name] === value;
        if (button.tagName === "A") button.setAttribute("aria-current", String(chosen));
        else button.setAttribute("aria-pressed", String(chosen));
      }
    };
    press("ranges", "range", relative(this.effective));
    press("views", "view", this.state.view);
    press("scales", "scale", this.state.scale);
    this.downloads();
    const box = document.getElementById("agents");
    if (!box || AGENTS.length < 2) return;
    box.replaceChildren(
      ...AGENTS.map((agent, place) => {
        const button = document.createElement("button");
        button.type = "button";
        button.dataset["agent"] = agent.name;
        button.setAttribute("aria-pressed", String(this.state.agents.includes(agent.name)));
        const swatch = document.createElement("i");
        swatch.className = "swatch";
        swatch.style.background = agentColor(agent.color, place);
        button.append(swatch, agent.title);
        return button;
      }),
    );
  }

  private question(range: Range, points: number) {
    const { agents } = this.state;
    const chosen = SEVERAL ? { lines: agents.length < AGENTS.length ? agents : [] } : { agents };
    return { targets: [data.path ?? "/"], ...chosen, from: range.from, to: range.to, points, smoke: true };
  }

  private downloads(): void {
    const query = parameters(this.question(this.effective, 1000));
    query.delete("points");
    query.set("lang", data.lang.slice(0, 2));
    query.set("zone", Intl.DateTimeFormat().resolvedOptions().timeZone);
    if (this.state.scale !== "auto") query.set("scale", this.state.scale);
    for (const link of document.querySelectorAll<HTMLAnchorElement>("[data-download]")) {
      link.href = `/api/v1/graph.${link.dataset["download"]}?${query.toString()}`;
    }
  }

  /** Points worth asking for: one for each pixel and a half. */
  private points(): number {
    return Math.max(200, Math.min(1500, Math.round((this.graphs.clientWidth - 90) / 1.5)));
  }

  private async load(): Promise<void> {
    if (!this.asked) this.asked = new AbortController();
    const signal = this.asked.signal;
    try {
      if (!this.state.range && Date.now() - this.looked > LOOK_BACK) await this.lookBack(signal);
      this.reply = await askSeries(this.question(this.effective, this.points()), signal);
      this.asked = null;
      this.last = Date.now();
      this.pickers();
      this.paint();
      this.loadGlances().catch(() => undefined);
    } catch (error) {
      if (signal.aborted) return;
      this.asked = null;
      this.failed(error as Error);
    }
  }

  /** Without a wish for a range: the shortest that shows all there is of the last three hours. */
  private async lookBack(signal: AbortSignal): Promise<void> {
    const asked = { ...this.question({ from: "now-3h", to: "now" }, 200), smoke: false };
    const reply = await askSeries(asked, signal);
    const first = Math.min(...reply.series.map((series) => series.time[0] ?? Infinity));
    const fits = (range: string): boolean => first >= reply.end - length(range);
    const range = Number.isFinite(first) ? (FIRST_RANGES.find(fits) ?? "3h") : "3h";
    this.effective = { from: `now-${range}`, to: "now" };
    this.looked = Date.now();
  }

  private failed(error: Error): void {
    if (this.panels.length === 0) this.arrange(1);
    for (const panel of this.panels) panel.say(t("load_failed", { message: error.message }), true);
  }

  private arrange(count: number): void {
    while (this.panels.length > count) this.panels.pop()?.element.remove();
    while (this.panels.length < count) {
      const panel = new Panel(this);
      this.panels.push(panel);
      this.graphs.append(panel.element);
    }
  }

  private paint(): void {
    const reply = this.reply;
    if (!reply) return;
    const side = this.state.view === "side" && reply.series.length > 1;
    const sets = side ? reply.series.map((series) => [series]) : [[...reply.series]];
    this.arrange(sets.length);
    sets.forEach((set, k) => this.panels[k]?.show(reply, set, this.state.scale, this.live()));
    if (!this.live()) showLive("off");
    document.documentElement.dataset["loaded"] = String(Number(document.documentElement.dataset["loaded"] ?? 0) + 1);
  }

  // ------------------------------------------------------------ staying current

  private lamp(connected: boolean): void {
    showLive(!this.live() ? "off" : connected ? "on" : "lost");
  }

  private fresh(rounds: readonly { agent: string; target: string }[]): void {
    const name = (round: { agent: string; target: string }): string =>
      SEVERAL ? `${round.target}~${round.agent}` : round.target === data.path ? round.agent : "";
    const ours = rounds.some((round) => this.state.agents.includes(name(round)));
    if (!ours) return;
    this.soon(this.pace());
    if (document.hidden || Date.now() - this.stated < STATE_PACE) return;
    this.stated = Date.now();
    void refreshParts(["#state", ".facts"]).catch(() => undefined);
  }

  /** Milliseconds between two looks: a second, or what a pixel stands for on a long range. */
  private pace(): number {
    const reply = this.reply;
    return reply ? Math.min(60_000, Math.max(1000, ((reply.end - reply.begin) / 1000) * 500)) : 1000;
  }

  /** Load, at most once in `pace` milliseconds; only what a person asked for is loaded when the range is past. */
  private soon(pace: number, asked = false): void {
    if (asked) {
      this.asked?.abort();
      this.asked = null;
      window.clearTimeout(this.due);
      this.due = 0;
      void this.load();
      return;
    }
    if (!this.live() || document.hidden || this.due !== 0) return;
    const wait = Math.max(0, this.last + Math.max(pace, 500) - Date.now());
    this.due = window.setTimeout(() => {
      this.due = 0;
      if (!this.asked) void this.load();
    }, wait);
  }

  // ------------------------------------------------------------ at a glance

  private makeGlances(): void {
    const box = document.getElementById("glances");
    if (!box) return;
    for (const [range, title] of data.glances ?? []) {
      const card = document.createElement("a");
      card.className = "glance-card";
      card.href = `?from=now-${range}&to=now`;
      card.dataset["glance"] = range;
      const plot = document.createElement("div");
      plot.className = "plot";
      card.append(title || t("last", { range }), plot);
      card.addEventListener("click", (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        this.go({ range: { from: `now-${range}`, to: "now" } });
        this.graphs.scrollIntoView({ block: "nearest" });
      });
      box.append(card);
      this.glances.push({ range, chart: new SmokeChart(plot, { height: 110, mini: true }), shown: 0 });
    }
  }

  /** The four ranges SmokePing shows, each refreshed as often as its points become one more. */
  private async loadGlances(): Promise<void> {
    const now = Date.now();
    for (const glance of this.glances) {
      if (now - glance.shown < (length(glance.range) / 400) * 1000) continue;
      glance.shown = now;
      const range = { from: `now-${glance.range}`, to: "now" };
      const everyone = SEVERAL ? { lines: [] } : { agents: AGENTS.map((agent) => agent.name) };
      const reply = await askSeries({ ...this.question(range, 300), ...everyone });
      glance.chart.show(reply, reply.series, reply.series.map((_, k) => k), "auto");
    }
  }
}
