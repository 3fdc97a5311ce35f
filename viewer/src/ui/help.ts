import { h } from "./dom";

const KEYS: readonly (readonly [string, string])[] = [
    ["Drag", "turn around the target (orbit), look around (fly, walk)"],
    ["Right drag, two fingers", "move sideways"],
    ["Wheel, pinch", "nearer, farther"],
    ["Double click", "turn around what is there"],
    ["W A S D, arrows", "move"],
    ["Q E", "down, up"],
    ["[ ]", "previous, next photo's camera"],
    ["Space", "next way of comparing with the photo"],
    ["Escape", "leave the photo's camera"],
    ["1 2 3 4 5", "colour, depth, normals, opacity, primitives"],
    ["C", "cameras"],
    ["K", "add a keyframe"],
    ["P", "save a picture"],
    ["H", "panel"],
    ["?", "this help"],
];

export function makeHelp(): HTMLDialogElement {
    const list = h("dl", {}, ...KEYS.flatMap(([key, what]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, what)]));
    const dialog = h("dialog", {}, h("h2", {}, "Keys"), list);
    dialog.append(h("button", { type: "button", onclick: () => dialog.close() }, "Close"));
    document.body.append(dialog);
    return dialog;
}
