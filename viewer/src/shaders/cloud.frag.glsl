precision highp float;
precision highp int;

in vec2 pixel;
flat in vec3 color;
out vec4 fragment;

// The family's part: opacity times weight at a pixel, px from the upper left corner.
float alphaAt(vec2 pixel);

void main() {
    float alpha = min(alphaAt(pixel), MAX_ALPHA);
    if (!(alpha >= 1.0 / 255.0)) discard;
    fragment = vec4(color * alpha, alpha);
}
