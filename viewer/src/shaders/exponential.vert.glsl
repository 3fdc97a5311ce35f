// As cuda/include/recon/ellipse.h and families/exponential.h: opacity exp(-0.5 (d' S^-1 d)^(beta / 2)).
flat out vec4 conic;  // inverse covariance a, b, c; beta / 2
flat out vec3 middle; // x, y, opacity

bool footprint(int primitive, vec4 lens, out Footprint f) {
    vec4 a = value(primitive, 0), q = value(primitive, 1), b = value(primitive, 2);
    f.center = a.xyz;
    f.opacity = a.w;
    vec3 scales = extent * b.xyz;
    float h = 0.5 * b.w;
    vec3 p = toCamera(f.center);
    f.depth = p.z;
    if (p.z <= NEAR) return false;
    mat3 turn = rotationOf(q);
    f.normal = scales.x < min(scales.y, scales.z) ? turn[0] : scales.y < scales.z ? turn[1] : turn[2];
    // Where the Jacobian stops following the centre: 0.3 tan(fov / 2) beyond the image.
    vec2 margin = 0.15 * resolution / lens.xy;
    vec2 t = clamp(p.xy / p.z, -lens.zw / lens.xy - margin, (resolution - lens.zw) / lens.xy + margin);
    mat3 axes = mat3(directionToCamera(turn[0] * scales.x), directionToCamera(turn[1] * scales.y), directionToCamera(turn[2] * scales.z));
    vec3 rowX = lens.x / p.z * vec3(axes[0].x - t.x * axes[0].z, axes[1].x - t.x * axes[1].z, axes[2].x - t.x * axes[2].z);
    vec3 rowY = lens.y / p.z * vec3(axes[0].y - t.y * axes[0].z, axes[1].y - t.y * axes[1].z, axes[2].y - t.y * axes[2].z);
    float s00 = dot(rowX, rowX), s01 = dot(rowX, rowY), s11 = dot(rowY, rowY);
    vec3 normal = cross(rowX, rowY);
    float det0 = dot(normal, normal), det = det0 + 0.3 * (s00 + s11) + 0.09;
    s00 += 0.3, s11 += 0.3;
    if (antialias) f.opacity *= sqrt(max(det0 / det, 2.5e-5));
    float budget = log(max(f.opacity, 1e-30)) + LN_255;
    if (budget <= 0.0) return false;
    float reach = pow(2.0 * budget, 1.0 / h);
    conic = vec4(s11 / det, -s01 / det, s00 / det, h);
    middle = vec3(project(p, lens), f.opacity);
    vec2 corner = sqrt(reach * vec2(s00, s11));
    f.box = vec4(middle.xy - corner, middle.xy + corner);
    return true;
}
