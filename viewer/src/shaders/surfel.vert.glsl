// As cuda/include/recon/families/surfel.h: opacity exp(-0.5 min(|s|^2, 2 |d|^2)), s(d) = A d / (1 + p . d).
flat out vec4 plane;  // A: ux, uy, vx, vy
flat out vec4 middle; // x, y, p
flat out float opacity;

bool footprint(int primitive, vec4 lens, out Footprint f) {
    vec4 a = value(primitive, 0), q = value(primitive, 1), b = value(primitive, 2);
    f.center = a.xyz;
    f.opacity = opacity = a.w;
    vec3 p = toCamera(f.center);
    f.depth = p.z;
    mat3 turn = rotationOf(q);
    f.normal = turn[2];
    vec3 U = directionToCamera(extent * b.x * turn[0]), V = directionToCamera(extent * b.y * turn[1]);
    float budget = 2.0 * (log(max(f.opacity, 1e-30)) + LN_255);
    if (p.z <= NEAR || budget <= 0.0) return false;
    vec2 xn = p.xy / p.z, gu = lens.xy * (U.xy - xn * U.z), gv = lens.xy * (V.xy - xn * V.z);
    float det = gu.x * gv.y - gv.x * gu.y;
    if (abs(det) <= 1e-5 * length(gu) * length(gv)) return false;
    plane = p.z / det * vec4(gv.y, -gv.x, -gu.y, gu.x);
    middle = vec4(project(p, lens), vec2(V.z * gu.y - U.z * gv.y, U.z * gv.x - V.z * gu.x) / det);
    // The disc |s|^2 <= budget is bounded on the image where it lies in front of the camera.
    float D = p.z * p.z - budget * (U.z * U.z + V.z * V.z);
    f.box = vec4(-1e6, -1e6, 1e6, 1e6);
    if (D > 1e-3 * p.z * p.z) {
        vec2 shift = -budget * (gu * U.z + gv * V.z) / D;
        vec2 corner = sqrt(shift * shift + budget * (gu * gu + gv * gv) / D);
        vec2 low = vec2(sqrt(0.5 * budget));
        f.box = vec4(middle.xy - max(corner - shift, low), middle.xy + max(corner + shift, low));
    }
    return true;
}
