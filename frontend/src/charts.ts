/** The small graphs of charts, each of one target as one agent sees it; the ranking itself is the server's. */

import { series as askSeries } from "./api";
import { SmokeChart } from "./chart";
import { data } from "./data";
import { showLive } from "./live";
import { refreshParts } from "./refresh";
import { onTheme } from "./theme";

/** Series asked for at once. */
const BATCH = 24;
/** Milliseconds between two looks at a range that ends now. */
const PACE = 30_000;

let graphs: { name: string; chart: SmokeChart }[] = [];

function find(): void {
  graphs = [...document.querySelectorAll<HTMLElement>("#charts [data-name]")].map((element) => ({
    name: element.dataset["name"] ?? "",
    chart: new SmokeChart(element, { height: 56, mini: true }),
  }));
}

async function draw(): Promise<void> {
  const names = [...new Set(graphs.map((graph) => graph.name))];
  const range = data.range ?? { from: "now-1h", to: "now" };
  for (let start = 0; start < names.length; start += BATCH) {
    const targets = names.slice(start, start + BATCH);
    const reply = await askSeries({ targets, ...range, points: 160, smoke: true });
    for (const { name, chart } of graphs) {
      const shown = reply.series.filter((series) => series.name === name);
      if (shown.length > 0) chart.show(reply, shown, shown.map((_, k) => k), "auto");
    }
  }
}

export function startCharts(): void {
  find();
  const live = (data.range?.to ?? "now") === "now";
  const settle = (done: boolean): void => showLive(done ? (live ? "on" : "off") : "lost");
  const redraw = (): void => void draw().then(() => settle(true), () => settle(false));
  redraw();
  onTheme(() => graphs.forEach((graph) => graph.chart.repaint()));
  if (!live) return;
  window.setInterval(() => {
    if (document.hidden) return;
    refreshParts(["#charts"]).then(
      (fresh) => {
        settle(fresh !== null);
        find();
        redraw();
      },
      () => settle(false),
    );
  }, PACE);
}
