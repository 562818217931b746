/** The small graphs of an overview, drawn when they come into view and kept current. */

import { series as askSeries } from "./api";
import { SmokeChart } from "./chart";
import { showLive, watch } from "./live";
import { length } from "./range";
import { refreshParts } from "./refresh";
import { onTheme } from "./theme";

/** Targets asked for at once. */
const BATCH = 24;
const LOOK_BACK = 60_000;
const WINDOWS = ["5m", "15m", "1h", "3h"] as const;

interface Mini {
  readonly path: string;
  readonly chart: SmokeChart;
  visible: boolean;
}

/** The shortest window that shows all there is of the last three hours, looked up anew each minute. */
let window_: string = "3h";
let looked = 0;

async function lookBack(targets: readonly string[]): Promise<void> {
  if (Date.now() - looked < LOOK_BACK) return;
  looked = Date.now();
  const reply = await askSeries({ targets, from: "now-3h", to: "now", points: 180, smoke: false });
  const first = Math.min(...reply.series.map((series) => series.time[0] ?? Infinity));
  const found = WINDOWS.find((window) => first >= reply.end - length(window));
  window_ = Number.isFinite(first) ? (found ?? "3h") : "3h";
}

async function draw(minis: readonly Mini[]): Promise<void> {
  await lookBack(minis.slice(0, BATCH).map((mini) => mini.path));
  for (let start = 0; start < minis.length; start += BATCH) {
    const some = minis.slice(start, start + BATCH);
    const targets = some.map((mini) => mini.path);
    const reply = await askSeries({ targets, from: `now-${window_}`, to: "now", points: 180, smoke: true });
    for (const mini of some) {
      const shown = reply.series.filter((series) => series.page === mini.path);
      mini.chart.show(reply, shown, shown.map((_, k) => k), "auto");
    }
  }
}

/** Reload what the server rendered of the cards: values and states. */
async function refreshCards(): Promise<void> {
  const fresh = await refreshParts([".head", ".troubles", ".groups"]);
  if (!fresh) return;
  for (const card of document.querySelectorAll<HTMLElement>(".card[data-path]")) {
    const now = [...fresh.querySelectorAll<HTMLElement>(".card[data-path]")].find(
      (one) => one.dataset["path"] === card.dataset["path"],
    );
    if (!now) continue;
    card.className = now.className;
    for (const part of [".dot", ".card-now"]) {
      const [before, after] = [card.querySelector(part), now.querySelector(part)];
      if (before && after) before.replaceWith(after);
    }
  }
}

export function startOverview(path: string): void {
  const minis = [...document.querySelectorAll<HTMLElement>("[data-mini]")].map(
    (element): Mini => ({
      path: element.dataset["mini"] ?? "",
      chart: new SmokeChart(element, { height: 72, mini: true }),
      visible: false,
    }),
  );
  let due = 0;
  const refresh = (wait: number): void => {
    if (due !== 0 || document.hidden) return;
    due = window.setTimeout(() => {
      due = 0;
      void Promise.all([draw(minis.filter((mini) => mini.visible)), refreshCards()]).catch(() => undefined);
    }, wait);
  };
  const eye = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        const mini = minis.find((one) => one.chart.element === entry.target);
        if (mini) mini.visible = entry.isIntersecting;
      }
      const fresh = entries.some((entry) => entry.isIntersecting);
      if (fresh) void draw(minis.filter((mini) => mini.visible)).catch(() => undefined);
    },
    { rootMargin: "200px" },
  );
  for (const mini of minis) eye.observe(mini.chart.element);
  onTheme(() => minis.forEach((mini) => mini.chart.repaint()));
  watch([path], () => refresh(5000), () => refresh(500), (connected) => showLive(connected ? "on" : "lost"));
  window.setInterval(() => refresh(0), 30_000);
}
