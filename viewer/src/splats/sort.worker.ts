import { DepthSorter } from "./sort";

/** Points to sort from now on, or a camera to sort them for. */
export type SortRequest = { centers: Float32Array } | { plane: readonly number[] };

let sorter = new DepthSorter(new Float32Array());

self.onmessage = (event: MessageEvent<SortRequest>) => {
    if ("centers" in event.data) {
        sorter = new DepthSorter(event.data.centers);
        return;
    }
    const order = sorter.sort(event.data.plane);
    self.postMessage(order, { transfer: [order.buffer] });
};
