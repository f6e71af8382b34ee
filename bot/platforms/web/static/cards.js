// Drawing one card. Each part is redrawn only when it changed, so that focus and selection stay where they are.

import { el, icon, prose } from "./dom.js";
import { words } from "./net.js";

const FRAME_PX = 384;
const CONFIRM_MS = 4000;

/** How wide a picture is shown: enlarged by its scale, within reason. */
const shownWidth = (picture) => Math.min(Math.max(picture.width * picture.scale, 160), 512);

export function pictureFrame(picture, { onOpen, across = null }) {
  const image = el("img", { src: picture.url, alt: picture.alt, loading: "lazy", decoding: "async" });
  image.addEventListener("error", () => {
    image.dataset.failed = image.src; // its link has expired, perhaps: fresh cards bring a fresh one
    document.dispatchEvent(new Event("picture-failed"));
  });
  const props = { type: "button", class: picture.scale > 1 ? "frame enlarged" : "frame", title: words["open-picture"], on: { click: onOpen } };
  const frame = el("button", props, image);
  frame.style.setProperty("--width", `${across ?? shownWidth(picture)}px`);
  frame.style.setProperty("--ratio", `${picture.width} / ${picture.height}`);
  return frame;
}

function restingFrame(card) {
  const frame = el("div", { class: "frame resting", role: "img", "aria-label": card.status || words.working });
  frame.style.setProperty("--width", `${FRAME_PX}px`);
  if (card.preview) {
    frame.classList.remove("resting");
    frame.append(el("img", { class: "preview", alt: "", src: `data:image/jpeg;base64,${card.preview}` }));
  }
  return frame;
}

/** A row of buttons. Delete asks once more; a pressed button rests until its answer is here. */
export function buttonRow(buttons, onPress) {
  return el("div", { class: "buttons" }, ...buttons.map((button) => pressable(button, onPress)));
}

function pressable(button, onPress) {
  if (button.url) return leading(button);
  const node = el("button", { type: "button", class: "button", data: { action: button.action } });
  const plain = () => { node.classList.remove("armed"); node.replaceChildren(icon(button.action), button.label); };
  const armed = () => {
    node.classList.add("armed");
    node.replaceChildren(icon(button.action), words["really-delete"]);
    setTimeout(plain, CONFIRM_MS);
  };
  plain();
  node.addEventListener("click", async () => {
    if (node.getAttribute("aria-disabled") === "true") return;
    if (button.action === "dl" && !node.classList.contains("armed")) return armed();
    node.setAttribute("aria-disabled", "true");
    try { await onPress(button); } finally { node.removeAttribute("aria-disabled"); }
  });
  return node;
}

/** A button that leads elsewhere: to a page where something is paid. This page stays open to hear of it. */
function leading({ url, label, action }) {
  return el("a", { class: "button strong", href: url, target: "_blank", rel: "noopener", data: { action } }, icon(action), label);
}

/** A gentle box with words and, where there are some, buttons. */
export function notice(reply, { onPress, onClose = null }) {
  const node = el("div", { class: `notice prose${reply.refused ? " refused" : ""}${onClose ? " closable" : ""}` });
  node.append(...prose(reply.text));
  if (reply.buttons?.length) node.append(buttonRow(reply.buttons, onPress));
  if (onClose) {
    const close = { type: "button", class: "tool", "aria-label": words.dismiss, on: { click: onClose } };
    node.append(el("button", close, icon("close")));
  }
  return node;
}

export function askedBubble({ prompt, hidden, sourceUrl = "" }) {
  return el("div", { class: "asked", dir: "auto" },
    el("span", { class: "unseen" }, `${words.you}: `),
    sourceUrl ? el("img", { class: "source", src: sourceUrl, alt: "" }) : null,
    prompt,
    hidden ? el("small", {}, icon("lock"), words["private-mark"]) : null);
}

/** The drawn card of one job. */
export class CardView {
  constructor({ onPress, onOpen, sourceUrl = "" }) {
    this.handlers = { onPress, onOpen };
    this.sourceUrl = sourceUrl;
    this.drawn = {};
    this.parts = {};
    this.answer = el("div", { class: "answer" });
    this.asked = el("div");
    this.node = el("li", { class: "turn" }, this.asked, this.answer);
    for (const name of ["frames", "words", "progress", "meta", "buttons", "notices"]) {
      this.parts[name] = el("div", { hidden: true });
      this.answer.append(this.parts[name]);
    }
  }

  draw(card) {
    this.node.id = `job-${card.job}`;
    this.part("asked", [card.prompt, card.private], () => this.drawAsked(card));
    this.part("frames", [card.state, card.pictures.map((picture) => picture.artifact), card.preview, card.pictures.length ? "" : card.status], () => this.frames(card));
    this.retryPictures(card);
    this.part("words", [card.text, card.state], () => this.words(card));
    this.part("progress", [card.state, card.fraction], () => this.progress(card));
    this.part("meta", [card.status, card.state, card.label, card.note], () => this.meta(card));
    this.part("buttons", [card.buttons], () => card.buttons.length ? buttonRow(card.buttons, (button) => this.handlers.onPress(button, card)) : null);
  }

  /** Pictures that did not load are tried again as soon as there is another link to them. */
  retryPictures(card) {
    this.parts.frames.querySelectorAll("img").forEach((image, index) => {
      const url = card.pictures[index]?.url;
      if (!url || !image.dataset.failed || image.dataset.failed.endsWith(url)) return;
      delete image.dataset.failed;
      image.src = url;
    });
  }

  /** Replaces a part if what it shows has changed; keeps focus inside it. */
  part(name, key, make) {
    const text = JSON.stringify(key);
    if (this.drawn[name] === text) return;
    this.drawn[name] = text;
    const made = make();
    if (name === "asked" || made === this.parts[name]) return;
    const focused = this.parts[name].contains(document.activeElement);
    const next = made ?? el("div", { hidden: true });
    this.parts[name].replaceWith(next);
    this.parts[name] = next;
    if (focused) (next.querySelector("button") ?? document.getElementById("prompt")).focus();
  }

  drawAsked(card) {
    const next = askedBubble({ prompt: card.prompt, hidden: card.private, sourceUrl: this.sourceUrl });
    this.asked.replaceWith(next);
    this.asked = next;
  }

  frames(card) {
    if (card.pictures.length) {
      const frames = card.pictures.map((picture) => pictureFrame(picture, { onOpen: () => this.handlers.onOpen(picture) }));
      return el("div", { class: frames.length > 1 ? "frames many" : "frames" }, ...frames);
    }
    const open = card.kind === "image" && (card.state === "waiting" || card.state === "running");
    return open ? el("div", { class: "frames" }, restingFrame(card)) : null;
  }

  words(card) {
    if (card.kind !== "text" || !card.text) return null;
    return el("div", { class: ["waiting", "running"].includes(card.state) ? "words growing" : "words" }, ...prose(card.text));
  }

  progress(card) {
    if (card.state !== "running") return null;
    if (this.parts.progress.tagName === "PROGRESS") {
      this.parts.progress.value = card.fraction;
      return this.parts.progress;
    }
    return el("progress", { class: "progress", max: 1, value: card.fraction, "aria-label": words.working });
  }

  /** That it is AI-made, one line on how it stands, and what else there is to say. */
  meta(card) {
    const text = card.status || { waiting: words["in-line"], cancelled: words.stopped }[card.state];
    const label = card.label ? el("p", { class: "label" }, card.label) : null;
    const line = text ? el("p", { class: card.state === "failed" ? "line trouble" : "line" }, text) : null;
    const note = card.note ? el("p", { class: "line" }, card.note) : null;
    return label || line ? el("div", { class: "meta" }, label, line, note) : null;
  }

  /** Words that answer a button of this card. */
  tell(reply, onPress) {
    const close = () => { box.remove(); this.node.querySelector(".buttons button")?.focus(); };
    const box = notice(reply, { onPress, onClose: close });
    this.parts.notices.hidden = false;
    this.parts.notices.replaceChildren(box);
    box.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }
}
