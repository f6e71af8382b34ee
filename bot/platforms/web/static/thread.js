// The conversation: cards in order, what was asked but not yet answered, and what is still to be fetched.

import { CardView, askedBubble, notice } from "./cards.js";
import { announce, el, find } from "./dom.js";
import { fetchCards, title, words } from "./net.js";

const list = find("thread");
const NEAR_PX = 160;

const nearEnd = () => window.innerHeight + window.scrollY > document.documentElement.scrollHeight - NEAR_PX;
export const toEnd = (behavior = "smooth") => window.scrollTo({ top: document.documentElement.scrollHeight, behavior });

export class Thread {
  constructor({ onPress, onOpen }) {
    this.handlers = { onPress, onOpen };
    this.cards = new Map();
    this.views = new Map();
    this.asking = new Set();
    this.held = new Map();
    this.loaded = false;
    find("earlier").addEventListener("click", () => this.earlier());
    find("latest").addEventListener("click", () => { toEnd(); find("prompt").focus(); });
    addEventListener("scroll", () => this.watch(), { passive: true });
    new ResizeObserver(() => { if (this.following) toEnd("instant"); }).observe(list);
    this.following = true;
  }

  watch() {
    this.following = nearEnd();
    find("latest").hidden = this.following || list.childElementCount === 0 || find("chat").hidden;
  }

  busy() { return this.asking.size > 0 || [...this.cards.values()].some((card) => !card.ended); }

  /** Takes a card. `whole` is false for one that was fetched: the feed may already know more of it. */
  apply(card, { whole = true, quiet = false } = {}) {
    if (card.state === "deleted") return this.remove(card.job);
    const known = this.cards.get(card.job);
    if (!known && this.asking.size && !quiet) return void this.held.set(card.job, card);
    if (known?.ended && !card.ended) return undefined;
    if (known && card.preview === undefined) card.preview = known.preview;
    if (known && !whole && !card.ended && known.text.length > card.text.length) card.text = known.text;
    this.cards.set(card.job, card);
    this.view(card).draw(card);
    if (!quiet) this.tellChange(known, card);
    this.refresh();
    return undefined;
  }

  /** New words of a text. Returns false if something before them is missing. */
  grow({ job, offset, text, status, fraction }) {
    const card = this.cards.get(job) ?? this.held.get(job);
    if (!card || card.ended) return true;
    if (offset > card.text.length) return false;
    const grown = { ...card, text: card.text.slice(0, offset) + text, status, fraction };
    if (this.held.has(job)) this.held.set(job, grown);
    else this.apply(grown);
    return true;
  }

  view(card) {
    const known = this.views.get(card.job);
    if (known) return known;
    const view = new CardView(this.handlers);
    this.views.set(card.job, view);
    const later = [...this.views.entries()].filter(([job]) => job > card.job).sort(([a], [b]) => a - b)[0];
    list.insertBefore(view.node, later ? later[1].node : [...this.asking][0]?.node ?? null);
    return view;
  }

  tellChange(before, card) {
    if (before?.state === card.state) return;
    const ready = card.kind === "image" ? words["picture-ready"] : words["text-ready"];
    const said = { waiting: card.status, failed: card.status, cancelled: card.status || words.stopped };
    announce(card.state === "done" ? `${ready} ${card.pictures[0]?.alt ?? ""}`.trim() : said[card.state]);
    if (card.state === "done" && document.hidden) document.title = `● ${words["new-result"]} · ${title}`;
  }

  remove(job) {
    this.cards.delete(job);
    this.held.delete(job);
    const view = this.views.get(job);
    if (view?.node.contains(document.activeElement)) find("prompt").focus();
    view?.node.remove();
    this.views.delete(job);
    this.refresh();
  }

  /** Shows at once what was asked. The answer settles it. */
  ask(request) {
    const line = el("p", { class: "line" }, words.sending);
    const bubble = askedBubble({ prompt: request.text, hidden: request.hidden, sourceUrl: request.sourceUrl });
    const turn = { request, line, node: el("li", { class: "turn" }, bubble, el("div", { class: "answer" }, line)) };
    this.asking.add(turn);
    list.append(turn.node);
    this.refresh();
    this.following = true;
    toEnd("instant");
    return turn;
  }

  /** The answer is here: its cards take the place of the turn; without one it stays, with the words. */
  settle(turn, reply, onPress) {
    this.asking.delete(turn);
    for (const card of reply.cards) {
      if (turn.request.sourceUrl && !this.views.has(card.job)) this.view(card).sourceUrl = turn.request.sourceUrl;
      this.apply(card, { whole: false });
    }
    this.release();
    if (reply.cards.length) turn.node.remove();
    if (reply.text || reply.buttons.length) {
      const box = notice(reply, { onPress, onClose: reply.cards.length ? () => box.remove() : () => { turn.node.remove(); this.refresh(); } });
      if (reply.cards.length) this.views.get(reply.cards.at(-1).job)?.tell(reply, onPress);
      else turn.line.replaceWith(box);
      announce(reply.text);
    }
    this.refresh();
    if (this.following) toEnd();
  }

  /** It did not arrive, or was refused outright. */
  fail(turn, sentence, retry) {
    this.asking.delete(turn);
    this.release();
    const again = { type: "button", class: "button", on: { click: () => retry() } };
    const line = el("div", { class: "notice refused", role: "alert" }, el("p", {}, sentence));
    if (retry) line.append(el("div", { class: "buttons" }, el("button", again, words.retry)));
    turn.line.replaceWith(line);
    turn.line = line;
  }

  /** The same turn is sent once more. */
  again(turn) {
    const line = el("p", { class: "line" }, words.sending);
    turn.line.replaceWith(line);
    turn.line = line;
    this.asking.add(turn);
  }

  release() {
    if (this.asking.size) return;
    const held = [...this.held.values()];
    this.held.clear();
    for (const card of held) this.apply(card);
  }

  /** Fetches the newest page: what happened while nobody told us. */
  async sync() {
    const before = new Set(this.cards.keys());
    const { cards, more } = await fetchCards();
    const seen = new Set(cards.map((card) => card.job));
    const oldest = more ? cards.at(-1).job : -1;
    for (const job of before) if (job > oldest && !seen.has(job)) this.remove(job);
    for (const card of cards.reverse()) this.apply(card, { whole: false, quiet: !before.has(card.job) });
    if (!this.loaded) find("earlier").hidden = !more;
    this.loaded = true;
    this.refresh();
  }

  async earlier() {
    const height = document.documentElement.scrollHeight;
    const { cards, more } = await fetchCards(Math.min(...this.cards.keys()));
    this.following = false;
    for (const card of cards) this.apply(card, { whole: false, quiet: true });
    find("earlier").hidden = !more;
    window.scrollBy(0, document.documentElement.scrollHeight - height);
  }

  refresh() {
    find("empty").hidden = !this.loaded || list.childElementCount > 0;
  }

  /** All pictures on show, oldest first, each with its card. */
  pictures() {
    const ordered = [...this.cards.values()].sort((a, b) => a.job - b.job);
    return ordered.flatMap((card) => card.pictures.map((picture) => ({ card, picture })));
  }
}
