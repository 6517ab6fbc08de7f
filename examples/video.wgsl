// A frame of NV12, BT.601 in limited range, as the network takes it: red, green and blue one after another, from 0 to 1.

@group(0) @binding(0) var luma: texture_2d<f32>;
@group(0) @binding(1) var chroma: texture_2d<f32>;
@group(0) @binding(2) var<storage, read_write> values: array<f32>;

@compute @workgroup_size(8, 8)
fn read(@builtin(global_invocation_id) id: vec3<u32>) {
    let size = textureDimensions(luma);
    let y = 255.0 / 219.0 * (textureLoad(luma, id.xy, 0).r - 16.0 / 255.0);
    let c = 255.0 / 224.0 * (textureLoad(chroma, id.xy / 2u, 0).rg - 128.0 / 255.0);
    let colour = y + vec3<f32>(1.402 * c.y, -0.344136 * c.x - 0.714136 * c.y, 1.772 * c.x);
    let at = id.y * size.x + id.x;
    let plane = size.x * size.y;
    values[at] = clamp(colour.r, 0.0, 1.0);
    values[at + plane] = clamp(colour.g, 0.0, 1.0);
    values[at + 2u * plane] = clamp(colour.b, 0.0, 1.0);
}
