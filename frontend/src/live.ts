/** New rounds as they are stored, by server-sent events. The browser reconnects by itself. */

import { t } from "./data";

export interface FreshRound {
  readonly target: string;
  readonly agent: string;
  readonly time: number;
  readonly sent: number;
  readonly received: number;
  readonly median: number | null;
}

export type LiveState = "on" | "lost" | "off";

const lamp = document.getElementById("live");

/** Show whether the page is current. */
export function showLive(state: LiveState): void {
  if (!lamp) return;
  lamp.hidden = false;
  lamp.dataset["state"] = state;
  const text = t(state === "on" ? "live" : state === "lost" ? "live_lost" : "live_off");
  lamp.title = text;
  const label = lamp.querySelector("span");
  if (label) label.textContent = text;
}

/** Watch what is at and below these paths; `missed` is called when rounds may have been missed. */
export function watch(
  paths: readonly string[],
  fresh: (rounds: readonly FreshRound[]) => void,
  missed: () => void,
  changed: (connected: boolean) => void,
): () => void {
  const query = new URLSearchParams(paths.map((path) => ["target", path]));
  const source = new EventSource(`/api/v1/events?${query.toString()}`);
  let lost = false;
  source.addEventListener("open", () => {
    changed(true);
    if (lost) missed();
    lost = false;
  });
  source.addEventListener("error", () => {
    lost = true;
    changed(false);
  });
  source.addEventListener("rounds", (event) => fresh(JSON.parse((event as MessageEvent<string>).data) as FreshRound[]));
  source.addEventListener("gap", missed);
  const end = (): void => source.close();
  window.addEventListener("pagehide", end);
  return end;
}
