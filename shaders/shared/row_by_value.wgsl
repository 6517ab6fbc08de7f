// A row's results, each by itself.

fn put_row(x_row: u32, y_row: u32, share: u32, highest: f32, sum: f32) {
    for (var i = share; i < params.width; i += SHARES) {
        store_value(place(y_row, i), made(load_value(x_row + i * params.step), highest, sum));
    }
    for (var i = params.width + share; i < params.padded; i += SHARES) {
        store_value(place(y_row, i), 0.0);
    }
}
