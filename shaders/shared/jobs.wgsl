// One dispatch makes several convolutions. A job is one of them: a sum of terms, and a term is one input under one
// kernel. Workgroups are dealt out in ROUNDS, each with an equal share of every job.

struct Job {
    @align(16) workgroups: u32,
    round_end: u32, // workgroups of a round for this job and those before it
    pixels: u32, // n * out_h * out_w
    out_h: u32,
    out_w: u32,
    out_c: u32,
    term_begin: u32,
    term_end: u32,
    bias: u32, // first vec4
    y_slot: u32, // which target
    y_offset: u32, // slices, in vec4s: first channel, and distance from pixel to pixel
    y_stride: u32,
    r_offset: u32,
    r_stride: u32,
    activation: u32,
    alpha: f32,
    beta: f32,
    unused_0: u32, // up to a multiple of 16 bytes
    unused_1: u32,
    unused_2: u32,
}

struct Term {
    @align(16) x_slot: u32, // which source
    x_offset: u32,
    x_stride: u32,
    in_h: u32,
    in_w: u32,
    group_in_c: u32, // channels that one group reads, padding included
    group_out_c: u32, // channels that one group makes
    weights: u32, // first vec4
    kernel_h: u32,
    kernel_w: u32,
    stride_h: u32,
    stride_w: u32,
    dilation_h: u32,
    dilation_w: u32,
    pad_top: u32,
    pad_left: u32,
}

struct Params {
    jobs: array<Job, JOBS>,
    terms: array<Term, TERMS>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weights: array<Read>;
@group(0) @binding(2) var<storage, read> bias: array<vec4f>;

// The job that workgroup `index` belongs to, and its number within it; job JOBS where there is none.
fn job_of(index: u32) -> vec2u {
    let round_len = params.jobs[JOBS - 1u].round_end;
    let round = index / round_len;
    let place = index % round_len;
    var begin = 0u;
    for (var j = 0u; j < JOBS; j++) {
        let end = params.jobs[j].round_end;
        if place < end {
            // As even as can be: a round may leave the last of a job's places empty.
            let workgroups = params.jobs[j].workgroups;
            let number = round * workgroups / ROUNDS + place - begin;
            return vec2u(select(JOBS, j, round < ROUNDS && number < (round + 1u) * workgroups / ROUNDS), number);
        }
        begin = end;
    }
    return vec2u(JOBS, 0u);
}
