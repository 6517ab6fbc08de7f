//! The report of `spp bench --html`: one file that needs nothing else, neither network nor scripts.

use jiff::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use spp_wgpu::Error;
use spp_wgpu::bench::{Peaks, Row, Samples, StepTime, Verdict};

use crate::baseline::Comparison;
use crate::plot::{self, Bar, Point, Roof};

/// What there is to report.
pub(crate) struct Report<'a> {
    pub(crate) rows: &'a [Row],
    pub(crate) peaks: Option<&'a Peaks>,
    /// With the baseline; empty without one.
    pub(crate) compared: &'a [Comparison],
    pub(crate) command: String,
    pub(crate) date: Timestamp,
}

/// As it was typed, without the program's folder.
pub(crate) fn command() -> String {
    let arguments = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    std::iter::once("spp".into()).chain(arguments).collect::<Vec<_>>().join(" ")
}

impl Report<'_> {
    /// The page. Errors: a plot that cannot be drawn.
    pub(crate) fn html(&self) -> Result<String, Error> {
        let [adapter, backend, driver] = self.rows.first().map_or_else(Default::default, |row| row.device.clone());
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { "spp bench: " (adapter) }
                    style { (PreEscaped(include_str!("report.css"))) }
                }
                body {
                    main {
                        h1 { (adapter) }
                        dl {
                            dt { "Backend" } dd { (backend) }
                            dt { "Driver" } dd { (driver) }
                            @if let Some(row) = self.rows.first() {
                                dt { "Stored in" } dd { (row.precision) ", inputs and outputs in " (row.ports) }
                            }
                            dt { "Date" } dd { (self.date.strftime("%Y-%m-%d %H:%M UTC")) }
                            dt { "Version" } dd { "spp " (env!("CARGO_PKG_VERSION")) }
                            dt { "Command" } dd { code { (self.command) } }
                        }
                        (self.times())
                        (self.changes()?)
                        (self.roofline()?)
                        (self.limits())
                        (self.dispatches()?)
                    }
                }
            }
        };
        Ok(page.into_string() + "\n")
    }

    fn times(&self) -> Markup {
        let clocks = || self.rows.iter().flat_map(|row| [Some(&row.wall), row.gpu.as_ref()]).flatten();
        let places = decimals(clocks().map(Samples::median));
        let four = |samples: Option<&Samples>| {
            let times = samples.map(|s| [s.min(), s.percentile(50.0), s.percentile(90.0), s.percentile(99.0)]);
            html! {
                @for time in times.iter().flatten() { td { (format_args!("{time:.places$}")) } }
                @if times.is_none() { td.none colspan="4" { "no timestamps" } }
            }
        };
        let rates = |rate: fn(&Row) -> f64| {
            let places = decimals(self.rows.iter().map(rate));
            move |row: &Row| {
                Some(rate(row)).filter(|&r| r > 0.0).map_or("–".into(), |rate| format!("{rate:.places$}"))
            }
        };
        let (gflops, gbps) = (rates(Row::gflops), rates(Row::gbps));
        let (cold, warm) = (rates(|row| row.cold_ms.unwrap_or(0.0)), rates(|row| row.warm_ms));
        let estimated = |row: &Row| row.estimated_ms.map_or("–".into(), digits);
        let percent = |row: &Row| row.roofline_percent().map_or("–".into(), |percent| format!("{percent:.1}"));
        html! {
            h2 { "Times" }
            p {
                "Wall is host tensor in to host tensor out, GPU the first to the last timestamp on the device. Rates and "
                "the share of the roofline are by the median on the device, or by wall time if the device has no "
                "timestamps. Estimated is what the planner reckons the dispatches take, measuring nothing. The first "
                "result is once from weights on the host to a tensor on the host: cold on a new device, where all kernels "
                "are compiled unless the driver has them on disk, and warm where they are there."
            }
            .scroll tabindex="0" {
                table {
                    thead {
                        tr {
                            th scope="col" rowspan="2" { "#" }
                            th.name scope="col" rowspan="2" { "Case" }
                            @for column in ["Batch", "Dispatches"] { th scope="col" rowspan="2" { (column) } }
                            @for clock in ["Wall, ms", "GPU, ms"] { th.group scope="colgroup" colspan="4" { (clock) } }
                            @for column in ["Estimated, ms", "GFLOP/s", "GB/s", "Roofline %"] { th scope="col" rowspan="2" { (column) } }
                            th.name scope="col" rowspan="2" { "Bound" }
                            th.group scope="colgroup" colspan="2" { "First result, ms" }
                        }
                        tr {
                            @for _clock in 0..2 {
                                @for column in ["min", "median", "p90", "p99"] { th scope="col" { (column) } }
                            }
                            @for column in ["cold", "warm"] { th scope="col" { (column) } }
                        }
                    }
                    tbody {
                        @for (number, row) in (1..).zip(self.rows) {
                            tr {
                                td.none { (number) }
                                th.name scope="row" { (row.case) }
                                td { (row.batch) }
                                td { (row.dispatches) }
                                (four(Some(&row.wall)))
                                (four(row.gpu.as_ref()))
                                td { (estimated(row)) }
                                td { (gflops(row)) }
                                td { (gbps(row)) }
                                td { (percent(row)) }
                                td.name { (row.floor.map_or("–", |(_, bound)| bound.name())) }
                                td { (cold(row)) }
                                td { (warm(row)) }
                            }
                        }
                    }
                }
            }
        }
    }

    fn changes(&self) -> Result<Markup, Error> {
        if self.compared.is_empty() {
            return Ok(html! {});
        }
        let places = decimals(self.compared.iter().flat_map(|c| [c.before, c.now]));
        let mut cards = Vec::new();
        for row in self.rows {
            let of_row = |c: &&Comparison| c.case == row.case && c.batch == row.batch;
            let pair = |c: &Comparison| {
                let longest = c.before.max(c.now);
                let color = match c.verdict {
                    Verdict::Faster => plot::FASTER,
                    Verdict::Slower => plot::SLOWER,
                    Verdict::Noise => plot::ACCENT,
                };
                let bar = |label: &str, ms: f64, value: String, color| Bar {
                    label: format!("{}, {label}", c.clock),
                    value,
                    share: ms / longest,
                    color,
                };
                let change = format!("{:+.1} %, {}: {} ms", c.percent(), c.verdict.name(), digits(c.now));
                let before = bar("before", c.before, format!("{} ms", digits(c.before)), plot::BEFORE);
                [before, bar("now", c.now, change, color)]
            };
            let bars: Vec<Bar> = self.compared.iter().filter(of_row).flat_map(pair).collect();
            cards.extend(card(row, &bars)?);
        }
        Ok(html! {
            h2 { "Against the baseline" }
            p { "Medians, and what a Mann-Whitney rank test (p < 0.01) on the raw samples says about them." }
            .scroll tabindex="0" {
                table {
                    thead {
                        tr {
                            th.name scope="col" { "Case" }
                            th scope="col" { "Batch" }
                            th.name scope="col" { "Clock" }
                            @for column in ["Before, ms", "Now, ms", "Change, %"] { th scope="col" { (column) } }
                            th.name scope="col" { "Verdict" }
                        }
                    }
                    tbody {
                        @for c in self.compared {
                            tr {
                                th.name scope="row" { (c.case) }
                                td { (c.batch) }
                                td.name { (c.clock) }
                                td { (format_args!("{:.places$}", c.before)) }
                                td { (format_args!("{:.places$}", c.now)) }
                                td.(c.verdict.name()) { (format_args!("{:+.1}", c.percent())) }
                                td.name.(c.verdict.name()) { (c.verdict.name()) }
                            }
                        }
                    }
                }
            }
            .cards.after { @for card in cards { (card) } }
        })
    }

    fn roofline(&self) -> Result<Markup, Error> {
        let intensity = |row: &Row| row.cost.flops as f64 / row.cost.min_bytes as f64;
        let on_plot = || self.rows.iter().enumerate().filter(|(_, row)| row.cost.flops > 0);
        let mut roofs = Vec::new();
        if let Some(peaks) = self.peaks {
            let all = [("f32", Some(peaks.f32_gflops)), ("f16", peaks.f16_gflops), ("matrix", peaks.coop_gflops)];
            let measured = all.into_iter().filter_map(|(name, gflops)| Some((name, gflops?)));
            let roof = |(name, gflops)| Roof { label: format!("{name} {} GFLOP/s", digits(gflops)), gflops };
            roofs.extend(measured.map(roof));
        }
        let draw = |size, label: &dyn Fn(usize, &Row) -> String| {
            let point = |(i, row): (usize, &Row)| Point { label: label(i, row), at: (intensity(row), row.gflops()) };
            let points: Vec<Point> = on_plot().map(point).collect();
            plot::roofline(size, &points, &roofs, self.peaks.map(|peaks| peaks.copy_gbps))
        };
        let batches = self.rows.iter().any(|row| self.rows.iter().any(|other| other.batch != row.batch));
        let name = |_, row: &Row| if batches { format!("{} ×{}", row.case, row.batch) } else { row.case.clone() };
        let wide = draw(("wide", 1100, 560), &name)?;
        let narrow = draw(("narrow", 340, 380), &|number, _| (number + 1).to_string())?;
        let mut about = String::from(
            "The lines are what this device was measured to reach. A case lies at the FLOPs it needs for each byte of \
             its inputs, outputs and weights; if it were on the line, it would be as fast as the device allows.",
        );
        if self.peaks.is_none() {
            about = "The device's own limits were left out.".into();
        }
        let outside: Vec<&str> =
            self.rows.iter().filter(|row| row.cost.flops == 0).map(|row| row.case.as_str()).collect();
        if !outside.is_empty() {
            about += &format!(" Without multiplications and so without a place here: {}.", outside.join(", "));
        }
        Ok(html! {
            h2 { "Roofline" }
            p { (about) }
            figure { (wide) (narrow) }
        })
    }

    fn limits(&self) -> Markup {
        let Some(peaks) = self.peaks else {
            return html! {};
        };
        let limits = [
            ("f32 fused multiply-adds", Some(peaks.f32_gflops), "GFLOP/s"),
            ("f16 fused multiply-adds", peaks.f16_gflops, "GFLOP/s"),
            ("Cooperative matrices, f16 to f32", peaks.coop_gflops, "GFLOP/s"),
            ("Copy on the device, read and written", Some(peaks.copy_gbps), "GB/s"),
            ("Upload", Some(peaks.upload_gbps), "GB/s"),
            ("Download", Some(peaks.download_gbps), "GB/s"),
            ("A dispatch that waits for another", Some(peaks.dispatch_us), "µs"),
            ("Submitting and waiting", Some(peaks.submit_us), "µs"),
        ];
        html! {
            h2 { "Measured limits" }
            .scroll.fit tabindex="0" {
                table {
                    tbody {
                        @for (what, value, unit) in limits {
                            tr {
                                th.name scope="row" { (what) }
                                @if let Some(value) = value {
                                    td { (digits(value)) }
                                    td.name.none { (unit) }
                                } @else {
                                    td.none { "not measured" }
                                    td {}
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn dispatches(&self) -> Result<Markup, Error> {
        let mut cards = Vec::new();
        for row in self.rows {
            let Some(steps) = &row.steps else { continue };
            let longest = steps.iter().map(|step| step.us).fold(0.0, f64::max);
            let total: f64 = steps.iter().map(|step| step.us).sum();
            let estimated = |step: &StepTime| {
                step.estimated_us.map_or_else(String::new, |us| format!(" (estimated {} µs)", digits(us)))
            };
            let bar = |step: &StepTime| Bar {
                label: format!("{} · {}", step.node, step.kernel),
                value: format!("{} µs, {:.0} %{}", digits(step.us), 100.0 * step.us / total, estimated(step)),
                share: step.us / longest,
                color: plot::ACCENT,
            };
            cards.extend(card(row, &steps.iter().map(bar).collect::<Vec<_>>())?);
        }
        let about = if cards.is_empty() {
            "This adapter has no timestamps."
        } else {
            "Each dispatch is a pass of its own here, so all together take longer than the whole."
        };
        Ok(html! {
            h2 { "Dispatches" }
            p { (about) }
            .cards { @for card in cards { (card) } }
        })
    }
}

/// Bars under the name of a case, if there are any.
fn card(row: &Row, bars: &[Bar]) -> Result<Option<Markup>, Error> {
    if bars.is_empty() {
        return Ok(None);
    }
    let title = format!("{}, batch {}", row.case, row.batch);
    let plot = plot::bars(&title, bars)?;
    Ok(Some(html! { figure { h3 { (title) } (plot) } }))
}

/// Digits after the decimal point that leave three significant ones in the least of these numbers.
fn decimals(values: impl Iterator<Item = f64>) -> usize {
    let least = values.filter(|&value| value > 0.0).fold(f64::INFINITY, f64::min);
    if least.is_finite() { (2.0 - least.log10().floor()).clamp(0.0, 4.0) as usize } else { 0 }
}

/// Three significant digits, or all before the decimal point.
fn digits(value: f64) -> String {
    format!("{value:.*}", decimals(std::iter::once(value)))
}

#[cfg(test)]
mod tests {
    use spp_wgpu::Precision;
    use spp_wgpu::case::canonical_row;

    use super::*;

    fn peaks() -> Peaks {
        Peaks {
            f32_gflops: 58_000.0,
            f16_gflops: None,
            coop_gflops: Some(480_000.0),
            copy_gbps: 4100.0,
            upload_gbps: 25.0,
            download_gbps: 22.0,
            dispatch_us: 2.5,
            submit_us: 14.0,
        }
    }

    /// Three published shapes, as run by a device whose name must be escaped.
    fn rows(has_timestamps: bool) -> Vec<Row> {
        let row = |name: &str| {
            let cost = canonical_row(name).unwrap().graph(0).unwrap().cost();
            let times = |ms: f64| Samples::new((0..20).map(|run| ms + 0.001 * f64::from(run)).collect()).unwrap();
            let step =
                |us: f64| StepTime { kernel: "conv", node: "cv<1>.conv".into(), us, estimated_us: Some(us / 2.0) };
            Row {
                case: name.into(),
                batch: 1,
                precision: Precision::F16,
                ports: Precision::F32,
                device: ["<script>&\"GPU\"", "vulkan", "driver 'x'"].map(String::from),
                dispatches: 3,
                planned_bytes: 1,
                cost,
                cold_ms: Some(31.0),
                warm_ms: 7.25,
                wall: times(4.321),
                gpu: has_timestamps.then(|| times(1.234)),
                floor: Some(peaks().floor_of_graph(&cost, false)),
                estimated_ms: has_timestamps.then_some(0.5),
                steps: has_timestamps.then(|| [300.0, 100.0].map(step).into()),
            }
        };
        ["sppf_v5s", "rfb_300", "pyramid_sppnet"].map(row).into()
    }

    fn comparison(row: &Row, verdict: Verdict) -> Comparison {
        let (case, before) = (row.case.clone(), row.wall.median() / 1.125);
        Comparison { case, batch: 1, clock: "wall", before, now: row.wall.median(), verdict, enough: true }
    }

    fn page(rows: &[Row], peaks: Option<&Peaks>, compared: &[Comparison]) -> String {
        let (command, date) = ("spp bench --html 'a<b>.html'".into(), Timestamp::UNIX_EPOCH);
        Report { rows, peaks, compared, command, date }.html().unwrap()
    }

    #[test]
    fn a_page_holds_what_was_measured_and_fetches_nothing() {
        for has_timestamps in [true, false] {
            let rows = rows(has_timestamps);
            let compared = [comparison(&rows[0], Verdict::Slower), comparison(&rows[1], Verdict::Noise)];
            for (peaks, compared) in [(None, &[][..]), (Some(&peaks()), &compared)] {
                let page = page(&rows, peaks, compared);
                for fetching in ["http", "src=", "<script", "@import", "url(", "<link"] {
                    assert!(!page.contains(fetching), "{fetching}");
                }
                assert!(page.contains("<h1>&lt;script&gt;&amp;&quot;GPU&quot;</h1>"));
                assert!(page.contains("<code>spp bench --html 'a&lt;b&gt;.html'</code>"));
                assert!(page.contains("<dd>1970-01-01 00:00 UTC</dd>"));
                assert!(page.contains("<dd>f16, inputs and outputs in f32</dd>"));
                assert_eq!(page.contains("cv&lt;1&gt;.conv · conv"), has_timestamps);
                assert!(page.contains("<td>4.33</td>"), "the median of wall times");
                assert!(page.contains("<td>31.0</td><td>7.25</td></tr>"), "the first result, cold and warm");
                assert_eq!(page.contains(">no timestamps</td>"), !has_timestamps);
                assert_eq!(page.contains("300 µs, 75 % (estimated 150 µs)"), has_timestamps);
                assert_eq!(page.contains("<td>0.500</td>"), has_timestamps);
                assert_eq!(page.contains("f32 58000 GFLOP/s"), peaks.is_some());
                assert_eq!(page.contains("<td class=\"slower\">+12.5</td>"), !compared.is_empty());
                assert!(page.contains("without a place here: pyramid_sppnet"));
            }
        }
        assert!(page(&[], None, &[]).ends_with("</html>\n"), "nothing measured is a page, too");
    }

    #[test]
    fn three_digits_are_significant() {
        let shown = [0.0, 0.00123, 0.0671, 0.5, 12.34, 123.4, 58_000.0].map(digits);
        assert_eq!(shown, ["0", "0.0012", "0.0671", "0.500", "12.3", "123", "58000"]);
        assert_eq!(decimals([0.0, 250.0, 1.5].into_iter()), 2);
    }
}
