import type { ToPage, ToServer } from "./messages";

/** What a running optimisation says. */
export interface LiveListener {
    onMessage(message: ToPage): void;
    /** Splats, a safetensors file; the next one comes when the promise resolves. */
    onFrame(frame: ArrayBuffer): Promise<number>;
    onConnection(connected: boolean): void;
}

const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 8000;

/** The socket to a run; connects again when it breaks. Nobody watches a hidden page: it costs the run nothing. */
export class Live {
    private socket: WebSocket | null = null;
    private retryMs = FIRST_RETRY_MS;
    private retry = 0;
    private ended = false;

    constructor(private readonly listener: LiveListener) {
        document.addEventListener("visibilitychange", () => (document.hidden ? this.socket?.close() : this.connect()));
        this.connect();
    }

    send(message: ToServer): void {
        if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
    }

    private connect(): void {
        clearTimeout(this.retry);
        if (this.ended || document.hidden || (this.socket?.readyState ?? WebSocket.CLOSED) <= WebSocket.OPEN) return;
        const address = new URL("api/live", location.href);
        address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
        address.hash = address.search = "";
        const socket = new WebSocket(address);
        socket.binaryType = "arraybuffer";
        socket.onopen = () => {
            this.retryMs = FIRST_RETRY_MS;
            this.listener.onConnection(true);
        };
        socket.onmessage = (event: MessageEvent<string | ArrayBuffer>) => {
            if (typeof event.data === "string") this.hear(JSON.parse(event.data));
            else void this.listener.onFrame(event.data).then((frame) => this.send({ type: "ack", frame }));
        };
        socket.onclose = () => {
            if (this.ended || this.socket !== socket) return;
            this.listener.onConnection(false);
            this.retry = window.setTimeout(() => this.connect(), this.retryMs);
            this.retryMs = Math.min(LONGEST_RETRY_MS, 2 * this.retryMs);
        };
        this.socket = socket;
    }

    private hear(message: ToPage): void {
        // After its end a run has nothing to say, whether or not its server goes on.
        if (message.type === "run_state") this.ended = message.state === "ended";
        this.listener.onMessage(message);
    }
}
