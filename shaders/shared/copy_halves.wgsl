// Copies the halves of a word, of a pixel that begins at the halves `begin` and `to`; other halves stay as they are. No
// other invocation writes the word: pixels are whole words apart.

fn copy(begin: u32, to: u32, e: u32) {
    let at = to / 2u + e;
    let old = vec2u(y[at] & 0xffffu, y[at] >> 16u);
    let c = vec2u(at * 2u, at * 2u + 1u) - to; // before the first channel, it wraps around
    let is_channel = c < vec2u(params.channels);
    let halves = vec2u(begin) + select(vec2u(0u), c, is_channel);
    let words = vec2u(x[halves.x / 2u], x[halves.y / 2u]);
    let values = (words >> (halves % 2u * 16u)) & vec2u(0xffffu);
    let made = select(select(old, vec2u(0u), c < vec2u(params.padded)), values, is_channel);
    y[at] = made.x | (made.y << 16u);
}
