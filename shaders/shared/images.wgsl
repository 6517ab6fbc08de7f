// Where y has a value, counted in NCHW order: its images may lie apart, as slices of a concatenation do.

fn y_at(value: u32) -> u32 {
    return params.y_offset + value / params.y_image * params.y_stride + value % params.y_image;
}
