/** The pattern tester: a rule or a pattern on measured or typed rounds, shown as a strip of rounds and a list of changes. */

import { post } from "./ask";
import { data, t } from "./data";
import { duration, moment, percent } from "./format";

interface Step {
  readonly time: string | null;
  readonly loss: number | null;
  readonly rtt: number | null;
  readonly on: boolean;
  readonly change: "" | "raised" | "cleared";
  readonly back: readonly number[];
}

interface Reply {
  readonly words: string;
  readonly pattern: string;
  readonly type: string;
  readonly agent: string;
  readonly raised: number;
  readonly cleared: number;
  readonly steps: readonly Step[];
}

/** Changes that are listed, and rounds drawn one by one. */
const LISTED = 100;
const DRAWN = 400;
const SVG = "http://www.w3.org/2000/svg";

function element(name: string, className: string, text = ""): HTMLElement {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}

function shape(name: string, attributes: Readonly<Record<string, string | number>>, className: string): SVGElement {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  made.setAttribute("class", className);
  return made;
}

const shownValue = (step: Step, type: string): string =>
  type === "rtt" ? (step.rtt == null ? "U" : duration(step.rtt)) : step.loss == null ? "U" : percent(step.loss);

function when(step: Step, number: number): string {
  return step.time === null ? `${t("trial_round")} ${number + 1}` : moment(Date.parse(step.time) / 1000);
}

/** A bar for each round, its height the value; below it a line while the alert is on. */
function strip(reply: Reply): SVGElement {
  const first = Math.max(0, reply.steps.length - DRAWN);
  const steps = reply.steps.slice(first);
  const value = (step: Step): number | null => (reply.type === "rtt" ? step.rtt : step.loss);
  const most = reply.type === "rtt" ? Math.max(1e-9, ...steps.map((step) => step.rtt ?? 0)) : 1;
  const svg = shape("svg", { viewBox: `0 0 ${steps.length} 56`, preserveAspectRatio: "none", height: 84, width: "100%" }, "strip");
  steps.forEach((step, k) => {
    const share = value(step);
    const height = share === null ? 40 : Math.max(share > 0 ? 3 : 1, (40 * share) / most);
    const bar = shape("rect", { x: k + 0.08, y: 42 - height, width: 0.84, height }, share === null ? "unknown" : share > 0 ? "some" : "none");
    const title = document.createElementNS(SVG, "title");
    title.textContent = `${when(step, first + k)}: ${shownValue(step, reply.type)}${step.change ? `, ${t(`what_${step.change}`)}` : ""}`;
    bar.append(title);
    svg.append(bar);
    if (step.on) svg.append(shape("rect", { x: k, y: 46, width: 1, height: 8 }, step.change ? "on first" : "on"));
  });
  return svg;
}

function changes(reply: Reply): HTMLElement {
  const list = element("ol", "timeline");
  reply.steps
    .map((step, k) => [step, k] as const)
    .filter(([step]) => step.change)
    .slice(0, LISTED)
    .forEach(([step, k]) => {
      const item = element("li", step.change === "raised" ? "begun" : "cleared");
      item.append(`${when(step, k)} `, element("b", "", t(`what_${step.change}`)), ` ${shownValue(step, reply.type)}`);
      list.append(item);
    });
  return list;
}

function show(place: HTMLElement, reply: Reply): void {
  const head = element("p", "");
  const count = t("trial_result", { rounds: reply.steps.length, raised: reply.raised, cleared: reply.cleared });
  head.append(element("b", "", count), ` ${reply.words}`, reply.agent ? ` · ${reply.agent}` : "");
  place.replaceChildren(head);
  if (reply.steps.length === 0) {
    place.append(element("p", "empty", t("trial_none")));
    return;
  }
  place.append(strip(reply), changes(reply));
  if (reply.raised + reply.cleared > LISTED) place.append(element("p", "hint", t("trial_shown", { count: LISTED })));
}

function question(form: HTMLFormElement): Record<string, unknown> {
  const given = Object.fromEntries([...new FormData(form).entries()].map(([key, value]) => [key, String(value)]));
  const rule = given["rule"] ? { rule: given["rule"] } : { type: given["type"], pattern: given["pattern"] };
  const rounds =
    given["on"] === "typed"
      ? { history: given["history"] || " " }
      : { target: given["target"], agent: given["agent"], begin: `now-${given["range"]}` };
  return { ...rule, ...rounds, compat: given["compat"] === "on" };
}

export function startTrial(): void {
  const form = document.querySelector<HTMLFormElement>("#trial");
  const place = document.getElementById("trial-result");
  const problem = document.getElementById("trial-problem");
  if (!form || !place || !problem) return;
  const field = (name: string): HTMLSelectElement => form.elements.namedItem(name) as HTMLSelectElement;
  const fit = (): void => {
    for (const one of form.querySelectorAll<HTMLElement>("[data-own]")) one.hidden = field("rule").value !== "";
    for (const one of form.querySelectorAll<HTMLElement>("[data-on]")) one.hidden = one.dataset["on"] !== field("on").value;
  };
  const run = (): void => {
    post<Reply>(`alerts/test?lang=${data.lang.slice(0, 2)}`, question(form)).then(
      (reply) => {
        problem.hidden = true;
        show(place, reply);
      },
      (error: unknown) => {
        place.replaceChildren();
        problem.hidden = false;
        problem.textContent = error instanceof Error ? error.message : String(error);
      },
    );
  };
  form.addEventListener("change", fit);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  document.addEventListener("click", (event) => {
    const rule = (event.target as HTMLElement).dataset?.["try"];
    if (rule === undefined) return;
    field("rule").value = rule;
    fit();
    form.scrollIntoView({ behavior: "smooth", block: "start" });
    run();
  });
  fit();
}
