// Source and target are slices of one buffer, bound once: a dispatch may not bind it as both read and read_write.

fn load_x(i: u32) -> Stored {
    return y[i];
}
