// What the ways of looking at splats have in common. Numbers of the modes: splats/look.ts.
const int MODE_COLOR = 0;
const int MODE_DEPTH = 1;
const int MODE_NORMAL = 2;
const int MODE_OPACITY = 3;
const int MODE_ID = 4;

// Blue over green and yellow to red.
vec3 heat(float share) {
    float t = clamp(share, 0.0, 1.0);
    return clamp(vec3(1.5) - abs(4.0 * vec3(t) - vec3(3.0, 2.0, 1.0)), 0.0, 1.0);
}

// A colour of its own for every number.
vec3 colorOfId(int id) {
    uint bits = uint(id) * 2654435761u;
    bits ^= bits >> 15;
    bits *= 2246822519u;
    bits ^= bits >> 13;
    return vec3(uvec3(bits & 255u, (bits >> 8) & 255u, (bits >> 16) & 255u)) / 255.0;
}

vec3 colorOfLook(int mode, vec3 color, float depth, vec2 depthRange, vec3 normal, float opacity, int id) {
    if (mode == MODE_DEPTH) return heat((depth - depthRange.x) / max(depthRange.y - depthRange.x, 1e-9));
    if (mode == MODE_NORMAL) return 0.5 + 0.5 * normal;
    if (mode == MODE_OPACITY) return heat(opacity);
    if (mode == MODE_ID) return colorOfId(id);
    return color;
}
