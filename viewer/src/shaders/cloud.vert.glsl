// One primitive of a family on the image: the quad around its footprint, its colour, and what the family's fragment part
// needs. The families say the same as the headers of the core, whose conventions these are: camera axes x right, y down,
// z forward; pixel (0.5, 0.5) is the centre of the first one, in the upper left corner.
precision highp float;
precision highp int;
precision highp sampler2D;

uniform mat4 modelViewMatrix;
uniform mat4 projectionMatrix;
uniform mat4 modelMatrix;
uniform vec3 cameraPosition;
uniform sampler2D primitives; // TEXELS texels each
uniform sampler2D harmonics;  // COEFFICIENTS texels each
uniform vec2 resolution;      // px
uniform int shDegree;
uniform int mode;
uniform float extent;         // multiplies the size of primitives
uniform float minOpacity;
uniform vec3 cropLow;
uniform vec3 cropHigh;
uniform vec2 depthRange;

in vec3 position; // corner of the quad, -1 or 1
in uint rank;     // which primitive, the farthest first

out vec2 pixel;
flat out vec3 color;

const float NEAR = 0.01;
const float LN_255 = 5.541263545158426;

struct Footprint {
    vec4 box;     // px: left, top, right, bottom
    vec3 center;  // what colours are seen from, in the frame of the node
    float depth;
    float opacity;
    vec3 normal;  // in the frame of the node
};

vec4 texel(sampler2D source, int index) {
    int width = textureSize(source, 0).x;
    return texelFetch(source, ivec2(index % width, index / width), 0);
}

vec4 value(int primitive, int index) {
    return texel(primitives, primitive * TEXELS + index);
}

// Focal lengths and principal point, px.
vec4 pinhole() {
    return vec4(0.5 * resolution * vec2(projectionMatrix[0][0], projectionMatrix[1][1]),
        0.5 * resolution * vec2(1.0 - projectionMatrix[2][0], 1.0 + projectionMatrix[2][1]));
}

// To the camera, y down and z forward.
vec3 toCamera(vec3 p) {
    vec4 q = modelViewMatrix * vec4(p, 1.0);
    return vec3(q.x, -q.y, -q.z);
}

vec3 directionToCamera(vec3 d) {
    vec3 q = mat3(modelViewMatrix) * d;
    return vec3(q.x, -q.y, -q.z);
}

vec2 project(vec3 p, vec4 lens) {
    return lens.xy * p.xy / p.z + lens.zw;
}

mat3 rotationOf(vec4 q) {
    float x = q.x, y = q.y, z = q.z, w = q.w;
    return mat3(1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y + w * z), 2.0 * (x * z - w * y),
        2.0 * (x * y - w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z + w * x),
        2.0 * (x * z + w * y), 2.0 * (y * z - w * x), 1.0 - 2.0 * (x * x + y * y));
}

// Order and signs of the INRIA splat format.
vec3 radiance(int primitive, vec3 d) {
    int first = primitive * COEFFICIENTS;
    vec3 sum = 0.5 + 0.28209479177387814 * texel(harmonics, first).rgb;
#if COEFFICIENTS >= 4
    if (shDegree >= 1) {
        sum += 0.4886025119029199 * (-d.y * texel(harmonics, first + 1).rgb + d.z * texel(harmonics, first + 2).rgb
            - d.x * texel(harmonics, first + 3).rgb);
    }
#endif
    vec3 s = d * d;
#if COEFFICIENTS >= 9
    if (shDegree >= 2) {
        sum += 1.0925484305920792 * (d.x * d.y * texel(harmonics, first + 4).rgb - d.y * d.z * texel(harmonics, first + 5).rgb
            - d.x * d.z * texel(harmonics, first + 7).rgb)
            + 0.31539156525252005 * (2.0 * s.z - s.x - s.y) * texel(harmonics, first + 6).rgb
            + 0.5462742152960396 * (s.x - s.y) * texel(harmonics, first + 8).rgb;
    }
#endif
#if COEFFICIENTS >= 16
    if (shDegree >= 3) {
        sum += -0.5900435899266435 * d.y * (3.0 * s.x - s.y) * texel(harmonics, first + 9).rgb
            + 2.890611442640554 * d.x * d.y * d.z * texel(harmonics, first + 10).rgb
            - 0.4570457994644658 * d.y * (4.0 * s.z - s.x - s.y) * texel(harmonics, first + 11).rgb
            + 0.3731763325901154 * d.z * (2.0 * s.z - 3.0 * (s.x + s.y)) * texel(harmonics, first + 12).rgb
            - 0.4570457994644658 * d.x * (4.0 * s.z - s.x - s.y) * texel(harmonics, first + 13).rgb
            + 1.445305721320277 * d.z * (s.x - s.y) * texel(harmonics, first + 14).rgb
            - 0.5900435899266435 * d.x * (s.x - 3.0 * s.y) * texel(harmonics, first + 15).rgb;
    }
#endif
    return max(sum, 0.0);
}

// The family's part: false when nothing is to be seen.
bool footprint(int primitive, vec4 lens, out Footprint f);

void main() {
    gl_Position = vec4(0.0, 0.0, 2.0, 1.0);
    int primitive = int(rank);
    vec4 lens = pinhole();
    Footprint f;
    if (!footprint(primitive, lens, f)) return;
    vec3 world = (modelMatrix * vec4(f.center, 1.0)).xyz;
    if (f.opacity < max(minOpacity, 1.0 / 255.0) || any(lessThan(world, cropLow)) || any(greaterThan(world, cropHigh))) return;
    vec4 box = vec4(max(f.box.xy, vec2(-1.0)), min(f.box.zw, resolution + 1.0));
    if (any(greaterThanEqual(box.xy, box.zw))) return;
    vec3 sight = world - cameraPosition;
    color = mode == MODE_COLOR ? radiance(primitive, normalize(transpose(mat3(modelMatrix)) * sight)) : vec3(0.0);
    vec3 normal = normalize(mat3(modelMatrix) * f.normal);
    normal *= dot(normal, sight) > 0.0 ? -1.0 : 1.0;
    color = colorOfLook(mode, color, f.depth, depthRange, normal, f.opacity, primitive);
    pixel = mix(box.xy, box.zw, 0.5 * position.xy + 0.5);
    vec2 ndc = vec2(2.0, -2.0) * pixel / resolution + vec2(-1.0, 1.0);
    gl_Position = vec4(ndc * f.depth, -projectionMatrix[2][2] * f.depth + projectionMatrix[3][2], f.depth);
}
