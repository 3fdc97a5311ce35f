type Child = Node | string | null;

/** An element with properties and children: `h("button", { onclick }, "Save")`. */
export function h<K extends keyof HTMLElementTagNameMap>(
    tag: K,
    properties: Partial<Omit<HTMLElementTagNameMap[K], "style">> & { aria?: Record<string, string> } = {},
    ...children: Child[]
): HTMLElementTagNameMap[K] {
    const element = document.createElement(tag);
    const { aria, ...rest } = properties;
    Object.assign(element, rest);
    for (const [name, value] of Object.entries(aria ?? {})) element.setAttribute(`aria-${name}`, value);
    element.append(...children.filter((child) => child !== null));
    return element;
}

/** Calls back for presses that are no drags, with their place on the element, CSS px. */
export function onClick(element: HTMLElement, callback: (x: number, y: number) => void): void {
    const farthest = 4;
    let start = { x: 0, y: 0 };
    element.addEventListener("pointerdown", (event) => (start = { x: event.clientX, y: event.clientY }));
    element.addEventListener("pointerup", (event) => {
        if (event.button !== 0 || Math.hypot(event.clientX - start.x, event.clientY - start.y) > farthest) return;
        const box = element.getBoundingClientRect();
        callback(event.clientX - box.left, event.clientY - box.top);
    });
}

/** A section of the panel that opens and closes. */
export function section(title: string, open: boolean, ...children: Child[]): HTMLDetailsElement {
    return h("details", { open, className: "section" }, h("summary", {}, title), ...children);
}

/** A slider with its name and value. */
export function slider(
    label: string,
    options: { min: number; max: number; step: number; value: number; show?: (value: number) => string },
    onInput: (value: number) => void,
): { element: HTMLLabelElement; set: (value: number) => void } {
    const show = options.show ?? String;
    const output = h("output", {}, show(options.value));
    const input = h("input", {
        type: "range",
        min: String(options.min),
        max: String(options.max),
        step: String(options.step),
    });
    input.setAttribute("aria-label", label);
    input.value = String(options.value);
    input.oninput = () => {
        output.textContent = show(Number(input.value));
        onInput(Number(input.value));
    };
    const set = (value: number): void => {
        input.value = String(value);
        output.textContent = show(value);
    };
    return { element: h("label", { className: "field" }, h("span", {}, label), input, output), set };
}

/** A choice of one of several values. */
export function select<T extends string>(
    label: string,
    values: Record<T, string>,
    value: T,
    onChange: (value: T) => void,
): { element: HTMLLabelElement; set: (value: T) => void } {
    const input = h("select");
    for (const [key, text] of Object.entries<string>(values)) input.append(h("option", { value: key }, text));
    input.setAttribute("aria-label", label);
    input.value = value;
    input.onchange = () => onChange(input.value as T);
    const set = (chosen: T): void => {
        input.value = chosen;
    };
    return { element: h("label", { className: "field" }, h("span", {}, label), input), set };
}

/** 1234567 as "1.2 M". */
export function short(count: number): string {
    if (count >= 1e6) return `${(count / 1e6).toFixed(1)} M`;
    if (count >= 1e4) return `${Math.round(count / 1e3)} k`;
    return String(Math.round(count));
}

/** 75.2 seconds as "1:15". */
export function clock(seconds: number): string {
    const whole = Math.round(seconds);
    const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
    const two = (value: number): string => String(value).padStart(2, "0");
    return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** Hand a file to the browser to keep. */
export function download(blob: Blob, name: string): void {
    const address = URL.createObjectURL(blob);
    h("a", { href: address, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
