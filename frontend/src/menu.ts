/** The menu: unfold, find by name, keep the lamps of what is shown current. */

import { hierarchy, search, tree, type Found, type Place, type TreeNode } from "./api";
import { data, t } from "./data";

const MOST_FOUND = 200;
/** Milliseconds without a key after which is searched. */
const PAUSE = 120;

/** What one line of the menu tells. */
type Line = Pick<Found, "path" | "menu" | "state"> & { readonly host?: string; readonly real?: string };

/** The address of a place: in another tree, of what it stands for, or of the place itself where it stands for nothing. */
function address(node: Line): string {
  const path = node.real ?? node.path;
  const kept = data.hierarchy ? `?hierarchy=${data.hierarchy}` : "";
  return path ? `/targets${encodeURI(path)}${kept}` : `/hierarchies/${data.hierarchy ?? ""}${encodeURI(node.path)}`;
}

function leaf(node: Line, current: string, host: boolean): HTMLAnchorElement {
  const link = document.createElement("a");
  link.className = node.path === current ? "leaf current" : "leaf";
  link.href = address(node);
  const lamp = document.createElement("i");
  lamp.className = `dot ${node.state}`;
  lamp.title = t(`state_${node.state}`);
  const name = document.createElement("span");
  name.textContent = node.menu;
  link.append(lamp, name);
  if (host) {
    const small = document.createElement("small");
    small.textContent = node.host ?? "";
    link.append(small);
    link.title = node.path;
  }
  return link;
}

function entry(node: TreeNode | Place, current: string): HTMLLIElement {
  const item = document.createElement("li");
  item.dataset["path"] = node.path;
  if (node.parent) {
    item.className = "parent";
    const fold = document.createElement("button");
    fold.type = "button";
    fold.className = "fold";
    fold.setAttribute("aria-expanded", "false");
    fold.setAttribute("aria-label", `${t("expand")} ${node.menu}`);
    item.append(fold);
  }
  item.append(leaf(node, current, false));
  return item;
}

/** A place with its children, in the tree the menu shows. */
const children = (path: string): Promise<TreeNode | Place> =>
  data.hierarchy ? hierarchy(data.hierarchy, path, 1) : tree(path, 1);

async function unfold(item: HTMLElement, current: string): Promise<void> {
  const open = item.classList.toggle("open");
  item.querySelector(":scope > .fold")?.setAttribute("aria-expanded", String(open));
  if (!open || item.querySelector(":scope > ul")) return;
  const list = document.createElement("ul");
  item.append(list);
  const node = await children(item.dataset["path"] ?? "/");
  list.append(...node.children.map((child) => entry(child, current)));
}

function startFilter(input: HTMLInputElement, whole: HTMLElement, found: HTMLElement, current: string): void {
  let asked = 0;
  let due = 0;
  const show = (items: HTMLElement[]): void => found.replaceChildren(...items);
  const look = async (): Promise<void> => {
    const words = input.value.trim();
    whole.hidden = words !== "";
    found.hidden = words === "";
    const number = ++asked;
    if (!words) return;
    const reply = await search(words, MOST_FOUND);
    if (number !== asked) return;
    const items = reply.hits.map((node) => {
      const item = document.createElement("li");
      item.append(leaf(node, current, true));
      return item;
    });
    if (reply.count === 0) items.push(line(t("filter_none")));
    if (reply.count > items.length) items.push(line(t("search_first", { count: reply.count, shown: items.length })));
    show(items);
  };
  const soon = (wait: number): void => {
    window.clearTimeout(due);
    due = window.setTimeout(() => void look().catch((error: Error) => show([line(error.message)])), wait);
  };
  input.addEventListener("input", () => soon(input.value.trim() ? PAUSE : 0));
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      input.value = "";
      soon(0);
    }
    if (event.key === "Enter") {
      const first = found.querySelector<HTMLAnchorElement>("a");
      if (!first || found.hidden) return;
      event.preventDefault();
      first.click();
    }
  });
}

function line(text: string): HTMLLIElement {
  const item = document.createElement("li");
  item.className = "none";
  item.textContent = text;
  return item;
}

/** States of the places of the menu, by path. */
async function states(menu: HTMLElement): Promise<Map<string, Found["state"]>> {
  const open = [...menu.querySelectorAll<HTMLElement>("#tree li.open[data-path]")].map((item) => item.dataset["path"] ?? "/");
  const places = await Promise.all(["/", ...open].map(children));
  return new Map(places.flatMap((place) => place.children.map((node) => [node.path, node.state] as const)));
}

/** Ask the states of what the menu shows, and set its lamps. */
async function relight(menu: HTMLElement): Promise<void> {
  const now = await states(menu);
  for (const item of menu.querySelectorAll<HTMLElement>("li[data-path]")) {
    const lamp = item.querySelector<HTMLElement>(":scope > .leaf > .dot");
    const state = now.get(item.dataset["path"] ?? "");
    if (lamp && state) {
      lamp.className = `dot ${state}`;
      lamp.title = t(`state_${state}`);
    }
  }
}

export function startMenu(current: string): void {
  const menu = document.getElementById("menu");
  const whole = document.getElementById("tree");
  const found = document.getElementById("found");
  const input = document.getElementById("filter") as HTMLInputElement | null;
  const button = document.getElementById("menu-button");
  if (!menu || !whole || !found || !input || !button) return;
  whole.addEventListener("click", (event) => {
    const fold = (event.target as HTMLElement).closest<HTMLElement>(".fold");
    const item = fold?.parentElement;
    if (item) void unfold(item, current);
  });
  button.addEventListener("click", () => {
    const shown = menu.classList.toggle("shown");
    button.setAttribute("aria-expanded", String(shown));
    if (shown) input.focus();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && menu.classList.contains("shown")) button.click();
    const typing = event.target instanceof HTMLInputElement;
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      if (!menu.classList.contains("shown") && getComputedStyle(button).display !== "none") button.click();
      input.focus();
    }
  });
  startFilter(input, whole, found, current);
  menu.querySelector(".current")?.scrollIntoView({ block: "nearest" });
  window.setInterval(() => {
    if (!document.hidden) void relight(menu).catch(() => undefined);
  }, 20_000);
}
