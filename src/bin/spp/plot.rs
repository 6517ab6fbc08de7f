//! Plots as SVG that the style sheet of the page recolours: each colour here is a name for one of its variables.

use maud::{Markup, PreEscaped, html};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use spp_wgpu::Error;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

// `report.css` says what they look like, in light and dark mode.
const INK: RGBColor = RGBColor(0x1b, 0x1f, 0x24);
const MUTED: RGBColor = RGBColor(0x59, 0x63, 0x6e);
const RULE: RGBColor = RGBColor(0xd8, 0xde, 0xe4);
pub(crate) const ACCENT: RGBColor = RGBColor(0x0b, 0x5f, 0xc0);
pub(crate) const FASTER: RGBColor = RGBColor(0x1a, 0x7f, 0x37);
pub(crate) const SLOWER: RGBColor = RGBColor(0xb4, 0x23, 0x18);
pub(crate) const BEFORE: RGBColor = RGBColor(0x9a, 0xa4, 0xae);

/// A bar with its name and value above it.
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) value: String,
    /// Length, as a share of the longest.
    pub(crate) share: f64,
    pub(crate) color: RGBColor,
}

/// A case in the roofline plot.
pub(crate) struct Point {
    pub(crate) label: String,
    /// FLOP per byte, and 10⁹ FLOP per second.
    pub(crate) at: (f64, f64),
}

/// A limit of arithmetic, 10⁹ FLOP per second.
pub(crate) struct Roof {
    pub(crate) label: String,
    pub(crate) gflops: f64,
}

/// `draw` on a canvas of this size. The outermost tag is ours: it tells screen readers what is drawn, and has no namespace,
/// since HTML needs none and a page without any address is easily seen to fetch nothing.
fn svg(
    (width, height): (u32, u32),
    (class, title): (&str, &str),
    draw: impl FnOnce(&Area) -> Result<(), Box<dyn std::error::Error>>,
) -> Result<Markup, Error> {
    let mut text = String::new();
    let drawn = {
        let area = SVGBackend::with_string(&mut text, (width, height)).into_drawing_area();
        draw(&area).and_then(|()| Ok(area.present()?))
    };
    let bad = |reason: String| Error::InvalidData { what: "plot".into(), reason };
    drawn.map_err(|error| bad(error.to_string()))?;
    let inside = text.split_once('>').and_then(|(_, rest)| rest.trim_end().strip_suffix("</svg>"));
    let inside = inside.ok_or_else(|| bad("is no SVG".into()))?;
    Ok(html! {
        svg.(class) role="img" aria-label=(title) width=(width) height=(height) viewBox={ "0 0 " (width) " " (height) } {
            (PreEscaped(inside))
        }
    })
}

/// Text of this height, placed so that `at` is its middle on the side where it begins.
fn text<'a>(text: String, at: (i32, i32), size: f64, color: RGBColor, side: HPos) -> Text<'a, (i32, i32), String> {
    Text::new(text, at, font(size, color).pos(Pos::new(side, VPos::Center)))
}

fn font(size: f64, color: RGBColor) -> TextStyle<'static> {
    // The backend divides by 1.24.
    let style = TextStyle::from(("sans-serif", size * 1.24).into_font());
    TextStyle { color: color.to_backend_color(), ..style }
}

/// Bars below each other.
pub(crate) fn bars(title: &str, bars: &[Bar]) -> Result<Markup, Error> {
    const WIDTH: i32 = 340;
    const STEP: i32 = 34;
    svg((WIDTH as u32, bars.len() as u32 * STEP as u32), ("bars", title), |area| {
        for (bar, top) in bars.iter().zip((0..).step_by(STEP as usize)) {
            let room = 52usize.saturating_sub(bar.value.chars().count());
            area.draw(&text(shortened(&bar.label, room), (0, top + 9), 12.0, INK, HPos::Left))?;
            area.draw(&text(bar.value.clone(), (WIDTH, top + 9), 12.0, MUTED, HPos::Right))?;
            let (above, below) = (top + 18, top + 25);
            area.draw(&Rectangle::new([(0, above), (WIDTH, below)], RULE.filled()))?;
            let end = (f64::from(WIDTH) * bar.share.clamp(0.0, 1.0)).round().max(1.0) as i32;
            area.draw(&Rectangle::new([(0, above), (end, below)], bar.color.filled()))?;
        }
        Ok(())
    })
}

fn shortened(label: &str, room: usize) -> String {
    if label.chars().count() <= room {
        return label.into();
    }
    label.chars().take(room.saturating_sub(1)).chain(['…']).collect()
}

/// Cases under the roofs of arithmetic and, in GB/s, of memory: both axes logarithmic.
pub(crate) fn roofline(
    (class, width, height): (&str, u32, u32),
    points: &[Point],
    roofs: &[Roof],
    memory: Option<f64>,
) -> Result<Markup, Error> {
    let ridges = || memory.into_iter().flat_map(|gbps| roofs.iter().map(move |roof| roof.gflops / gbps));
    let [(left, right), (low, high)] = [
        decades(points.iter().map(|point| point.at.0).chain(ridges())),
        decades(points.iter().map(|point| point.at.1).chain(roofs.iter().map(|roof| roof.gflops))),
    ];
    svg((width, height), (class, "Roofline: GFLOP/s over FLOP per byte, both logarithmic"), |area| {
        let mut builder = ChartBuilder::on(area);
        builder.margin(6).margin_top(24).margin_right(14).x_label_area_size(40).y_label_area_size(52);
        let mut chart = builder.build_cartesian_2d((left..right).log_scale(), (low..high).log_scale())?;
        chart
            .configure_mesh()
            .bold_line_style(RULE)
            .light_line_style(TRANSPARENT)
            .axis_style(MUTED)
            .label_style(font(12.0, MUTED))
            .x_labels(4)
            .y_labels(6)
            .x_label_formatter(&|x| tick(*x))
            .y_label_formatter(&|y| tick(*y))
            .x_desc("FLOP per byte of least traffic")
            .axis_desc_style(font(12.0, INK))
            .draw()?;
        area.draw(&text("GFLOP/s".into(), (6, 10), 12.0, INK, HPos::Left))?;

        // The first binds the cases, the others only show what the device has besides.
        let color = |roof: usize| if roof == 0 { ACCENT } else { BEFORE };
        let highest = roofs.iter().map(|roof| roof.gflops).fold(0.0, f64::max);
        let on_slope = |gflops: f64| memory.map_or(left, |gbps| (gflops / gbps).clamp(left, right));
        if let Some(gbps) = memory.filter(|_| highest > 0.0) {
            let line = |from: f64, to: f64| [(from, from * gbps), (to, to * gbps)];
            let (from, ridge) = (on_slope(low), on_slope(roofs[0].gflops));
            chart.draw_series([PathElement::new(line(ridge, on_slope(highest)), BEFORE.stroke_width(2))])?;
            chart.draw_series([PathElement::new(line(from, ridge), ACCENT.stroke_width(2))])?;
        }
        for (i, roof) in roofs.iter().enumerate() {
            let line = [(on_slope(roof.gflops), roof.gflops), (right, roof.gflops)];
            chart.draw_series([PathElement::new(line, color(i).stroke_width(2))])?;
        }
        let mut taken: Vec<Frame> = Vec::new();
        for (i, roof) in roofs.iter().enumerate() {
            let (x, y) = chart.backend_coord(&(right, roof.gflops));
            taken.push(Frame::of_text(&roof.label, (x - 4 - length(&roof.label), y - 10)));
            area.draw(&text(roof.label.clone(), (x - 4, y - 10), 12.0, color(i), HPos::Right))?;
        }
        let at: Vec<(i32, i32)> = points.iter().map(|point| chart.backend_coord(&point.at)).collect();
        taken.extend(at.iter().map(|&(x, y)| Frame { left: x - 5, top: y - 5, right: x + 5, bottom: y + 5 }));
        let edge = Frame { left: 60, top: 14, right: width as i32 - 8, bottom: height as i32 - 52 };
        let mut corners = Vec::with_capacity(points.len());
        for (point, &(x, y)) in points.iter().zip(&at) {
            let (corner, far) = free_place(&point.label, (x, y), &taken, edge);
            taken.push(Frame::of_text(&point.label, corner));
            corners.push(corner);
            if far {
                let reach = corner.0.max((corner.0 + length(&point.label)).min(x));
                area.draw(&PathElement::new([(x, y), (reach, corner.1)], MUTED))?;
            }
        }
        for (point, corner) in points.iter().zip(corners) {
            area.draw(&text(point.label.clone(), corner, 12.0, INK, HPos::Left))?;
        }
        for &place in &at {
            area.draw(&Circle::new(place, 4, ACCENT.filled()))?;
        }
        Ok(())
    })
}

/// Pixels, all sides inclusive.
#[derive(Clone, Copy)]
struct Frame {
    left: i32,
    top: i32,
    right: i32,
    bottom: i32,
}

/// How many pixels wide a text 12 pixels high is: rather too many than too few.
fn length(text: &str) -> i32 {
    text.chars().count() as i32 * 7
}

impl Frame {
    /// The frame of a text that begins here.
    fn of_text(text: &str, (x, y): (i32, i32)) -> Self {
        Self { left: x, top: y - 7, right: x + length(text), bottom: y + 7 }
    }

    fn overlaps(self, other: Self) -> bool {
        self.left <= other.right && other.left <= self.right && self.top <= other.bottom && other.top <= self.bottom
    }

    fn inside(self, edge: Self) -> bool {
        self.left >= edge.left && self.top >= edge.top && self.right <= edge.right && self.bottom <= edge.bottom
    }
}

/// Where a label begins so that it hides nothing, and whether that is so far from its point that it needs a line to it.
fn free_place(label: &str, (x, y): (i32, i32), taken: &[Frame], edge: Frame) -> ((i32, i32), bool) {
    let sides = [x + 9, x - 9 - length(label), x - length(label) / 2];
    for away in (0..20).map(|step| step * 8) {
        for (side, x) in sides.into_iter().enumerate() {
            for y in [y - away, y + away] {
                let frame = Frame::of_text(label, (x, y));
                // Straight above or below, it is clear of the point from 16 pixels on.
                if frame.inside(edge) && !taken.iter().any(|other| frame.overlaps(*other)) {
                    return ((x, y), away > if side == 2 { 16 } else { 8 });
                }
            }
        }
    }
    ((sides[0], y), false)
}

/// Whole powers of ten around all values.
fn decades(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (least, most) = values.fold((f64::INFINITY, 0.0f64), |(least, most), v| (least.min(v), most.max(v)));
    if !(least > 0.0 && most.is_finite() && least <= most) {
        return (1.0, 10.0);
    }
    let (low, high) = ((least / 1.2).log10().floor(), (most * 1.2).log10().ceil());
    // The upper end must have its own line, rounding or not.
    (10f64.powf(low), 10f64.powf(high.max(low + 1.0)) * 1.0001)
}

/// A power of ten.
fn tick(value: f64) -> String {
    match value.log10().round() as i32 {
        exponent @ 9.. => format!("1e{exponent}"),
        exponent @ 6.. => format!("{}M", 10u32.pow(exponent as u32 - 6)),
        exponent @ 3.. => format!("{}k", 10u32.pow(exponent as u32 - 3)),
        exponent @ 0.. => format!("{}", 10u32.pow(exponent as u32)),
        exponent => format!("{:.*}", exponent.unsigned_abs() as usize, value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_span_whole_decades() {
        let axis = |values: &[f64]| decades(values.iter().copied());
        assert_eq!(axis(&[13.0, 700.0]), (10.0, 1000.1));
        // At the very end a point or a roof would hide in the frame.
        assert_eq!(axis(&[1.0, 990.0]), (0.1, 10_001.0));
        assert_eq!(axis(&[3.0]), (1.0, 10.001));
        for senseless in [&[][..], &[0.0], &[f64::NAN], &[f64::INFINITY]] {
            assert_eq!(axis(senseless), (1.0, 10.0), "{senseless:?}");
        }
    }

    #[test]
    fn labels_of_neighbours_do_not_overlap() {
        let edge = Frame { left: 0, top: 0, right: 400, bottom: 400 };
        let mut taken = Vec::new();
        for i in 0..12 {
            let (corner, _) = free_place("simcspsppf_v6s", (200 + i, 200 - i), &taken, edge);
            let frame = Frame::of_text("simcspsppf_v6s", corner);
            assert!(frame.inside(edge) && !taken.iter().any(|other| frame.overlaps(*other)), "{i}: {corner:?}");
            taken.push(frame);
        }
    }

    #[test]
    fn ticks_are_short() {
        let ticks: Vec<String> = [0.01, 1.0, 100.0, 1e3, 1e5, 1e6, 1e9].into_iter().map(tick).collect();
        assert_eq!(ticks, ["0.01", "1", "100", "1k", "100k", "1M", "1e9"]);
    }

    #[test]
    fn long_labels_are_cut_between_characters() {
        assert_eq!(shortened("größer", 4), "grö…");
        assert_eq!(shortened("größer", 6), "größer");
    }
}
