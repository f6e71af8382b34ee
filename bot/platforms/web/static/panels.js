// The sheet at the side: balance, settings, help. Its words are the bot's own replies.

import { buttonRow } from "./cards.js";
import { el, find, prose } from "./dom.js";
import { eventId, sendPress, sendSay, words } from "./net.js";

export class Panel {
  constructor({ onReply }) {
    this.onReply = onReply;
    this.dialog = find("panel");
    this.dialog.addEventListener("click", ({ target, clientX }) => {
      if (target === this.dialog && clientX < this.dialog.getBoundingClientRect().left) this.dialog.close();
    });
  }

  async open(command, text = "") {
    this.command = command;
    find("panel-title").textContent = words[command] ?? `/${command}`;
    find("panel-body").replaceChildren(el("p", { class: "line" }, words.loading));
    if (!this.dialog.open) this.dialog.showModal();
    await this.ask(() => sendSay({ event: eventId(), command, text }));
  }

  /** An answer with buttons that belongs to no card. */
  show(reply) {
    this.command = "";
    find("panel-title").textContent = "";
    if (!this.dialog.open) this.dialog.showModal();
    this.draw(reply);
  }

  async ask(call) {
    try {
      this.draw(await call());
    } catch (error) {
      find("panel-body").replaceChildren(el("div", { class: "notice refused", role: "alert" }, error.message));
    }
  }

  draw(reply) {
    const elsewhere = reply.draft !== null || reply.files.length || reply.gone !== null;
    if (elsewhere || (!reply.text && reply.cards.length)) {
      this.dialog.close();
      return this.onReply(reply);
    }
    if (reply.cards.length) this.onReply({ ...reply, text: "", buttons: [] });
    const body = el("div", { class: reply.refused ? "notice refused prose" : "prose" }, ...prose(reply.text));
    const press = (button) => this.ask(() => sendPress({ event: eventId(), button: button.id }));
    find("panel-body").replaceChildren(body, buttonRow(reply.buttons, press), ...(this.command === "settings" ? [this.form()] : []));
    return undefined;
  }

  form() {
    const input = el("input", { name: "change", placeholder: words["settings-example"], autocomplete: "off" });
    const submit = (event) => { event.preventDefault(); if (input.value.trim()) this.open("settings", input.value); };
    return el("form", { on: { submit } }, el("label", {}, words["settings-change"], input),
      el("button", { type: "submit", class: "button strong" }, words.apply));
  }
}
