/** Light or dark: as the system says, or as the switch remembers (in a cookie, so that pages come right at once). */

export type Theme = "auto" | "light" | "dark";

const root = document.documentElement;
const system = window.matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set<() => void>();

export function isDark(): boolean {
  return root.dataset["theme"] === "dark" || (root.dataset["theme"] !== "light" && system.matches);
}

/** Call when the colours change; graphs are painted anew. */
export function onTheme(listener: () => void): void {
  listeners.add(listener);
}

function tell(): void {
  for (const listener of listeners) listener();
}

function choose(theme: Theme, buttons: readonly HTMLElement[]): void {
  root.dataset["theme"] = theme;
  document.cookie = `theme=${theme}; Path=/; Max-Age=${400 * 86400}; SameSite=Lax`;
  for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset["setTheme"] === theme));
  tell();
}

export function startTheme(): void {
  const buttons = [...document.querySelectorAll<HTMLElement>("[data-set-theme]")];
  for (const button of buttons) {
    button.addEventListener("click", () => choose(button.dataset["setTheme"] as Theme, buttons));
  }
  system.addEventListener("change", tell);
}
