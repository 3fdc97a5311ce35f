import { ViewerError } from "../errors";
import type { Session } from "./messages";

/** What the server says about the scene. */
export async function readSession(): Promise<Session> {
    const response = await fetch("api/session").catch(() => null);
    if (response === null)
        throw new ViewerError("The server does not answer", "Start `recon view` again and reload the page.");
    if (response.status === 401)
        throw new ViewerError(
            "The server wants its token",
            "Open the address that `recon view` printed, token included.",
        );
    if (!response.ok) throw new ViewerError(`The server says ${response.status}`, "Look at what `recon view` printed.");
    return response.json();
}
