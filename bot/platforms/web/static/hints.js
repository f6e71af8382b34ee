// The completion list of the prompt language: options after `--`, and values after an option that has some.

import { announce, el, find } from "./dom.js";
import { boot, say } from "./net.js";

const OPTION = /(?:^|\s)((?:--|—|–)[\w-]*)$/u;
const VALUE = /(?:^|\s)(?:--|—|–)([\w-]+)\s+(\S*)$/u;
const SHOWN_MAX = 24;

function valuesOf(name, { mode, picture }) {
  if (name === "style") return boot.styles.map((style) => ({ name: style, hint: "" }));
  if (name === "model") {
    const kind = mode === "write" ? "text" : "image";
    const fits = (model) => model.kind === kind && (model.from_picture || !picture);
    return boot.models.filter(fits).map((model) => ({ name: model.name, hint: model.title }));
  }
  const option = boot.options.find((known) => known.name === `--${name}`);
  return (option?.values ?? []).map((value) => ({ name: value, hint: "" }));
}

/** What could stand at the end of `text`, in a mode, beside a picture or not: the items, and where their first letter goes. */
export function completions(text, { mode, picture }) {
  const option = OPTION.exec(text);
  if (option) {
    const typed = option[1].replace(/^[—–]/, "--");
    const fits = (hint) => hint.name.startsWith(typed) && (!hint.commands.length || hint.commands.includes(mode));
    return { items: boot.options.filter(fits), start: text.length - option[1].length, typed };
  }
  const value = VALUE.exec(text);
  if (!value) return { items: [], start: 0, typed: "" };
  const typed = value[2];
  const fits = (item) => item.name.toLowerCase().startsWith(typed.toLowerCase());
  return { items: valuesOf(value[1], { mode, picture }).filter(fits), start: text.length - typed.length, typed };
}

export class Hints {
  constructor(prompt, asked, changed) {
    this.prompt = prompt;
    this.asked = asked;
    this.changed = changed;
    this.list = find("hints");
    this.items = [];
    prompt.addEventListener("blur", () => setTimeout(() => this.close(), 150));
  }

  update() {
    const { items, start, typed } = completions(this.prompt.value.slice(0, this.prompt.selectionStart), this.asked());
    if (!items.length || items.some((item) => item.name === typed)) return this.close();
    const opening = this.list.hidden;
    this.items = items.slice(0, SHOWN_MAX);
    this.start = start;
    this.draw();
    this.choose(0);
    if (opening) announce(say("options-found", { count: items.length }));
    return undefined;
  }

  draw() {
    this.list.replaceChildren(...this.items.map((item, index) => el("li", {
      id: `hint-${index}`, role: "option",
      on: { pointerdown: (event) => { event.preventDefault(); this.accept(index); } },
    }, el("b", {}, item.name), el("span", {}, item.hint))));
    this.list.hidden = false;
  }

  choose(index) {
    this.index = (index + this.items.length) % this.items.length;
    [...this.list.children].forEach((node, at) => node.setAttribute("aria-selected", String(at === this.index)));
    this.list.children[this.index].scrollIntoView({ block: "nearest" });
    this.prompt.setAttribute("aria-activedescendant", `hint-${this.index}`);
  }

  /** Whether the key was for the list. */
  key(event) {
    if (this.list.hidden || event.shiftKey) return false;
    const acts = {
      ArrowDown: () => this.choose(this.index + 1),
      ArrowUp: () => this.choose(this.index - 1),
      Tab: () => this.accept(this.index),
      Enter: () => this.accept(this.index),
      Escape: () => this.close(),
    };
    if (!acts[event.key]) return false;
    event.preventDefault();
    acts[event.key]();
    return true;
  }

  accept(index) {
    const end = this.prompt.selectionStart;
    this.prompt.setRangeText(`${this.items[index].name} `, this.start, end, "end");
    this.changed();
    this.update();
  }

  close() {
    this.list.hidden = true;
    this.items = [];
    this.prompt.removeAttribute("aria-activedescendant");
  }
}
