//! What networks find, painted on pictures.

use image::{Rgb, RgbImage};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

/// A frame around a place, left, top, right, bottom, with a line of text above its upper border, or below it if there is
/// no room.
pub(crate) fn frame(picture: &mut RgbImage, corners: [f32; 4], text: &str, colour: Rgb<u8>) {
    let (width, height) = (i64::from(picture.width()), i64::from(picture.height()));
    let short = width.min(height);
    let line = (short / 200).max(2);
    let [x0, y0, x1, y1] = corners.map(|x| x.round() as i64);
    fill(picture, [x0, y0, x1, y0 + line], colour);
    fill(picture, [x0, y1 - line, x1, y1], colour);
    fill(picture, [x0, y0, x0 + line, y1], colour);
    fill(picture, [x1 - line, y0, x1, y1], colour);

    let magnified = (short / 400).max(1);
    let (cell_w, cell_h) =
        (get_raster_width(FontWeight::Regular, RasterHeight::Size16) as i64 * magnified, 16 * magnified);
    let text_w = cell_w * text.chars().count() as i64;
    let left = x0.min(width - text_w).max(0);
    let top = if y0 >= cell_h { y0 - cell_h } else { y0.max(0) };
    fill(picture, [left, top, left + text_w, top + cell_h], colour);
    // Black or white, whichever the eye tells apart from the colour.
    let [r, g, b] = colour.0.map(u32::from);
    let ink = if 299 * r + 587 * g + 114 * b > 128_000 { [0; 3] } else { [255; 3] };
    for (i, c) in text.chars().enumerate() {
        let known = get_raster(c, FontWeight::Regular, RasterHeight::Size16);
        let Some(raster) = known.or_else(|| get_raster('?', FontWeight::Regular, RasterHeight::Size16)) else {
            continue;
        };
        let dots =
            raster.rows().enumerate().flat_map(|(y, row)| row.iter().enumerate().map(move |(x, &dot)| (x, y, dot)));
        for (x, y, dot) in dots {
            let (x, y) = (left + i as i64 * cell_w + x as i64 * magnified, top + y as i64 * magnified);
            let mixed = [0, 1, 2].map(|channel| mix(colour.0[channel], ink[channel], f32::from(dot) / 255.0));
            fill(picture, [x, y, x + magnified, y + magnified], Rgb(mixed));
        }
    }
}

/// What of a rectangle lies on the picture.
fn fill(picture: &mut RgbImage, [x0, y0, x1, y1]: [i64; 4], colour: Rgb<u8>) {
    let (width, height) = (i64::from(picture.width()), i64::from(picture.height()));
    for y in y0.clamp(0, height)..y1.clamp(0, height) {
        for x in x0.clamp(0, width)..x1.clamp(0, width) {
            picture.put_pixel(x as u32, y as u32, colour);
        }
    }
}

/// From `a` to `b`.
pub(crate) fn mix(a: u8, b: u8, share: f32) -> u8 {
    (f32::from(a) + (f32::from(b) - f32::from(a)) * share).round() as u8
}

/// Of a class: neighbours differ most in hue, as each is the golden ratio of the circle further.
pub(crate) fn colour(class: usize) -> Rgb<u8> {
    let hue = (class as f64 * 0.618_033_988_749_895).fract() * 6.0;
    let channel = |offset: f64| {
        let distance = ((hue + offset) % 6.0 - 3.0).abs() - 1.0;
        (255.0 * (0.15 + 0.85 * distance.clamp(0.0, 1.0))).round() as u8
    };
    Rgb([channel(0.0), channel(4.0), channel(2.0)])
}

/// The colours of PASCAL VOC, in which each bit of a class is a bit of a channel.
pub(crate) fn pascal(class: usize) -> Rgb<u8> {
    let channel = |first: usize| (0..3).map(|i| ((class >> (3 * i + first)) & 1) << (7 - i)).sum::<usize>() as u8;
    Rgb([channel(0), channel(1), channel(2)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_pascals_and_apart() {
        // As its development kit lists them: background, aeroplane, ..., cat (8), tvmonitor (20).
        let listed = [(0, [0, 0, 0]), (1, [128, 0, 0]), (2, [0, 128, 0]), (8, [64, 0, 0]), (20, [0, 64, 128])];
        for (class, rgb) in listed {
            assert_eq!(pascal(class), Rgb(rgb), "{class}");
        }
        for class in 0..80 {
            let distance = |other| (0..3).map(|i| colour(class).0[i].abs_diff(colour(other).0[i]) as u32).sum::<u32>();
            assert!(distance(class + 1) > 100, "{class}");
        }
    }

    #[test]
    fn frames_are_painted_where_they_lie_on_the_picture() {
        let white = Rgb([255; 3]);
        let mut picture = RgbImage::new(100, 60);
        frame(&mut picture, [10.0, 30.0, 50.0, 50.0], "", white);
        for (x, y, painted) in
            [(10, 30, true), (49, 49, true), (50, 50, false), (9, 30, false), (30, 31, true), (30, 40, false)]
        {
            assert_eq!(*picture.get_pixel(x, y) == white, painted, "{x} {y}");
        }
        let outside = [[-50.0, -50.0, 500.0, 500.0], [200.0, 200.0, 300.0, 300.0], [f32::MIN, 0.0, f32::MAX, f32::NAN]];
        for corners in outside {
            frame(&mut RgbImage::new(1, 1), corners, "日本 label", white);
        }
    }
}
