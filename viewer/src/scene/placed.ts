/** Photos of a run that is still finding out where they were taken from. */

import { viewOf } from "../camera/keyframes";
import type { Files } from "../net/files";
import type { PhotoPlace } from "../net/messages";
import type { SceneData, ViewData } from "./document";

/** The address of a photo, or of a small picture of it; undefined where there is neither. */
export function photoAddress(view: Pick<ViewData, "photo" | "picture">, files: Files): string | undefined {
    return view.photo === undefined ? view.picture : files.address(view.photo);
}

/** The address of a small picture of a photo of the run. */
export function pictureOf(photo: PhotoPlace): string | undefined {
    return photo.picture ? `api/photos/${photo.name.split("/").map(encodeURIComponent).join("/")}` : undefined;
}

/** Those that have a place. */
export function placedViews(photos: readonly PhotoPlace[]): ViewData[] {
    return photos.flatMap((photo) => {
        if (photo.camera === null) return [];
        const view: ViewData = { ...viewOf(photo.camera, photo.name), split: photo.split };
        const picture = pictureOf(photo);
        return [picture === undefined ? view : { ...view, picture }];
    });
}

/** A scene of cameras alone. */
export function placedScene(photos: readonly PhotoPlace[]): SceneData {
    return {
        views: placedViews(photos),
        nodes: [],
        stages: [],
        metric: false,
        background: [0, 0, 0],
        antialias: false,
    };
}
