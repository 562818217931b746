/** Parts of a page that the server writes are kept current by asking for the page again. */

/** Milliseconds after which a master that says nothing is taken for lost. */
const PATIENCE = 10_000;

/** Replace what these selectors find, one by one, by what they find in the page as it is now; null when refused. */
export async function refreshParts(selectors: readonly string[]): Promise<Document | null> {
  const answer = await fetch(location.href, {
    headers: { Accept: "text/html" },
    signal: AbortSignal.timeout(PATIENCE),
  });
  if (!answer.ok) return null;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const selector of selectors) {
    const [old, now] = [document.querySelector(selector), fresh.querySelector(selector)];
    if (old && now && old.outerHTML !== now.outerHTML) old.replaceWith(now);
  }
  return fresh;
}
