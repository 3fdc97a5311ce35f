/** From how many splats on what is done about it. */
export interface Scale {
    /** With more, what comes first is shown while the rest comes. */
    partialAbove: number;
    /** So much of it; whole triangles. */
    partialRows: number;
    /** More Gaussians are drawn with levels of detail: what is smaller than a pixel is drawn together. */
    levelsAbove: number;
}

export const SCALE: Readonly<Scale> = { partialAbove: 500_000, partialRows: 99_999, levelsAbove: 500_000 };
