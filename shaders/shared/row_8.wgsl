// A row of 8 pixels, one for each lane of a subgroup. Needs the shader's Weights, dot4 and store.

struct Row {
    s0: vec4f,
    s1: vec4f,
    s2: vec4f,
    s3: vec4f,
    s4: vec4f,
    s5: vec4f,
    s6: vec4f,
    s7: vec4f,
}

fn spread(v: vec4f) -> Row {
    return Row(v, v, v, v, v, v, v, v);
}

// Adds the products of each lane's x with this lane's weights.
fn add_outer(row: Row, x: vec4f, w: Weights) -> Row {
    return Row(
        dot4(subgroupBroadcast(x, 0u), w, row.s0),
        dot4(subgroupBroadcast(x, 1u), w, row.s1),
        dot4(subgroupBroadcast(x, 2u), w, row.s2),
        dot4(subgroupBroadcast(x, 3u), w, row.s3),
        dot4(subgroupBroadcast(x, 4u), w, row.s4),
        dot4(subgroupBroadcast(x, 5u), w, row.s5),
        dot4(subgroupBroadcast(x, 6u), w, row.s6),
        dot4(subgroupBroadcast(x, 7u), w, row.s7),
    );
}

fn store_row(job: Job, first: u32, o4: u32, row: Row) {
    store(job, first, o4, row.s0);
    store(job, first + 1u, o4, row.s1);
    store(job, first + 2u, o4, row.s2);
    store(job, first + 3u, o4, row.s3);
    store(job, first + 4u, o4, row.s4);
    store(job, first + 5u, o4, row.s5);
    store(job, first + 6u, o4, row.s6);
    store(job, first + 7u, o4, row.s7);
}
