// The picture as the network takes it: red, green and blue one after another, from -1 to 1.

@group(0) @binding(0) var picture: texture_2d<f32>;
@group(0) @binding(1) var<storage, read_write> values: array<f32>;

@compute @workgroup_size(8, 8)
fn read(@builtin(global_invocation_id) id: vec3<u32>) {
    let size = textureDimensions(picture);
    let colour = textureLoad(picture, id.xy, 0) * 2.0 - 1.0;
    let at = id.y * size.x + id.x;
    let plane = size.x * size.y;
    values[at] = colour.r;
    values[at + plane] = colour.g;
    values[at + 2u * plane] = colour.b;
}
