// As cuda/include/recon/families/triangle.h: opacity (u / r)^sigma, u the distance to the nearest edge, r the inradius.
flat out vec4 incenter; // x, y, r, sigma
flat out vec3 edge0;    // unit outward normal; opacity in the first
flat out vec3 edge1;
flat out vec3 edge2;

bool footprint(int primitive, vec4 lens, out Footprint f) {
    vec4 a = value(primitive, 0), b = value(primitive, 1), c = value(primitive, 2);
    vec3 w0 = a.xyz, w1 = vec3(a.w, b.xy), w2 = vec3(b.zw, c.x);
    f.center = (w0 + w1 + w2) / 3.0;
    w0 = mix(f.center, w0, extent), w1 = mix(f.center, w1, extent), w2 = mix(f.center, w2, extent);
    f.opacity = c.z;
    float sigma = c.y;
    vec3 p0 = toCamera(w0), p1 = toCamera(w1), p2 = toCamera(w2);
    f.depth = (p0.z + p1.z + p2.z) / 3.0;
    f.normal = cross(w1 - w0, w2 - w0);
    if (min(p0.z, min(p1.z, p2.z)) <= NEAR) return false;
    vec2 x0 = project(p0, lens), x1 = project(p1, lens), x2 = project(p2, lens);
    float l0 = max(length(x1 - x0), 1e-10), l1 = max(length(x2 - x1), 1e-10), l2 = max(length(x0 - x2), 1e-10);
    float perimeter = l0 + l1 + l2;
    float area2 = (x1.x - x0.x) * (x2.y - x0.y) - (x1.y - x0.y) * (x2.x - x0.x);
    float side = area2 > 0.0 ? 1.0 : -1.0, r = abs(area2) / perimeter;
    if (r <= 0.05) return false;
    vec2 center = (l1 * x0 + l2 * x1 + l0 * x2) / perimeter;
    vec2 e0 = (x1 - x0) / l0, e1 = (x2 - x1) / l1, e2 = (x0 - x2) / l2;
    incenter = vec4(center, r, sigma);
    edge0 = vec3(side * vec2(e0.y, -e0.x), f.opacity);
    edge1 = vec3(side * vec2(e1.y, -e1.x), 0.0);
    edge2 = vec3(side * vec2(e2.y, -e2.x), 0.0);
    f.box = vec4(min(x0, min(x1, x2)), max(x0, max(x1, x2)));
    return true;
}
