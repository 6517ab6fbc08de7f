// Copies an element of a pixel that begins at `begin` and `to`.

fn copy(begin: u32, to: u32, e: u32) {
    var value = Element();
    if e < params.channels {
        value = x[begin + e];
    }
    y[to + e] = value;
}
