/** What the server wrote into the page: texts, colours, and what the page is about. */

export interface AgentInfo {
  readonly name: string;
  readonly title: string;
  readonly color: string;
  /** Of a line of a page that draws several targets: its target. */
  readonly target?: string;
}

export interface Palette {
  /** Greatest loss, colour, label; from no loss to total loss. */
  readonly loss: readonly (readonly [number, string, string])[];
  /** Lower band, upper band, grey; from the outermost to the innermost. */
  readonly layers: readonly (readonly [number, number, number])[];
  /** Vertical axes go no higher, seconds; 0 for as high as is needed. */
  readonly most: number;
}

export type AlertPage = "incidents" | "incident" | "silences" | "alerts";

export interface PageData {
  readonly page: "overview" | "target" | "several" | "charts" | "agents" | "search" | "hierarchies" | "missing" | AlertPage;
  readonly texts: Readonly<Record<string, string>>;
  readonly lang: string;
  readonly palette: Palette;
  /** Bit -> key of its text. */
  readonly flags: Readonly<Record<string, string>>;
  readonly ranges: readonly string[];
  readonly classic: readonly string[];
  readonly path?: string;
  readonly title?: string;
  readonly agents?: readonly AgentInfo[];
  /** Ranges shown at a glance: length and title, "" for the usual one. */
  readonly glances?: readonly (readonly [string, string])[];
  /** The tree the reader walks in, "" for the main one. */
  readonly hierarchy?: string;
  /** The range charts rank over, as their graphs show it. */
  readonly range?: { readonly from: string; readonly to: string };
  /** The time of an incident, and who saw it. */
  readonly chart?: { readonly agents: readonly string[]; readonly from: string; readonly to: string };
  readonly step?: number;
  readonly pings?: number;
  /** The query of an address whose range was not understood; the page says so and shows the usual one. */
  readonly refused?: string | null;
}

const element = document.getElementById("data");
export const data: PageData = JSON.parse(element?.textContent ?? "{}") as PageData;

/** The text under a key in the page's language, with {names} filled in. */
export function t(key: string, values: Readonly<Record<string, string | number>> = {}): string {
  const text = data.texts[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}
