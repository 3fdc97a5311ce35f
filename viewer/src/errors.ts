/** Something that the person in front of the page can mend: what is wrong, and what to do. */
export class ViewerError extends Error {
    constructor(
        what: string,
        readonly fix: string,
    ) {
        super(what);
        this.name = "ViewerError";
    }
}

/** What to show for anything that was thrown. */
export function explain(error: unknown): { what: string; fix: string } {
    if (error instanceof ViewerError) return { what: error.message, fix: error.fix };
    const what = error instanceof Error ? error.message : String(error);
    return { what, fix: "This is a fault of the page; its console says where. Reloading may help." };
}
