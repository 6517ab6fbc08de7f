// Products of matrices that are both computed, walked by strides: y[n, i, j] = Σ_k a[n, i, k] * b[n, k, j].
// A workgroup makes TILE_I rows times TILE_J columns of one product, an invocation eight rows times four columns. How
// they are summed up is a piece: through tiles in workgroup memory, or directly.
// Dispatch: products * ceil(rows / TILE_I) * ceil(columns / TILE_J) workgroups, columns fastest.
// Pieces from shared/: index, walks, images; one of products_tiled, products_direct.
// Constants from Rust: WG_SIZE, AXES; with products_tiled: A_ALONG_K, B_ALONG_K.

struct Params {
    products: u32,
    rows: u32,
    depth: u32, // terms of a sum
    columns: u32,
    a_i: u32, // strides within a matrix, in values
    a_k: u32,
    b_k: u32,
    b_j: u32,
    y_offset: u32, // first value, values from image to image, values of an image
    y_stride: u32,
    y_image: u32,
    a_offset: u32, // walks over the products' matrices
    b_offset: u32,
    extent_0: u32,
    extent_1: u32,
    extent_2: u32,
    extent_3: u32,
    extent_4: u32,
    extent_5: u32,
    a_0: u32,
    a_1: u32,
    a_2: u32,
    a_3: u32,
    a_4: u32,
    a_5: u32,
    b_0: u32,
    b_1: u32,
    b_2: u32,
    b_3: u32,
    b_4: u32,
    b_5: u32,
}

// Four columns of each of eight rows.
struct Sums {
    r0: vec4f,
    r1: vec4f,
    r2: vec4f,
    r3: vec4f,
    r4: vec4f,
    r5: vec4f,
    r6: vec4f,
    r7: vec4f,
}

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG_SIZE)
fn matmul(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = workgroup_index(workgroup, workgroups);
    let tiles_i = (params.rows + TILE_I - 1u) / TILE_I;
    let tiles_j = (params.columns + TILE_J - 1u) / TILE_J;
    let n = index / tiles_j / tiles_i;
    if n >= params.products {
        return;
    }
    let first_i = index / tiles_j % tiles_i * TILE_I;
    let first_j = index % tiles_j * TILE_J;
    let sums = product(walks(n), first_i, first_j, lane);

    let i = first_i + lane / (TILE_J / 4u) * 8u;
    let j = first_j + lane % (TILE_J / 4u) * 4u;
    put(n, i, j, sums.r0);
    put(n, i + 1u, j, sums.r1);
    put(n, i + 2u, j, sums.r2);
    put(n, i + 3u, j, sums.r3);
    put(n, i + 4u, j, sums.r4);
    put(n, i + 5u, j, sums.r5);
    put(n, i + 6u, j, sums.r6);
    put(n, i + 7u, j, sums.r7);
}

fn put(n: u32, i: u32, j: u32, sums: vec4f) {
    if i >= params.rows || j >= params.columns {
        return;
    }
    let first = (n * params.rows + i) * params.columns + j;
    y[y_at(first)] = sums.x;
    if j + 1u < params.columns {
        y[y_at(first + 1u)] = sums.y;
    }
    if j + 2u < params.columns {
        y[y_at(first + 2u)] = sums.z;
    }
    if j + 3u < params.columns {
        y[y_at(first + 3u)] = sums.w;
    }
}
