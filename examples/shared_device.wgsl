// The app's own shaders: what it draws, and what it makes of the network's heat map.

struct Corner {
    @builtin(position) position: vec4<f32>,
    @location(0) at: vec2<f32>,
}

// One triangle that covers the target, whose own coordinates run from -1 to 1.
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
fn draw(pixel: Corner) -> @location(0) vec4<f32> {
    var colour = vec3<f32>(0.12, 0.15, 0.22);
    let square = abs(pixel.at - vec2<f32>(0.4, -0.4)) - 0.3;
    colour = mix(colour, vec3<f32>(0.30, 0.65, 0.95), inside(max(square.x, square.y)));
    let ring = abs(length(pixel.at - vec2<f32>(-0.4, 0.35)) - 0.35) - 0.08;
    colour = mix(colour, vec3<f32>(0.95, 0.80, 0.25), inside(ring));
    colour = mix(colour, vec3<f32>(0.92, 0.36, 0.30), inside(length(pixel.at - vec2<f32>(0.5, 0.5)) - 0.22));
    return vec4<f32>(colour, 1.0);
}

@group(0) @binding(0) var heat: texture_2d<f32>;

// The colours of heat, which the pipeline adds to the picture.
@fragment
fn add(pixel: Corner) -> @location(0) vec4<f32> {
    return textureLoad(heat, vec2<u32>(pixel.position.xy), 0);
}
