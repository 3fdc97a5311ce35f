flat in vec4 conic;
flat in vec3 middle;

float alphaAt(vec2 pixel) {
    vec2 d = pixel - middle.xy;
    float q = max(d.x * (conic.x * d.x + 2.0 * conic.y * d.y) + conic.z * d.y * d.y, 1e-8);
    return middle.z * exp(-0.5 * pow(q, conic.w));
}
