import type { Arrays } from "../scene/arrays";
import { type EncodedGaussians, encodedLength, type GaussianArrays } from "./encode";
import EncodeWorker from "./encode.worker?worker&inline";
import { harmonicsOf } from "./harmonics";

const KHR = "KHR_gaussian_splatting:";
/** Rows that are encoded at once, a multiple of a texture's: what millions need in between stays small. */
const ROWS = 1 << 18;

/** Encodes in a worker, so that the page stays usable. degree: highest one of harmonics that is kept. */
export async function encodeAll(
    arrays: Arrays,
    degree: number,
    progress: (done: number) => void,
): Promise<EncodedGaussians> {
    const worker = new EncodeWorker();
    try {
        if (arrays.count <= ROWS) return await encode(worker, gaussians(arrays, degree));
        const length = encodedLength(arrays.count);
        const all: EncodedGaussians = {
            count: arrays.count,
            ext: [new Uint32Array(length), new Uint32Array(length)],
            harmonics: {},
        };
        for (let start = 0; start < arrays.count; start += ROWS) {
            const end = Math.min(arrays.count, start + ROWS);
            const some = await encode(worker, gaussians(arrays.rows(start, end), degree));
            all.ext[0].set(some.ext[0], 4 * start);
            all.ext[1].set(some.ext[1], 4 * start);
            for (const [name, values] of Object.entries(some.harmonics))
                (all.harmonics[name] ??= new Uint32Array(length)).set(values, 4 * start);
            progress(end);
        }
        return all;
    } finally {
        worker.terminate();
    }
}

/** In memory of their own, which is handed on. */
function gaussians(arrays: Arrays, degree: number): GaussianArrays {
    return {
        count: arrays.count,
        positions: arrays.need("POSITION").slice(),
        rotations: arrays.need(`${KHR}ROTATION`).slice(),
        scales: arrays.need(`${KHR}SCALE`).slice(),
        opacities: arrays.need(`${KHR}OPACITY`).slice(),
        sh: harmonicsOf(arrays, KHR, degree).map((values) => values.slice()),
    };
}

function encode(worker: Worker, data: GaussianArrays): Promise<EncodedGaussians> {
    return new Promise<EncodedGaussians>((resolve, reject) => {
        worker.onmessage = (event: MessageEvent<EncodedGaussians>) => resolve(event.data);
        worker.onerror = (event) => reject(new Error(`encoding the splats failed: ${event.message}`));
        const { positions, rotations, scales, opacities, sh } = data;
        const transfer = [positions, rotations, scales, opacities, ...sh].map((array) => array.buffer);
        worker.postMessage(data, { transfer });
    });
}
