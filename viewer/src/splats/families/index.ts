import { CONVEX } from "./convex";
import { EXPONENTIAL } from "./exponential";
import type { CloudFamily } from "./family";
import { SURFEL } from "./surfel";
import { TRIANGLE } from "./triangle";

export const CLOUD_FAMILIES: readonly CloudFamily[] = [TRIANGLE, EXPONENTIAL, SURFEL, CONVEX];
