// Elements and safe text. Foreign text only ever becomes text nodes: nothing here parses HTML.

const SVG = "http://www.w3.org/2000/svg";

/** An element. `props` are properties, except `class`, `on` (listeners), `data` and `aria-*`/`role` attributes. */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (name === "on") for (const [type, listener] of Object.entries(value)) node.addEventListener(type, listener);
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name === "class") node.className = value;
    else if (name.includes("-") || name === "role") node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `/static/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

export const find = (id) => document.getElementById(id);

const INLINE = /\*\*([^*\n]+)\*\*|`([^`\n]+)`/g;

function inline(text) {
  const nodes = [];
  let last = 0;
  for (const match of text.matchAll(INLINE)) {
    nodes.push(text.slice(last, match.index));
    nodes.push(match[1] !== undefined ? el("strong", {}, match[1]) : el("code", {}, match[2]));
    last = match.index + match[0].length;
  }
  return [...nodes, text.slice(last)].filter(Boolean);
}

const BULLET = /^\s*[-*•]\s+/;
const NUMBER = /^\s*\d{1,3}[.)]\s+/;
const HEADING = /^#{1,4}\s+/;

function listOf(lines, marker, tag) {
  return el(tag, {}, ...lines.map((line) => el("li", { dir: "auto" }, ...inline(line.replace(marker, "")))));
}

function paragraph(lines) {
  const node = el("p", { dir: "auto" });
  lines.forEach((line, index) => node.append(...(index ? [el("br")] : []), ...inline(line)));
  return node;
}

function kindOf(line) {
  if (BULLET.test(line)) return "bullet";
  if (NUMBER.test(line)) return "number";
  return HEADING.test(line) ? "heading" : "words";
}

function block(kind, lines) {
  if (kind === "bullet") return listOf(lines, BULLET, "ul");
  if (kind === "number") return listOf(lines, NUMBER, "ol");
  if (kind === "heading") return el("h3", { dir: "auto" }, ...inline(lines[0].replace(HEADING, "")));
  return paragraph(lines);
}

/** The small Markdown of replies (**bold**, `code`, lists, headings) as elements. */
export function prose(text) {
  const blocks = [];
  let run = [];
  let kind = "words";
  const flush = () => { if (run.length) blocks.push(block(kind, run)); run = []; };
  for (const line of text.split("\n")) {
    const next = kindOf(line);
    if (!line.trim() || next !== kind || kind === "heading") flush();
    kind = next;
    if (line.trim()) run.push(line);
  }
  flush();
  return blocks;
}

const status = find("status");

/** Tells a screen reader, politely and once. */
export function announce(text) {
  if (text && status.textContent !== text) status.textContent = text;
}

/** A line that passes by, perhaps with something to do. */
export function toast(text, { label = "", act = null, seconds = 7 } = {}) {
  const node = el("div", { class: "toast" }, el("div", {}, ...prose(text)));
  const gone = setTimeout(() => node.remove(), seconds * 1000);
  if (act) {
    const run = () => { clearTimeout(gone); node.remove(); act(); };
    node.append(el("button", { type: "button", class: "button", on: { click: run } }, label));
  }
  find("toasts").replaceChildren(node);
}
