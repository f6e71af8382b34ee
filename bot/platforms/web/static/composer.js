// The message box: what is typed, the mode, a picture, what is being edited. It survives a reload.

import { el, find, icon, toast } from "./dom.js";
import { Hints } from "./hints.js";
import { boot, say, words } from "./net.js";

const KEPT = "atelier-unsent";
const KINDS = find("file").accept.split(",");

export class Composer {
  constructor({ onSend }) {
    this.form = find("composer");
    this.prompt = find("prompt");
    this.onSend = onSend;
    this.file = null;
    this.sourceUrl = "";
    this.origin = null;
    this.hints = new Hints(this.prompt, () => ({ mode: this.mode, picture: this.hasPicture }), () => this.changed());
    this.restore();
    this.listen();
    this.changed();
  }

  get mode() { return this.form.elements.mode.value; }
  set mode(value) {
    if (["imagine", "write"].includes(value)) this.form.elements.mode.value = value;
    this.changed();
  }
  get hasPicture() { return Boolean(this.file) || this.origin !== null; }
  get hidden() { return find("private").getAttribute("aria-pressed") === "true"; }

  listen() {
    this.form.addEventListener("submit", (event) => { event.preventDefault(); this.submit(); });
    this.prompt.addEventListener("input", () => { this.changed(); this.hints.update(); });
    this.prompt.addEventListener("keydown", (event) => this.key(event));
    for (const radio of this.form.elements.mode) radio.addEventListener("change", () => this.changed());
    find("private").addEventListener("click", ({ currentTarget }) => {
      currentTarget.setAttribute("aria-pressed", String(!this.hidden));
      this.keep();
    });
    find("attach").addEventListener("click", () => find("file").click());
    find("file").addEventListener("change", ({ target }) => { this.attach(target.files[0]); target.value = ""; });
    this.prompt.addEventListener("paste", (event) => {
      const [file] = event.clipboardData.files;
      if (file) { event.preventDefault(); this.attach(file); }
    });
    this.listenDrop();
  }

  listenDrop() {
    const over = (on) => (event) => {
      if (![...(event.dataTransfer?.types ?? [])].includes("Files")) return;
      event.preventDefault();
      this.form.classList.toggle("dropping", on);
      if (event.type === "drop") this.attach(event.dataTransfer.files[0]);
    };
    addEventListener("dragover", over(true));
    addEventListener("dragleave", over(false));
    addEventListener("drop", over(false));
  }

  key(event) {
    if (event.isComposing || event.keyCode === 229) return; // an input method is choosing characters
    if (this.hints.key(event)) return;
    if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); this.submit(); }
    if (event.key === "Escape" && this.origin !== null) this.unorigin();
  }

  submit() {
    const text = this.prompt.value;
    if (!text.trim() && !this.file) return this.prompt.focus();
    const { mode, origin, file, sourceUrl, hidden } = this;
    this.sourceUrl = ""; // now the turn's
    this.file = null;
    this.fill("");
    return this.onSend({ command: mode, text, origin, file, sourceUrl, hidden });
  }

  /** Fills the box, replying to `origin` if there is one. */
  fill(text, { origin = null, command = "", focus = true } = {}) {
    this.prompt.value = text;
    this.origin = origin;
    if (command) this.mode = command;
    this.hints.close();
    this.changed();
    if (focus) { this.prompt.focus(); this.prompt.setSelectionRange(text.length, text.length); }
  }

  unorigin() { this.origin = null; this.changed(); this.prompt.focus(); }

  attach(file) {
    if (!file) return;
    if (!KINDS.includes(file.type) || !file.size) return void toast(words["not-a-picture"]);
    if (file.size > boot.limits.upload_bytes) return void toast(say("too-large", { megabytes: boot.limits.upload_bytes >> 20 }));
    this.detach();
    this.file = file;
    this.sourceUrl = URL.createObjectURL(file);
    this.changed();
    this.prompt.focus();
  }

  /** Gives back what was refused, unless something new is there already. */
  giveBack({ text, origin, command, file }) {
    if (this.prompt.value || this.file) return;
    this.fill(text, { origin, command });
    this.attach(file);
  }

  detach() {
    if (this.sourceUrl) URL.revokeObjectURL(this.sourceUrl);
    this.file = null;
    this.sourceUrl = "";
    this.changed();
  }

  changed() {
    this.prompt.style.height = "auto";
    this.prompt.style.height = `${this.prompt.scrollHeight}px`;
    const picture = this.mode === "imagine";
    this.prompt.placeholder = words[picture ? "prompt-picture" : "prompt-text"];
    this.prompt.setAttribute("aria-label", this.prompt.placeholder);
    find("lead").textContent = words[picture ? "empty-picture" : "empty-text"];
    find("send").setAttribute("aria-disabled", String(!this.prompt.value.trim() && !this.file));
    this.drawChips();
    this.keep();
  }

  drawChips() {
    const chip = (label, removal, remove, ...before) => el("div", { class: "chip" }, ...before, el("span", {}, label),
      el("button", { type: "button", class: "tool", "aria-label": removal, on: { click: remove } }, icon("close")));
    const chips = [];
    if (this.origin !== null) chips.push(chip(say("editing", { job: this.origin }), words["editing-remove"], () => this.unorigin()));
    if (this.file) chips.push(chip(this.file.name || words.picture, words["attachment-remove"], () => { this.detach(); this.prompt.focus(); }, el("img", { src: this.sourceUrl, alt: "" })));
    const key = JSON.stringify([this.origin, this.sourceUrl]);
    if (key !== this.chipsKey) find("chips").replaceChildren(...chips);
    this.chipsKey = key;
  }

  keep() {
    const kept = { text: this.prompt.value, mode: this.mode, origin: this.origin, hidden: this.hidden };
    try { sessionStorage.setItem(KEPT, JSON.stringify(kept)); } catch { /* storage may be forbidden */ }
  }

  restore() {
    let kept = null;
    try { kept = JSON.parse(sessionStorage.getItem(KEPT)); } catch { /* nothing to restore */ }
    if (!kept) return;
    this.prompt.value = kept.text ?? "";
    this.origin = kept.origin ?? null;
    this.form.elements.mode.value = kept.mode === "write" ? "write" : "imagine";
    find("private").setAttribute("aria-pressed", String(Boolean(kept.hidden)));
  }
}
