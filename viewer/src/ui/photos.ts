import { h } from "./dom";

/** A photo in the list. */
export interface PhotoEntry {
    name: string;
    split: "train" | "test";
    /** Address of its picture; undefined where there is none. */
    address: string | undefined;
    /** Whether it is known where it was taken from. */
    placed: boolean;
}

/** The photos as buttons that lead to their cameras. */
export class PhotoList {
    readonly element = h("div", { className: "photos" });
    private readonly buttons = new Map<string, HTMLButtonElement>();

    /** describe: a line about a photo, such as its PSNR. */
    constructor(
        private readonly choose: (name: string) => void,
        private readonly describe: (name: string) => string,
    ) {}

    /** These photos and no others. */
    show(photos: readonly PhotoEntry[]): void {
        for (const photo of photos) {
            const button = this.buttons.get(photo.name) ?? this.button(photo);
            button.disabled = !photo.placed;
            const state = photo.placed ? this.describe(photo.name) : "(no place yet)";
            button.title = `${photo.name} ${state}`;
        }
        const names = new Set(photos.map((photo) => photo.name));
        for (const [name, button] of this.buttons)
            if (!names.has(name)) {
                button.remove();
                this.buttons.delete(name);
            }
    }

    /** Say at which photo's camera one stands; null for none. */
    mark(current: string | null): void {
        for (const [name, button] of this.buttons) button.setAttribute("aria-current", String(name === current));
    }

    private button({ name, split, address }: PhotoEntry): HTMLButtonElement {
        const picture = address === undefined ? null : h("img", { alt: "", loading: "lazy", src: address });
        const label = h("span", {}, name);
        const button = h(
            "button",
            { type: "button", className: split, onclick: () => this.choose(name) },
            picture,
            label,
        );
        button.dataset.view = name;
        this.buttons.set(name, button);
        this.element.append(button);
        return button;
    }
}
