// Three operands in NHWC, four channels at once. Needs stored and lanes.

@group(0) @binding(0) var<storage, read> a: array<Stored>;
@group(0) @binding(1) var<storage, read> b: array<Stored>;
@group(0) @binding(2) var<storage, read> c: array<Stored>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;

fn load_a(places: Places) -> vec4f {
    return loaded(a[places.a]);
}

fn load_b(places: Places) -> vec4f {
    return loaded(b[places.b]);
}

fn load_c(places: Places) -> vec4f {
    return loaded(c[places.c]);
}

fn put(places: Places, v: vec4f) {
    y[places.y] = stored(keep_lanes(v, places.first, params.sizes[0].valid));
}
