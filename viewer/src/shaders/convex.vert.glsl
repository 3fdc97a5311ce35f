// As cuda/include/recon/families/convex.h: opacity / (1 + S^(z sigma)), S = sum over the edges of the image's hull of
// 2^(a dx + b dy + c), the area to an edge in px^2 of a camera with a focal length of 1000 px.
flat out vec3 edges[8];
flat out vec4 middle; // x, y (image of the mean point), opacity, z sigma

const float NO_EDGE = -1e30;

float across(vec2 a, vec2 b) {
    return a.x * b.y - a.y * b.x;
}

bool footprint(int primitive, vec4 lens, out Footprint f) {
    vec4 last = value(primitive, 6);
    float delta = last.x, sigma = last.y;
    f.opacity = last.z;
    int count = int(last.w);
    f.center = vec3(0.0);
    vec3 world[8];
    for (int k = 0; k < 8; ++k) {
        int at = 3 * k;
        vec4 here = value(primitive, at / 4), next = value(primitive, min(at / 4 + 1, 5));
        world[k] = at % 4 == 0 ? here.xyz : at % 4 == 1 ? here.yzw : at % 4 == 2 ? vec3(here.zw, next.x) : vec3(here.w, next.xy);
        if (k < count) f.center += world[k] / float(count);
    }
    vec3 q = toCamera(f.center);
    f.depth = q.z;
    f.normal = cameraPosition - f.center;
    vec2 center = project(q, lens), points[8];
    int start = 0;
    for (int k = 0; k < count; ++k) {
        vec3 p = toCamera(mix(f.center, world[k], extent));
        if (p.z <= NEAR) return false;
        points[k] = project(p, lens) - center;
        if (points[k].x < points[start].x || (points[k].x == points[start].x && points[k].y < points[start].y)) start = k;
    }
    float odds = f.opacity * 255.0 - 1.0;
    if (odds <= 0.0) return false;
    float scale = 1.4426950408889634e6 / (lens.x * lens.y) * q.z * delta;
    middle = vec4(center, f.opacity, q.z * sigma);
    float reach = log2(max(odds, 1e-30)) / middle.w / scale;
    for (int k = 0; k < 8; ++k) edges[k] = vec3(0.0, 0.0, NO_EDGE);
    // Gift wrapping: from corner to corner, every other point on the inner side.
    vec2 corners[8], sides[8];
    int here = start, corner = 0;
    float nearest = 1e30;
    for (; corner < count; ++corner) {
        int to = -1;
        vec2 side = vec2(0.0);
        for (int k = 0; k < count; ++k) {
            vec2 step = points[k] - points[here];
            float outside = across(side, step);
            if (dot(step, step) > 0.0 && (to < 0 || outside > 0.0 || (outside == 0.0 && dot(step, step) > dot(side, side)))) {
                to = k;
                side = step;
            }
        }
        if (to < 0) return false;
        corners[corner] = points[here];
        sides[corner] = side;
        float under = across(side, points[here]);
        nearest = min(nearest, under);
        edges[corner] = scale * vec3(-side.y, side.x, -under);
        here = to;
        if (points[here] == points[start]) {
            ++corner;
            break;
        }
    }
    if (corner < 3) return false;
    // The footprint lies within the crossings of the edges pushed out to alpha = 1 / 255, and within the hull scaled up.
    vec2 low = vec2(1e30), high = vec2(-1e30), hullLow = vec2(1e30), hullHigh = vec2(-1e30);
    for (int k = 0; k < corner; ++k) {
        int before = k == 0 ? corner - 1 : k - 1;
        float turn = across(sides[before], sides[k]);
        vec2 crossing = corners[k] + (abs(turn) > 1e-12 ? reach * (sides[k] - sides[before]) / turn : vec2(0.0));
        low = min(low, crossing), high = max(high, crossing);
        hullLow = min(hullLow, corners[k]), hullHigh = max(hullHigh, corners[k]);
    }
    if (nearest > 0.0) {
        float grow = max(1.0 + reach / nearest, 0.0);
        low = max(low, grow * hullLow), high = min(high, grow * hullHigh);
    }
    f.box = vec4(center + low - 1.0, center + high + 1.0);
    return true;
}
