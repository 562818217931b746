/** The questions pages ask, and the answers as /api/v1 gives them. Times are Unix seconds, RTTs seconds. */

import { data } from "./data";

export type Column = readonly (number | null)[];

export interface Summary {
  readonly median_average: number | null;
  readonly median_most: number | null;
  readonly median_least: number | null;
  readonly median_now: number | null;
  readonly loss_average: number | null;
  readonly loss_most: number | null;
  readonly loss_least: number | null;
  readonly loss_now: number | null;
  readonly mean: number | null;
  readonly deviation: number | null;
  readonly rtt_least: number | null;
  readonly rtt_most: number | null;
  readonly jitter: number | null;
  readonly sent: number;
  readonly received: number;
  readonly late: number;
  readonly duplicates: number;
  readonly reordered: number;
  readonly errors: number;
  readonly rounds: number;
  /** Lost pings of points with a round whose agent may have lost them itself. */
  readonly doubtful: number;
}

export interface Series {
  readonly target: string;
  readonly agent: string;
  /** The place that was asked for: the target, or a page that draws several. */
  readonly page: string;
  /** The target as this agent sees it, `/A/B~agent`. */
  readonly name: string;
  /** Which address of the name, where each is measured. */
  readonly address: string;
  readonly title: string;
  readonly color: string;
  readonly level: string;
  /** What the points and figures count: the range asked for, widened to whole bins of the level. */
  readonly begin: number;
  readonly end: number;
  readonly step: number;
  readonly pings: number;
  /** Where the vertical axis should end, seconds. */
  readonly upper: number;
  readonly time: readonly number[];
  readonly sent: readonly number[];
  readonly received: readonly number[];
  readonly late: readonly number[];
  readonly duplicates: readonly number[];
  readonly reordered: readonly number[];
  readonly errors: readonly number[];
  readonly flags: readonly number[];
  readonly rounds: readonly number[];
  readonly median: Column;
  readonly mean: Column;
  readonly deviation: Column;
  readonly jitter: Column;
  readonly bands: readonly Column[];
  readonly summary: Summary;
}

export interface SeriesReply {
  readonly begin: number;
  readonly end: number;
  readonly now: number;
  /** Seconds between two uploads of an agent: so long a finished round may be on its way. */
  readonly upload_interval: number;
  readonly quantiles: readonly number[];
  readonly series: readonly Series[];
}

export interface TreeNode {
  readonly path: string;
  readonly menu: string;
  readonly title: string;
  readonly host: string;
  readonly state: State;
  readonly parent: boolean;
  readonly children: readonly TreeNode[];
}

/** A place of another tree; `real` is the place of the main one it stands for, "" for none. */
export interface Place {
  readonly path: string;
  readonly menu: string;
  readonly real: string;
  readonly state: State;
  readonly parent: boolean;
  readonly children: readonly Place[];
}

export interface Found {
  readonly path: string;
  readonly menu: string;
  readonly title: string;
  readonly host: string;
  readonly state: State;
}

export interface SearchReply {
  /** How many there are, also those beyond the limit. */
  readonly count: number;
  readonly hits: readonly Found[];
}

export type State = "ok" | "doubt" | "loss" | "silent" | "down";

export interface Question {
  readonly targets: readonly string[];
  readonly agents?: readonly string[];
  /** Of a page that draws several targets: which of them. */
  readonly lines?: readonly string[];
  readonly from: string;
  readonly to: string;
  readonly points: number;
  readonly smoke: boolean;
}

/** Parameters of a question, for the API and for downloads. */
export function parameters(question: Question): URLSearchParams {
  const result = new URLSearchParams();
  for (const path of question.targets) result.append("target", path);
  for (const agent of question.agents ?? []) result.append("agent", agent);
  for (const line of question.lines ?? []) result.append("line", line);
  result.set("begin", question.from);
  result.set("end", question.to);
  result.set("points", String(question.points));
  if (!question.smoke) result.set("smoke", "false");
  return result;
}

async function ask<T>(path: string, signal?: AbortSignal): Promise<T> {
  const answer = await fetch(`/api/v1/${path}`, {
    headers: { Accept: "application/json", "Accept-Language": data.lang },
    ...(signal ? { signal } : {}),
  });
  const body: unknown = await answer.json().catch(() => null);
  if (answer.ok) return body as T;
  const message = (body as { message?: string } | null)?.message;
  throw new Error(message ?? `${answer.status} ${answer.statusText}`);
}

export const series = (question: Question, signal?: AbortSignal): Promise<SeriesReply> =>
  ask<SeriesReply>(`series?${parameters(question).toString()}`, signal);

export const tree = (under: string, depth: number): Promise<TreeNode> =>
  ask<TreeNode>(`tree?${new URLSearchParams({ under, depth: String(depth) }).toString()}`);

export const hierarchy = (name: string, under: string, depth: number): Promise<Place> =>
  ask<Place>(`hierarchies/${encodeURIComponent(name)}?${new URLSearchParams({ under, depth: String(depth) }).toString()}`);

export const search = (words: string, limit: number): Promise<SearchReply> =>
  ask<SearchReply>(`search?${new URLSearchParams({ q: words, limit: String(limit) }).toString()}`);
