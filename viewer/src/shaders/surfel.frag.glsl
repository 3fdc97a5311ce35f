flat in vec4 plane;
flat in vec4 middle;
flat in float opacity;

float alphaAt(vec2 pixel) {
    vec2 d = pixel - middle.xy;
    float w = 1.0 + dot(middle.zw, d), lowPass = 2.0 * dot(d, d);
    vec2 s = vec2(dot(plane.xy, d), dot(plane.zw, d)) / max(w, 1e-4);
    float disc = dot(s, s);
    return opacity * exp(-0.5 * (w > 1e-4 && disc < lowPass ? disc : lowPass));
}
