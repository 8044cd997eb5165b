// One message: its author, state, revision, blocks and attachments, and its details on demand.

import { h, icon, iconButton, fill, copyFrom } from "./dom.js";
import { time, count } from "./format.js";
import { blockView } from "./blocks.js";
import { details } from "./details.js";
import { isOpen } from "./open.js";

const ROLES = { user: "User", assistant: "Assistant", system: "System", tool: "Tool" };
const STATES = { reserved: "Reserved", streaming: "Writing", abandoned: "Abandoned" };

/** The view of a message. `total` is the last sequence number of the thread. */
export class MessageView {
  #blocks = [];
  #signature = "";

  constructor(message, thread) {
    this.thread = thread;
    this.head = h("header", { class: "message-head" });
    this.body = h("div", { class: "message-body" });
    this.foot = h("div", { class: "message-foot" });
    this.element = h(
      "article",
      { class: "message", tabindex: "-1", "data-seq": message.seq, "data-id": message.id },
      this.head,
      this.body,
      this.foot,
    );
    this.more = null;
    this.update(message);
  }

  /** Shows this version of the message. */
  update(message) {
    this.message = message;
    const { element } = this;
    element.dataset.role = message.role ?? "damaged";
    element.dataset.state = message.state ?? "damaged";
    element.setAttribute("aria-posinset", message.seq);
    if (message.damaged) return this.#damaged(message);
    const signature = JSON.stringify([message.state, message.revision, message.updatedAt, message.attachments, message.abandonReason]);
    if (signature !== this.#signature) {
      this.#signature = signature;
      this.#showHead(message);
      this.#showFoot(message);
    }
    element.setAttribute("aria-busy", String(isOpen(message)));
    this.#showBlocks(message.blocks);
    if (!isOpen(message)) this.#blocks.forEach((block) => block.finish());
    if (this.more) this.#openDetails();
  }

  #damaged(message) {
    fill(this.head, icon("warn"), h("span", { class: "author" }, "Damaged message"), h("span", { class: "seq" }, `#${message.seq}`));
    fill(this.body, h("p", { class: "hint" }, "The store finds this message and cannot read it. The other messages are not affected."));
  }

  #showHead(message) {
    const name = ROLES[message.role] ?? message.role;
    const label = `message-${message.seq}`;
    this.element.setAttribute("aria-labelledby", label);
    const copy = iconButton("copy", "Copy the text", () => copyFrom(copy, this.text()));
    const more = iconButton("more", "Details", () => this.toggleDetails(), { "aria-expanded": String(this.more !== null) });
    this.moreButton = more;
    fill(
      this.head,
      h("span", { class: "avatar", "aria-hidden": "true" }, name.slice(0, 1).toUpperCase()),
      h("span", { class: "author", id: label }, name),
      STATES[message.state] && h("span", { class: "badge state-badge" }, STATES[message.state]),
      time(message.createdAt),
      h("span", { class: "seq", title: `Sequence number ${message.seq}, revision ${message.revision}` }, `#${count(message.seq)}`, h("span", { class: "revision" }, ` r${message.revision}`)),
      h("span", { class: "actions" }, copy, more),
    );
  }

  #showFoot(message) {
    const { attachments = [], abandonReason } = message;
    fill(
      this.foot,
      abandonReason && h("p", { class: "reason" }, icon("warn"), `Abandoned: ${abandonReason}`),
      attachments.length > 0 &&
        h(
          "ul",
          { class: "attachments", "aria-label": "Attachments" },
          attachments.map((key) => h("li", { class: "chip" }, icon("file"), h("span", { class: "ellipsis" }, key))),
        ),
    );
  }

  #showBlocks(blocks) {
    const old = this.#blocks;
    this.#blocks = blocks.map((block, index) => {
      const known = old[index];
      if (known && (known.block === block || known.grow(block))) return known;
      const view = blockView(block);
      if (known) known.element.replaceWith(view.element);
      else this.body.append(view.element);
      return view;
    });
    old.slice(blocks.length).forEach((block) => block.element.remove());
  }

  /** Returns the text of the text blocks. */
  text() {
    return this.#blocks.map((block) => block.text).filter((text) => text !== undefined).join("\n\n");
  }

  /** Opens or closes the details. */
  toggleDetails() {
    if (this.message.damaged) return;
    if (this.more) {
      this.more.remove();
      this.more = null;
    } else {
      this.more = h("section", { class: "details", "aria-label": "Details of the message" });
      this.element.append(this.more);
      this.#openDetails();
    }
    this.moreButton.setAttribute("aria-expanded", String(this.more !== null));
  }

  #openDetails() {
    const key = `${this.message.revision} ${this.message.updatedAt}`;
    if (this.more.dataset.key === key) return;
    this.more.dataset.key = key;
    details(this.more, this.thread, this.message);
  }
}
