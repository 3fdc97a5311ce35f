import { explain } from "../errors";
import { h } from "./dom";

const list = h("div", { className: "messages" });
list.setAttribute("role", "alert");

/** Say what went wrong and what to do about it. */
export function complain(error: unknown): void {
    console.error(error);
    const { what, fix } = explain(error);
    const box = h("div", { className: "message error" }, h("strong", {}, what), h("p", {}, fix));
    const close = h("button", { type: "button", onclick: () => box.remove() }, "×");
    close.setAttribute("aria-label", "Close");
    box.append(close);
    if (!list.isConnected) document.body.append(list);
    list.append(box);
}
