import type { Arrays } from "../scene/arrays";

/** Coefficients [N, 3] in order, as many as there are up to a degree. `prefix`: of the attribute names. */
export function harmonicsOf(arrays: Arrays, prefix: string, highest = 3): Float32Array[] {
    const out = [arrays.need(`${prefix}SH_DEGREE_0_COEF_0`)];
    for (let k = 1; k < (highest + 1) ** 2; ++k) {
        const degree = Math.floor(Math.sqrt(k));
        const values = arrays.get(`${prefix}SH_DEGREE_${degree}_COEF_${k - degree * degree}`);
        if (values === undefined) break;
        out.push(values);
    }
    return out;
}
