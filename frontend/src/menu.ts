/** The menu: unfold, find by name, keep the lamps of what is shown current. */

import { tree, type TreeNode } from "./api";
import { t } from "./data";

const MOST_FOUND = 200;

function leaf(node: TreeNode, current: string, host: boolean): HTMLAnchorElement {
  const link = document.createElement("a");
  link.className = node.path === current ? "leaf current" : "leaf";
  link.href = `/targets${encodeURI(node.path)}`;
  const lamp = document.createElement("i");
  lamp.className = `dot ${node.state}`;
  lamp.title = t(`state_${node.state}`);
  const name = document.createElement("span");
  name.textContent = node.menu;
  link.append(lamp, name);
  if (host) {
    const small = document.createElement("small");
    small.textContent = node.host;
    link.append(small);
    link.title = node.path;
  }
  return link;
}

function entry(node: TreeNode, current: string): HTMLLIElement {
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

async function unfold(item: HTMLElement, current: string): Promise<void> {
  const open = item.classList.toggle("open");
  item.querySelector(":scope > .fold")?.setAttribute("aria-expanded", String(open));
  if (!open || item.querySelector(":scope > ul")) return;
  const list = document.createElement("ul");
  item.append(list);
  const node = await tree(item.dataset["path"] ?? "/", 1);
  list.append(...node.children.map((child) => entry(child, current)));
}

function flatten(node: TreeNode): TreeNode[] {
  return [node, ...node.children.flatMap(flatten)];
}

/** Nodes with every word of the query in their name, title, path or host. */
export function matching(nodes: readonly TreeNode[], query: string): TreeNode[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  return nodes.filter((node) => {
    const text = `${node.menu}\n${node.title}\n${node.path}\n${node.host}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

function startFilter(input: HTMLInputElement, whole: HTMLElement, found: HTMLElement, current: string): void {
  let all: Promise<TreeNode[]> | null = null;
  const search = async (): Promise<void> => {
    const query = input.value.trim();
    whole.hidden = query !== "";
    found.hidden = query === "";
    if (!query) return;
    all ??= tree("/", 100).then((root) => flatten(root).filter((node) => node.path !== "/"));
    const hits = matching(await all, query);
    if (input.value.trim() !== query) return;
    const items = hits.slice(0, MOST_FOUND).map((node) => {
      const item = document.createElement("li");
      item.append(leaf(node, current, true));
      return item;
    });
    if (items.length === 0) {
      const item = document.createElement("li");
      item.className = "none";
      item.textContent = t("filter_none");
      items.push(item);
    }
    found.replaceChildren(...items);
  };
  input.addEventListener("input", () => void search());
  input.addEventListener("focus", () => (all = null));
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      input.value = "";
      void search();
    }
    if (event.key === "Enter") found.querySelector<HTMLAnchorElement>("a")?.click();
  });
}

/** Ask the states of what the menu shows, and set its lamps. */
async function relight(menu: HTMLElement): Promise<void> {
  const open = [...menu.querySelectorAll<HTMLElement>("#tree li.open[data-path]")].map((item) => item.dataset["path"] ?? "/");
  const places = await Promise.all(["/", ...open].map((path) => tree(path, 1)));
  const states = new Map(places.flatMap((place) => place.children.map((node) => [node.path, node.state] as const)));
  for (const item of menu.querySelectorAll<HTMLElement>("li[data-path]")) {
    const lamp = item.querySelector<HTMLElement>(":scope > .leaf > .dot");
    const state = states.get(item.dataset["path"] ?? "");
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
