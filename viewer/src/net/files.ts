import { ViewerError } from "../errors";

export type Progress = (bytes: number) => void;

/** Where the files of a scene folder come from. Paths are relative to the folder. */
export interface Files {
    /** The bytes of a file; `progress` hears how many have come. ViewerError when there is no such file. */
    read(path: string, progress?: Progress): Promise<ArrayBuffer>;
    /** The bytes from `start` to before `end`. */
    readRange(path: string, start: number, end: number): Promise<ArrayBuffer>;
    /** An address for `<img>` and textures. */
    address(path: string): string;
    /** True for a page that holds its files itself. */
    readonly embedded: boolean;
}

/** Files of the server that the page came from. */
export class ServerFiles implements Files {
    readonly embedded = false;

    address(path: string): string {
        return `scene/${path.split("/").map(encodeURIComponent).join("/")}`;
    }

    async read(path: string, progress?: Progress): Promise<ArrayBuffer> {
        const response = await this.fetch(path);
        if (progress === undefined || response.body === null) return response.arrayBuffer();
        return collect(response.body.getReader(), progress);
    }

    async readRange(path: string, start: number, end: number): Promise<ArrayBuffer> {
        const response = await this.fetch(path, { Range: `bytes=${start}-${end - 1}` });
        const bytes = await response.arrayBuffer();
        // A server between us and ours may send everything.
        return response.status === 206 ? bytes : bytes.slice(start, end);
    }

    private async fetch(path: string, headers: Record<string, string> = {}): Promise<Response> {
        let response: Response;
        try {
            response = await fetch(this.address(path), { headers });
        } catch {
            throw new ViewerError(
                `${path}: the server does not answer`,
                "Start `recon view` again and reload the page.",
            );
        }
        if (response.status === 401)
            throw new ViewerError(
                "The server wants its token",
                "Open the address that `recon view` printed, token included.",
            );
        if (!response.ok) {
            throw new ViewerError(
                `${path}: the server says ${response.status} ${response.statusText}`,
                "Restore the file, or make the scene again with `recon run --force`.",
            );
        }
        return response;
    }
}

async function collect(reader: ReadableStreamDefaultReader<Uint8Array>, progress: Progress): Promise<ArrayBuffer> {
    const pieces: Uint8Array[] = [];
    let size = 0;
    for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        pieces.push(value);
        size += value.length;
        progress(size);
    }
    const all = new Uint8Array(size);
    let start = 0;
    for (const piece of pieces) {
        all.set(piece, start);
        start += piece.length;
    }
    return all.buffer;
}

/** Files inside the page: `<script type="text/plain" data-file="PATH">` elements with base64 text. */
export class EmbeddedFiles implements Files {
    readonly embedded = true;
    private readonly addresses = new Map<string, string>();

    static found(): boolean {
        return document.querySelector("script[data-file]") !== null;
    }

    address(path: string): string {
        let address = this.addresses.get(path);
        if (address === undefined) {
            address = URL.createObjectURL(new Blob([this.bytes(path)]));
            this.addresses.set(path, address);
        }
        return address;
    }

    async read(path: string, progress?: Progress): Promise<ArrayBuffer> {
        const bytes = this.bytes(path);
        progress?.(bytes.byteLength);
        return bytes;
    }

    async readRange(path: string, start: number, end: number): Promise<ArrayBuffer> {
        return this.bytes(path).slice(start, end);
    }

    private bytes(path: string): ArrayBuffer {
        const element = document.querySelector(`script[data-file=${JSON.stringify(path)}]`);
        if (element === null)
            throw new ViewerError(`${path}: not in this page`, "Export it again with `recon export --format html`.");
        return Uint8Array.from(atob(element.textContent ?? ""), (letter) => letter.charCodeAt(0)).buffer;
    }
}
