flat in vec3 edges[8];
flat in vec4 middle;

float alphaAt(vec2 pixel) {
    vec2 d = pixel - middle.xy;
    float top = -1e30, sum = 0.0;
    for (int k = 0; k < 8; ++k) top = max(top, dot(edges[k].xy, d) + edges[k].z);
    for (int k = 0; k < 8; ++k) sum += exp2(max(dot(edges[k].xy, d) + edges[k].z - top, -100.0));
    return middle.z / (1.0 + exp2(clamp(middle.w * (top + log2(sum)), -100.0, 100.0)));
}
