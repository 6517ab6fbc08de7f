// Where output pixels of a job lie, and which taps of a kernel they need.

// An output pixel: image, row, column.
struct Place {
    n: u32,
    oy: u32,
    ox: u32,
}

// Beyond the last pixel, the last pixel.
fn place(job: Job, index: u32) -> Place {
    let pixel = min(index, job.pixels - 1u);
    let row = pixel / job.out_w;
    return Place(row / job.out_h, row % job.out_h, pixel % job.out_w);
}

// Whether this tap of any pixel from begin to end may lie inside the image: by rows, and by columns within one row.
// Asked of a tile and not of its pixels, so that all of a workgroup go the same way.
fn reaches(job: Job, term: Term, begin: Place, end: Place, ky: u32, kx: u32) -> bool {
    let one_row = begin.oy == end.oy && begin.n == end.n;
    let tap_y = i32(ky * term.dilation_h) - i32(term.pad_top);
    let tap_x = i32(kx * term.dilation_w) - i32(term.pad_left);
    let top = tap_y + i32(begin.oy * term.stride_h);
    let bottom = tap_y + i32(end.oy * term.stride_h);
    let left = tap_x + i32(select(0u, begin.ox, one_row) * term.stride_w);
    let right = tap_x + i32(select(job.out_w - 1u, end.ox, one_row) * term.stride_w);
    let rows = begin.n != end.n || (bottom >= 0 && top < i32(term.in_h));
    return rows && right >= 0 && left < i32(term.in_w);
}
