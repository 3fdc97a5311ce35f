import type { App } from "./app";
import { Live } from "./net/live";
import { parseSafetensors } from "./scene/safetensors";
import { section } from "./ui/dom";
import { LivePanel } from "./ui/live_panel";
import { complain } from "./ui/message";

/** Layers of a run that goes on. */
const LIVE_ID = "splats in training";
const LIVE_POINTS_ID = "points so far";
/** Of the wait for a frame to be seen: while somebody turns the scene it does not come to rest. */
const LONGEST_FRAME_MS = 5000;

/** Shows on the page what a run that goes on tells of itself. */
export class Watch {
    /** For the page's panel. */
    readonly section: HTMLElement;
    private readonly live: Live;
    /** Reading and showing, one after another, as the run tells of it. */
    private working: Promise<void> = Promise.resolve();

    constructor(private readonly app: App) {
        const panel = new LivePanel((message) => this.live.send(message));
        this.section = section("Run", true, panel.element);
        this.live = new Live({
            onConnection: (connected) => panel.setConnected(connected),
            onMessage: (message) => {
                panel.hear(message);
                if (message.type === "warned") console.warn(`${message.stage}: ${message.message}`);
                if (message.type === "photos") this.inTurn(() => app.place(message)).catch(complain);
                if (message.type === "stage_finished") this.inTurn(() => app.reread()).catch(complain);
            },
            onFrame: (frame) => this.showFrame(frame),
        });
    }

    /** Do `work` when what was begun before is done. */
    inTurn(work: () => Promise<void>): Promise<void> {
        const done = this.working.then(work);
        this.working = done.catch(() => {}); // Whoever asked for it hears of it.
        return done;
    }

    /** Splats of the run, in place of the published ones until those come; or points. */
    private async showFrame(frame: ArrayBuffer): Promise<number> {
        const { app } = this;
        const { arrays, metadata } = parseSafetensors(frame);
        const shown = Number(metadata.frame);
        await this.working;
        const start = performance.now();
        try {
            const { family = "gaussian" } = metadata;
            // Points that come late would lie on what has been published in their place.
            if (app.empty || (family === "points" && !app.placing)) return shown;
            const id = family === "points" ? LIVE_POINTS_ID : LIVE_ID;
            const first = !app.viewer.layers.has(id);
            await app.viewer.layers.loadLive(id, family, arrays);
            if (first) await app.tree.show([]);
            document.documentElement.dataset.frame = metadata.frame;
            // The next one may come when this one has been seen, and after as long again: a slow graphics card would
            // do nothing but show frames.
            await Promise.race([app.viewer.settled(), pause(LONGEST_FRAME_MS)]);
            await pause(performance.now() - start);
        } catch (error) {
            complain(error);
        }
        return shown;
    }
}

function pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
