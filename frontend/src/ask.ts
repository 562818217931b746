/** Questions to /api/v1 and what is told to it; what it refuses is thrown in its own words. */

import { data } from "./data";

async function exchange<T>(path: string, init: RequestInit): Promise<T> {
  const answer = await fetch(`/api/v1/${path}`, {
    ...init,
    headers: { Accept: "application/json", "Accept-Language": data.lang, ...init.headers },
  });
  const body: unknown = await answer.json().catch(() => null);
  if (answer.ok) return body as T;
  throw new Error((body as { message?: string } | null)?.message ?? `${answer.status} ${answer.statusText}`);
}

export const take = <T>(path: string): Promise<T> => exchange<T>(path, {});

export const post = <T>(path: string, content: unknown): Promise<T> =>
  exchange<T>(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(content),
  });
