// All pictures of mine, and one of them enlarged.

import { buttonRow, pictureFrame } from "./cards.js";
import { el, find, toast } from "./dom.js";
import { fetchCards, say, words } from "./net.js";

export class Gallery {
  constructor({ lightbox }) {
    this.lightbox = lightbox;
    this.grid = find("grid");
    find("gallery-more").addEventListener("click", () => this.more());
    this.grid.addEventListener("keydown", (event) => this.key(event));
  }

  async open() {
    this.shown = [];
    this.before = null;
    this.grid.replaceChildren();
    find("gallery-empty").hidden = true;
    await this.more();
  }

  async more() {
    try {
      const { cards, more } = await fetchCards(this.before);
      this.before = cards.at(-1)?.job ?? this.before;
      for (const card of cards) for (const picture of card.pictures) this.add({ card, picture });
      find("gallery-more").hidden = !more;
      find("gallery-empty").hidden = more || this.shown.length > 0;
    } catch (error) {
      toast(words["failed-load"], { label: words.retry, act: () => this.more() });
    }
  }

  add(entry) {
    this.shown.push(entry);
    const open = () => this.lightbox.open(this.shown, entry.picture.artifact);
    this.grid.append(el("li", { data: { job: entry.card.job } }, pictureFrame(entry.picture, { onOpen: open, across: 400 })));
  }

  drop(job) {
    this.shown = this.shown?.filter((entry) => entry.card.job !== job);
    this.grid.querySelectorAll(`[data-job="${job}"]`).forEach((node) => node.remove());
  }

  /** Arrow keys walk the grid. */
  key(event) {
    const frames = [...this.grid.querySelectorAll("button")];
    const at = frames.indexOf(document.activeElement);
    const across = frames.filter((frame) => frame.offsetTop === frames[0].offsetTop).length;
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across }[event.key];
    if (step === undefined || at < 0 || !frames[at + step]) return;
    event.preventDefault();
    frames[at + step].focus();
  }
}

export class Lightbox {
  constructor({ onPress }) {
    this.onPress = onPress;
    this.dialog = find("lightbox");
    find("previous").addEventListener("click", () => this.step(-1));
    find("next").addEventListener("click", () => this.step(1));
    this.dialog.addEventListener("keydown", ({ key }) => this.step({ ArrowLeft: -1, ArrowRight: 1 }[key] ?? 0));
    this.dialog.addEventListener("click", ({ target }) => { if (target === this.dialog || target.tagName === "FIGURE") this.dialog.close(); });
    this.dialog.addEventListener("close", () => this.opener?.focus());
  }

  open(entries, artifact) {
    this.opener = document.activeElement;
    this.entries = entries;
    this.index = entries.findIndex((entry) => entry.picture.artifact === artifact);
    this.draw();
    this.dialog.showModal();
  }

  step(by) {
    if (!by || !this.entries[this.index + by]) return;
    this.index += by;
    this.draw();
  }

  draw() {
    const { card, picture } = this.entries[this.index];
    const image = find("lightbox-picture");
    const ratio = picture.width / picture.height;
    image.src = picture.url;
    image.alt = picture.alt;
    image.className = picture.scale > 1 ? "enlarged" : "";
    image.style.width = `min(100%, ${Math.round(picture.width * picture.scale * 1.5)}px, ${(64 * ratio).toFixed(2)}dvh)`;
    image.style.aspectRatio = String(ratio);
    find("previous").style.visibility = this.index ? "" : "hidden";
    find("next").style.visibility = this.index < this.entries.length - 1 ? "" : "hidden";
    find("lightbox-caption").replaceChildren(
      el("p", { dir: "auto" }, card.prompt),
      el("p", { class: "label" }, card.label),
      el("p", { class: "unseen", role: "status" }, say("picture-of", { index: this.index + 1, count: this.entries.length })),
      buttonRow(card.buttons, (button) => { this.dialog.close(); return this.onPress(button, card); }));
  }
}
