import { App } from "./app";
import { EmbeddedFiles, ServerFiles } from "./net/files";
import { complain } from "./ui/message";

declare global {
    interface Window {
        /** For the console and for scripts that drive the page. */
        recon?: App;
    }
}

addEventListener("unhandledrejection", (event) => complain(event.reason));

try {
    const app = new App(EmbeddedFiles.found() ? new EmbeddedFiles() : new ServerFiles());
    window.recon = app;
    app.open().catch((error: unknown) => {
        document.documentElement.dataset.state = "failed";
        complain(error);
    });
} catch (error) {
    document.documentElement.dataset.state = "failed";
    complain(error);
}
