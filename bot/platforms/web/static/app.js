// Where the parts of the page meet: what is sent, what comes back, which view is open.

import { Composer } from "./composer.js";
import { announce, el, find, prose, toast } from "./dom.js";
import { Gallery, Lightbox } from "./gallery.js";
import { Feed, Unreachable, boot, eventId, sendLanguage, sendPress, sendSay, title, words } from "./net.js";
import { Panel } from "./panels.js";
import { Thread, toEnd } from "./thread.js";

const unsent = new Set();
const OFFLINE_MS = 2500;
const VIEWS = { "": "chat", "#gallery": "gallery" };

const lightbox = new Lightbox({ onPress: press });
const gallery = new Gallery({ lightbox });
const thread = new Thread({ onPress: press, onOpen: (picture) => lightbox.open(thread.pictures(), picture.artifact) });
const panel = new Panel({ onReply: (reply) => follow(reply) });
const composer = new Composer({ onSend: send });

/** Sends what was typed; `/help` and its like open the panel, which also says that there is no such command. */
function send(request) {
  const [, command, rest] = /^\/([a-z]+)(?:\s+([\s\S]*))?$/.exec(request.text.trim()) ?? [];
  if (command) {
    if (!["imagine", "write"].includes(command)) return panel.open(command, rest);
    request = { ...request, command, text: rest ?? "" };
  }
  view("chat");
  return submit(thread.ask({ ...request, event: eventId() }));
}

async function submit(turn) {
  unsent.delete(turn);
  try {
    settle(turn, await sendSay(turn.request));
  } catch (error) {
    const retry = () => { thread.again(turn); return submit(turn); };
    thread.fail(turn, error.message, retry);
    if (error instanceof Unreachable) unsent.add(turn);
  }
}

function settle(turn, reply) {
  const refused = reply.refused && !reply.cards.length;
  thread.settle(turn, reply, (button) => press(button));
  follow({ ...reply, cards: [], text: "", buttons: [] });
  if (refused && reply.draft === null) composer.giveBack(turn.request);
}

/** A button; `card` is the one that it belongs to. */
async function press(button, card = null, event = eventId()) {
  try {
    follow(await sendPress({ event, button: button.id, hidden: card?.private ?? composer.hidden }), card);
  } catch (error) {
    toast(error.message, { label: words.retry, act: () => press(button, card, event), seconds: 20 });
  }
}

/** Does what a reply asks for. */
function follow(reply, card = null) {
  for (const drawn of reply.cards) thread.apply(drawn, { whole: false });
  if (reply.cards.length) { view("chat"); toEnd(); }
  if (reply.gone !== null) { thread.remove(reply.gone); gallery.drop(reply.gone); announce(words.deleted); }
  if (reply.left !== null) { find("left").textContent = reply.left; find("left").hidden = false; }
  for (const href of reply.files) el("a", { href, download: "" }).click();
  if (reply.draft !== null) {
    view("chat");
    composer.fill(reply.draft, { origin: reply.draft_origin, command: reply.draft_command });
  }
  if (reply.text || reply.buttons.length) tell(reply, card);
}

function tell(reply, card) {
  const drawn = card && thread.views.get(card.job);
  if (drawn) { view("chat"); drawn.tell(reply, (button) => press(button, card)); announce(reply.text); }
  else if (reply.buttons.length) panel.show(reply);
  else toast(reply.text);
}

/** Each view has an address, so that the browser's back button leads from the gallery to the chat. */
function view(name) {
  if (VIEWS[location.hash] !== name) history.pushState(null, "", name === "gallery" ? "#gallery" : "/");
  show(name);
}

/** What the address says, if it says something. */
function viewOfAddress() {
  if (location.hash in VIEWS) show(VIEWS[location.hash]);
}

function show(name) {
  if (!find(name).hidden) return;
  for (const button of document.querySelectorAll("[data-view]")) {
    find(button.dataset.view).hidden = button.dataset.view !== name;
    if (button.dataset.view === name) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
  }
  if (name === "gallery") { scrollTo(0, 0); gallery.open(); }
  else toEnd("instant");
  thread.watch();
}

let offline = null;

function connected(yes) {
  clearTimeout(offline);
  if (!yes) offline = setTimeout(() => { find("connection").hidden = false; }, OFFLINE_MS);
  if (!yes) return;
  find("connection").hidden = true;
  for (const turn of unsent) { thread.again(turn); submit(turn); }
}

async function sync() {
  try { await thread.sync(); } catch { feed.restart(); }
}

let refreshing = null;

/** Fetches cards with fresh links, once for however many pictures failed. */
function refreshLinks() {
  refreshing ??= setTimeout(async () => { await sync(); refreshing = null; }, 1500);
}

/** What did not load while the server was away is tried again, by the same link too. */
function greeted() {
  for (const image of document.querySelectorAll("img[data-failed]")) image.dataset.failed = "away";
  return sync();
}

const onEvent = {
  hello: greeted,
  stale: sync,
  card: (card) => thread.apply(card),
  text: (delta) => { if (!thread.grow(delta)) feed.restart(); },
  words: ({ text }) => toast(text, { seconds: 20 }),
  closed: ({ error }) => { if (error) toast(error); thread.sync().catch(() => {}); },
};

function drawEmpty() {
  const suggestions = boot.suggestions.map(({ text, command }) => {
    const click = () => send({ command, text, origin: null, file: null, sourceUrl: "", hidden: composer.hidden });
    return el("li", {}, el("button", { type: "button", class: "button", dir: "auto", on: { click } }, text));
  });
  find("suggestions").replaceChildren(...suggestions);
  find("banner").append(...prose(boot.banner));
  find("banner").hidden = !boot.banner;
}

function listen() {
  find("plans").hidden = !boot.sells;
  for (const node of document.querySelectorAll("[data-view]")) node.addEventListener("click", () => view(node.dataset.view));
  for (const node of document.querySelectorAll("[data-panel]")) node.addEventListener("click", () => panel.open(node.dataset.panel));
  for (const node of document.querySelectorAll("[data-close]")) node.addEventListener("click", () => node.closest("dialog").close());
  for (const node of document.querySelectorAll("[data-locale]")) node.addEventListener("click", () => speak(node.dataset.locale));
  addEventListener("popstate", viewOfAddress);
  document.addEventListener("picture-failed", refreshLinks);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) document.title = title; });
}

async function speak(locale) {
  try {
    await sendLanguage(locale);
    location.replace("/");
  } catch (error) {
    toast(error.message);
  }
}

drawEmpty();
listen();
viewOfAddress();
const feed = new Feed({ onEvent: (type, value) => onEvent[type]?.(value), onState: connected, busy: () => thread.busy() });
if (matchMedia("(pointer: fine)").matches) composer.prompt.focus({ preventScroll: true }); // no keyboard pops up
