// Values one by one: as shaders compute with them.

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

fn load_value(i: u32) -> f32 {
    return x[i];
}

fn store_value(i: u32, v: f32) {
    y[i] = v;
}
