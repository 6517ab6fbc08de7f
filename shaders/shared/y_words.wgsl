// Values of 32 bits, stored one by one.

@group(0) @binding(1) var<storage, read_write> y: array<u32>;

fn store_y(i: u32, word: u32) {
    y[i] = word;
}
