// A square map of values from 0 to 1 in colours: dark blue, magenta, orange, pale yellow.

@group(0) @binding(0) var<storage, read> heat: array<f32>;

@vertex
fn corner(@builtin(vertex_index) index: u32) -> @builtin(position) vec4<f32> {
    return vec4<f32>(vec2<f32>(f32((index << 1u) & 2u), f32(index & 2u)) * 2.0 - 1.0, 0.0, 1.0);
}

@fragment
fn shade(@builtin(position) pixel: vec4<f32>) -> @location(0) vec4<f32> {
    let width = u32(sqrt(f32(arrayLength(&heat))));
    let value = 3.0 * clamp(heat[u32(pixel.y) * width + u32(pixel.x)], 0.0, 1.0);
    var colours = array<vec3<f32>, 4>(
        vec3<f32>(0.05, 0.03, 0.25),
        vec3<f32>(0.63, 0.14, 0.50),
        vec3<f32>(0.97, 0.55, 0.25),
        vec3<f32>(0.99, 0.97, 0.70),
    );
    let low = min(u32(value), 2u);
    return vec4<f32>(mix(colours[low], colours[low + 1u], value - f32(low)), 1.0);
}
