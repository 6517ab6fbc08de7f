// Shapes that move: two discs, a ring and a square over a slow gradient. All colours are in sRGB's gamma, as egui takes them.

@group(0) @binding(0) var<uniform> seconds: vec4<f32>;

struct Corner {
    @builtin(position) position: vec4<f32>,
    @location(0) at: vec2<f32>,
}

// One triangle that covers the picture, whose own coordinates run from -1 to 1.
@vertex
fn corner(@builtin(vertex_index) index: u32) -> Corner {
    let at = vec2<f32>(f32((index << 1u) & 2u), f32(index & 2u)) * 2.0 - 1.0;
    return Corner(vec4<f32>(at, 0.0, 1.0), at);
}

// 1 inside of a shape, 0 outside, with an edge about a pixel wide.
fn inside(distance: f32) -> f32 {
    return 1.0 - smoothstep(0.0, 0.015, distance);
}

@fragment
fn shade(pixel: Corner) -> @location(0) vec4<f32> {
    let at = pixel.at;
    let t = seconds.x;
    var colour = mix(vec3<f32>(0.10, 0.12, 0.20), vec3<f32>(0.16, 0.19, 0.28), 0.5 + 0.5 * sin(2.0 * at.y + 0.5 * t));

    let square = abs(at - vec2<f32>(0.45 * sin(0.6 * t + 2.0), -0.45)) - 0.26;
    colour = mix(colour, vec3<f32>(0.30, 0.65, 0.95), inside(max(square.x, square.y)));

    let ring = abs(length(at - vec2<f32>(-0.4, 0.4 * cos(0.8 * t))) - 0.3) - 0.07;
    colour = mix(colour, vec3<f32>(0.95, 0.80, 0.25), inside(ring));

    let near = length(at - vec2<f32>(0.5 * cos(t), 0.5 * sin(t))) - 0.22;
    colour = mix(colour, vec3<f32>(0.92, 0.36, 0.30), inside(near));

    let small = length(at - vec2<f32>(0.6 * sin(1.4 * t), 0.65 * cos(0.9 * t))) - 0.1;
    colour = mix(colour, vec3<f32>(0.95, 0.95, 0.95), inside(small));
    return vec4<f32>(colour, 1.0);
}
