import { encodeGaussians, type GaussianArrays } from "./encode";

self.onmessage = (event: MessageEvent<GaussianArrays>) => {
    const encoded = encodeGaussians(event.data);
    const buffers = [...encoded.ext, ...Object.values(encoded.harmonics)].map((array) => array.buffer);
    self.postMessage(encoded, { transfer: buffers });
};
