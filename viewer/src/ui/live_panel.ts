import type { Progress, RunState, ToPage, ToServer } from "../net/messages";
import { clock, h, short, slider } from "./dom";

const NAMES: Record<RunState["state"], string> = {
    running: "running",
    paused: "paused",
    stopping: "stopping, publishes what there is",
    ended: "done",
};
const CURVE = { width: 280, height: 60 };

/** How a run is doing, and buttons to hold and end it. */
export class LivePanel {
    readonly element = h("div", { className: "live" });
    private readonly line = h("p", {});
    private readonly bar = h("progress", { max: 1, value: 0 });
    private readonly figures = h("dl", { className: "figures" });
    private readonly curve = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    private readonly pause: HTMLButtonElement;
    private readonly stop: HTMLButtonElement;
    private readonly history: [iteration: number, psnr: number][] = [];
    private readonly end = h("input", { type: "number", min: "1", step: "1", placeholder: "as set" });
    private readonly refresh: ReturnType<typeof slider>;
    private state: RunState["state"] = "running";
    private frameSeconds = 1;
    private stage = "";
    private connected = false;

    constructor(send: (message: ToServer) => void) {
        this.pause = h("button", { type: "button" }, "Pause");
        this.pause.onclick = () => send({ type: "control", action: this.state === "paused" ? "resume" : "pause" });
        this.stop = h("button", { type: "button" }, "Stop");
        this.stop.onclick = () => send({ type: "control", action: "stop" });
        const tune = (): void => {
            const end_at = this.end.value === "" ? null : Math.max(1, Math.round(this.end.valueAsNumber));
            send({ type: "tune", end_at, frame_seconds: this.frameSeconds });
        };
        this.end.onchange = tune;
        const steps = { min: 0.5, max: 10, step: 0.5, value: this.frameSeconds, show: (value: number) => `${value} s` };
        this.refresh = slider("Refresh every", steps, (value) => {
            this.frameSeconds = value;
            tune();
        });
        this.curve.setAttribute("viewBox", `0 0 ${CURVE.width} ${CURVE.height}`);
        this.curve.setAttribute("role", "img");
        this.curve.setAttribute("aria-label", "PSNR on training photos over iterations");
        this.line.setAttribute("role", "status");
        const buttons = h("div", { className: "row" }, this.pause, this.stop);
        const end = h("label", { className: "field" }, h("span", {}, "End after iteration"), this.end);
        this.element.append(this.line, this.bar, this.figures, buttons, end, this.refresh.element);
        this.element.insertBefore(this.curve, buttons);
        this.show();
    }

    hear(message: ToPage): void {
        if (message.type === "run_state") this.tuned(message);
        else if (message.type === "stage_started") {
            this.stage = message.stage;
            this.history.length = 0;
        } else if (message.type === "progress") this.progress(message);
        this.show();
    }

    /** Others may have changed it. */
    private tuned(message: RunState): void {
        this.state = message.state;
        this.frameSeconds = message.frame_seconds;
        this.refresh.set(message.frame_seconds);
        if (document.activeElement !== this.end) this.end.value = message.end_at?.toString() ?? "";
    }

    setConnected(connected: boolean): void {
        this.connected = connected;
        this.show();
    }

    private progress(message: Progress): void {
        this.stage = message.stage;
        this.bar.value = message.iteration / Math.max(1, message.total);
        const figures: [string, string | null][] = [
            ["iteration", `${message.iteration} of ${message.total}`],
            ["loss", message.loss?.toFixed(4) ?? null],
            ["PSNR", message.psnr === null ? null : `${message.psnr.toFixed(2)} dB`],
            ["N", message.num_primitives === null ? null : short(message.num_primitives)],
            ["it/s", message.it_per_s?.toFixed(1) ?? null],
            ["left", message.eta_s === null ? null : clock(message.eta_s)],
        ];
        const known = figures.filter(([, value]) => value !== null);
        this.figures.replaceChildren(...known.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
        if (message.psnr !== null) this.history.push([message.iteration, message.psnr]);
        this.draw();
    }

    private draw(): void {
        this.curve.style.display = this.history.length > 1 ? "" : "none";
        const values = this.history.map(([, psnr]) => psnr);
        const low = Math.min(...values);
        const span = Math.max(...values) - low || 1;
        const last = this.history.at(-1)?.[0] ?? 1;
        const points = this.history.map(([at, psnr]) => {
            const x = (at / last) * CURVE.width;
            return `${x.toFixed(1)},${(CURVE.height - 4 - ((psnr - low) / span) * (CURVE.height - 8)).toFixed(1)}`;
        });
        const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
        line.setAttribute("points", points.join(" "));
        this.curve.replaceChildren(line);
    }

    private show(): void {
        const over = this.state === "ended";
        const where = this.connected || over ? NAMES[this.state] : "connecting again …";
        this.line.textContent = this.stage === "" ? where : `${this.stage}: ${where}`;
        this.pause.textContent = this.state === "paused" ? "Resume" : "Pause";
        this.pause.disabled =
            this.stop.disabled =
            this.end.disabled =
                !this.connected || over || this.state === "stopping";
    }
}
