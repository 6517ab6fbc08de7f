// Values one by one: 16 bits each.

@group(0) @binding(0) var<storage, read> x: array<f16>;
@group(0) @binding(1) var<storage, read_write> y: array<f16>;

fn load_value(i: u32) -> f32 {
    return f32(x[i]);
}

fn store_value(i: u32, v: f32) {
    y[i] = f16(v);
}
