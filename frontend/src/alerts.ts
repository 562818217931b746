/** Alerts on the pages: the sign in the menu, incidents kept current, silences made and ended. The tester is `trial.ts`. */

import "./alerts.css";
import { post, take } from "./ask";
import { series } from "./api";
import { SmokeChart } from "./chart";
import { data, t } from "./data";
import { duration, moment, percent, span } from "./format";
import { showLive } from "./live";
import { refreshParts } from "./refresh";
import { onTheme } from "./theme";
import { startTrial } from "./trial";

interface Incident {
  readonly id: number;
  readonly alert: string;
  readonly agents: readonly string[];
  readonly length: number;
  readonly worst_loss: number | null;
  readonly worst_rtt: number | null;
  readonly muted: string;
}

/** Milliseconds between two looks. */
const LOOK = 10_000;

/** Times as the reader's clock shows them; the server writes UTC. */
export function localTimes(within: ParentNode): void {
  for (const element of within.querySelectorAll<HTMLTimeElement>("main time[datetime]")) {
    if (element.dataset["local"]) continue;
    const time = Date.parse(element.dateTime);
    if (Number.isNaN(time) || !element.textContent?.endsWith("UTC")) continue;
    element.dataset["local"] = "1";
    element.title = element.textContent;
    element.textContent = moment(time / 1000);
  }
}

function showCount(open: number): void {
  for (const sign of document.querySelectorAll<HTMLElement>("[data-open-incidents]")) {
    sign.hidden = open === 0;
    sign.textContent = String(open);
    sign.title = `${t("incidents_open")}: ${open}`;
  }
}

function line(one: Incident): HTMLElement {
  const item = document.createElement("a");
  item.href = `/incidents/${one.id}`;
  item.className = one.muted ? "muted" : "open";
  const dot = document.createElement("i");
  dot.className = `dot ${one.muted ? "doubt" : "down"}`;
  const name = document.createElement("b");
  name.textContent = one.alert;
  const told = document.createElement("span");
  const worst =
    one.worst_rtt == null
      ? t("losing", { loss: percent(one.worst_loss) })
      : t("incident_worst_text", { loss: percent(one.worst_loss), rtt: duration(one.worst_rtt) });
  told.textContent = `${worst} · ${t("incident_for", { time: span(Math.round(one.length)) })} · ${one.agents.join(", ")}`;
  item.append(dot, name, told);
  return item;
}

/** A target's open incidents, on its page. */
async function showHere(place: HTMLElement): Promise<void> {
  const path = place.dataset["incidents"] ?? "/";
  const found = await take<Incident[]>(`incidents?${new URLSearchParams({ state: "open", target: path, limit: "8" })}`);
  place.hidden = found.length === 0;
  place.replaceChildren(...found.map(line));
}

async function look(): Promise<void> {
  const count = await take<{ open: number }>("incidents/open");
  showCount(count.open);
  await Promise.all([...document.querySelectorAll<HTMLElement>("[data-incidents]")].map(showHere));
}

/** Parts the server writes, asked for again and again. */
function keepFresh(selectors: readonly string[]): void {
  showLive("on");
  const again = (): void => {
    if (document.hidden) return;
    refreshParts(selectors).then(
      (fresh) => {
        localTimes(document);
        showLive(fresh ? "on" : "lost");
      },
      () => showLive("lost"),
    );
  };
  window.setInterval(again, LOOK);
  document.addEventListener("visibilitychange", again);
}

async function drawIncident(): Promise<void> {
  const element = document.getElementById("incident-chart");
  const { chart, path } = data;
  if (!element || !chart || !path) return;
  const made = new SmokeChart(element, { height: 240 });
  onTheme(() => made.repaint());
  const question = { targets: [path], from: chart.from, to: chart.to, points: 600, smoke: true };
  const some = chart.agents.length > 0 ? { ...question, agents: chart.agents } : question;
  const reply = await series(some).catch(() => series(question)); // an agent may be gone from the configuration
  made.show(reply, reply.series, reply.series.map((_, k) => k), "auto");
}

function startSilences(): void {
  const form = document.querySelector<HTMLFormElement>("#silence-form");
  const problem = document.getElementById("silence-problem");
  const tell = (error: unknown): void => {
    if (!problem) return;
    problem.hidden = !error;
    problem.textContent = error instanceof Error ? error.message : "";
  };
  const again = (): Promise<void> => refreshParts(["#silences"]).then(() => localTimes(document));
  form?.addEventListener("submit", (event) => {
    event.preventDefault();
    const wanted = Object.fromEntries(new FormData(form).entries());
    post<{ warnings: string[] }>("silences", wanted)
      .then((made) => again().then(() => tell(made.warnings.length > 0 ? new Error(made.warnings.join("; ")) : null)))
      .catch(tell);
  });
  document.addEventListener("click", (event) => {
    const number = (event.target as HTMLElement).dataset?.["endSilence"];
    if (number) post(`silences/${number}/end`, {}).then(again).then(() => tell(null), tell);
  });
}

export function startAlerts(): void {
  const quietly = (): void => {
    if (!document.hidden) look().catch(() => undefined); // the lamp of the page tells when nobody answers
  };
  quietly();
  window.setInterval(quietly, LOOK);
  localTimes(document);
  if (data.page === "incidents" && !new URLSearchParams(location.search).has("before")) keepFresh(["#incidents"]);
  if (data.page === "incident") {
    keepFresh(["#incident", "#incident-log"]);
    drawIncident().catch(() => undefined);
  }
  if (data.page === "silences") startSilences();
  if (data.page === "alerts") startTrial();
}
