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

@group(0) @binding(0) var picture: texture_2d<f32>;
@group(0) @binding(1) var<storage, read_write> values: array<f32>;

// The picture as the network takes it: red, green and blue one after another, from -1 to 1.
@compute @workgroup_size(8, 8)
fn take(@builtin(global_invocation_id) id: vec3<u32>) {
    let size = textureDimensions(picture);
    let colour = textureLoad(picture, id.xy, 0) * 2.0 - 1.0;
    let at = id.y * size.x + id.x;
    let plane = size.x * size.y;
    values[at] = colour.r;
    values[at + plane] = colour.g;
    values[at + 2u * plane] = colour.b;
}

@group(0) @binding(0) var<storage, read> heat: array<f32>;

// Heat in red, the more the hotter; the pipeline blends it over the picture.
@fragment
fn blend(pixel: Corner) -> @location(0) vec4<f32> {
    let width = u32(sqrt(f32(arrayLength(&heat))));
    let at = vec2<u32>(vec2<f32>(0.5 + 0.5 * pixel.at.x, 0.5 - 0.5 * pixel.at.y) * f32(width));
    let value = heat[min(at.y, width - 1u) * width + min(at.x, width - 1u)];
    return vec4<f32>(1.0, 0.15, 0.05, 0.9 * smoothstep(0.35, 0.75, value));
}
