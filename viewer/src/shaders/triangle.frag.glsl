flat in vec4 incenter;
flat in vec3 edge0;
flat in vec3 edge1;
flat in vec3 edge2;

float alphaAt(vec2 pixel) {
    vec2 d = pixel - incenter.xy;
    float u = incenter.z - max(dot(edge0.xy, d), max(dot(edge1.xy, d), dot(edge2.xy, d)));
    return u <= 0.0 ? 0.0 : edge0.z * pow(u / incenter.z, incenter.w);
}
