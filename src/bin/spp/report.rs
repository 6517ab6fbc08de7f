//! The report of `spp bench --html`: one file that needs nothing else, neither network nor scripts.

use std::time::SystemTime;

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
    pub(crate) date: String,
}

/// As it was typed, the program's folder aside.
pub(crate) fn command() -> String {
    let arguments = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    std::iter::once("spp".into()).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// Year, month, day, hour and minute, universal time.
pub(crate) fn date(time: SystemTime) -> String {
    let minutes = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs() / 60);
    let (mut days, mut year) = (minutes / 1440, 1970);
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02} {:02}:{:02} UTC", days + 1, minutes / 60 % 24, minutes % 60)
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

impl Report<'_> {
    /// The page. Errors: a plot that cannot be drawn.
    pub(crate) fn html(&self) -> Result<String, Error> {
        let [adapter, backend, driver] = self.rows.first().map_or_else(Default::default, |row| row.device.clone());
        let version = format!("spp {}", env!("CARGO_PKG_VERSION"));
        let facts = [
            ("Backend", escaped(&backend)),
            ("Driver", escaped(&driver)),
            ("Date", escaped(&self.date)),
            ("Version", version),
            ("Command", format!("<code>{}</code>", escaped(&self.command))),
        ];
        let facts: String = facts.iter().map(|(key, value)| format!("<dt>{key}</dt><dd>{value}</dd>\n")).collect();
        let name = escaped(&adapter);
        Ok(format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
             <title>spp bench: {name}</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n\
             <h1>{name}</h1>\n<dl>\n{facts}</dl>\n{}{}{}{}{}</main>\n</body>\n</html>\n",
            include_str!("report.css"),
            self.times(),
            self.changes()?,
            self.roofline()?,
            self.limits(),
            self.dispatches()?,
        ))
    }

    fn times(&self) -> String {
        let times = |samples: &Samples| [50.0, 90.0, 99.0].map(|percent| samples.percentile(percent));
        let clocks = || self.rows.iter().flat_map(|row| [Some(&row.wall), row.gpu.as_ref()]).flatten();
        let places = decimals(clocks().map(Samples::median));
        let four = |samples: Option<&Samples>| match samples {
            Some(s) => {
                [&[s.min()][..], &times(s)].concat().iter().map(|time| format!("<td>{time:.places$}</td>")).collect()
            }
            None => String::from("<td colspan=\"4\" class=\"none\">no timestamps</td>"),
        };
        let rates = |rate: fn(&Row) -> f64| {
            let places = decimals(self.rows.iter().map(rate));
            move |row: &Row| {
                Some(rate(row)).filter(|&r| r > 0.0).map_or("–".into(), |rate| format!("{rate:.places$}"))
            }
        };
        let (gflops, gbps, build) = (rates(Row::gflops), rates(Row::gbps), rates(|row| row.compile_ms));
        let row = |(number, row): (usize, &Row)| {
            let percent = row.roofline_percent().map_or("–".into(), |percent| format!("{percent:.1}"));
            let bound = row.floor.map_or("–", |(_, bound)| bound.name());
            format!(
                "<tr><td class=\"none\">{}</td><th scope=\"row\" class=\"name\">{}</th><td>{}</td><td>{}</td>\
                 {}{}<td>{}</td><td>{}</td><td>{percent}</td><td class=\"name\">{bound}</td><td>{}</td></tr>\n",
                number + 1,
                escaped(&row.case),
                row.batch,
                row.dispatches,
                four(Some(&row.wall)),
                four(row.gpu.as_ref()),
                gflops(row),
                gbps(row),
                build(row),
            )
        };
        let rows: String = self.rows.iter().enumerate().map(row).collect();
        let four = ["min", "median", "p90", "p99"].map(|column| format!("<th scope=\"col\">{column}</th>")).concat();
        let tall = |columns: &[&str]| -> String {
            columns.iter().map(|column| format!("<th scope=\"col\" rowspan=\"2\">{column}</th>")).collect()
        };
        format!(
            "<h2>Times</h2>\n<p>Wall is host tensor in to host tensor out, GPU the first to the last timestamp on the \
             device. Rates and the share of the roofline are by the median on the device, or by the wall where the \
             device has no timestamps.</p>\n<div class=\"scroll\" tabindex=\"0\"><table>\n<thead>\n<tr>{}\
             <th scope=\"col\" rowspan=\"2\" class=\"name\">Case</th>{}<th scope=\"colgroup\" colspan=\"4\" class=\"group\">\
             Wall, ms</th><th scope=\"colgroup\" colspan=\"4\" class=\"group\">GPU, ms</th>{}\
             <th scope=\"col\" rowspan=\"2\" class=\"name\">Bound</th>{}</tr>\n\
             <tr>{four}{four}</tr>\n</thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n",
            tall(&["#"]),
            tall(&["Batch", "Dispatches"]),
            tall(&["GFLOP/s", "GB/s", "Roofline %"]),
            tall(&["Build ms"]),
        )
    }

    fn changes(&self) -> Result<String, Error> {
        if self.compared.is_empty() {
            return Ok(String::new());
        }
        let places = decimals(self.compared.iter().flat_map(|c| [c.before, c.now]));
        let row = |c: &Comparison| {
            let verdict = c.verdict.name();
            format!(
                "<tr><th scope=\"row\" class=\"name\">{}</th><td>{}</td><td class=\"name\">{}</td><td>{:.places$}</td>\
                 <td>{:.places$}</td><td class=\"{verdict}\">{:+.1}</td><td class=\"name {verdict}\">{verdict}</td></tr>\n",
                escaped(&c.case),
                c.batch,
                c.clock,
                c.before,
                c.now,
                c.percent(),
            )
        };
        let rows: String = self.compared.iter().map(row).collect();
        let mut cards = String::new();
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
            cards += &card(row, &bars)?;
        }
        Ok(format!(
            "<h2>Against the baseline</h2>\n<p>Medians, and what a Mann-Whitney rank test (p &lt; 0.01) on the raw samples \
             says of them.</p>\n<div class=\"scroll\" tabindex=\"0\"><table>\n<thead><tr><th scope=\"col\" class=\"name\">Case</th>\
             <th scope=\"col\">Batch</th><th scope=\"col\" class=\"name\">Clock</th><th scope=\"col\">Before, ms</th>\
             <th scope=\"col\">Now, ms</th><th scope=\"col\">Change, %</th>\
             <th scope=\"col\" class=\"name\">Verdict</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n\
             <div class=\"cards after\">\n{cards}</div>\n"
        ))
    }

    fn roofline(&self) -> Result<String, Error> {
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
             its inputs, outputs and weights; as high as the line it would be as fast as the device allows.",
        );
        if self.peaks.is_none() {
            about = "The device's own limits were left out.".into();
        }
        let outside: Vec<String> =
            self.rows.iter().filter(|row| row.cost.flops == 0).map(|row| escaped(&row.case)).collect();
        if !outside.is_empty() {
            about += &format!(" Without multiplications and so without a place here: {}.", outside.join(", "));
        }
        Ok(format!("<h2>Roofline</h2>\n<p>{about}</p>\n<figure>\n{wide}{narrow}</figure>\n"))
    }

    fn limits(&self) -> String {
        let Some(peaks) = self.peaks else {
            return String::new();
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
        let row = |(what, value, unit): (&str, Option<f64>, &str)| {
            let value = value.map_or("<td class=\"none\">not measured</td><td></td>".into(), |value| {
                format!("<td>{}</td><td class=\"name none\">{unit}</td>", digits(value))
            });
            format!("<tr><th scope=\"row\" class=\"name\">{what}</th>{value}</tr>\n")
        };
        let rows: String = limits.into_iter().map(row).collect();
        format!(
            "<h2>Measured limits</h2>\n<div class=\"scroll fit\" tabindex=\"0\"><table>\n<tbody>\n{rows}</tbody>\n</table></div>\n"
        )
    }

    fn dispatches(&self) -> Result<String, Error> {
        let mut cards = String::new();
        for row in self.rows {
            let Some(steps) = &row.steps else { continue };
            let longest = steps.iter().map(|step| step.us).fold(0.0, f64::max);
            let total: f64 = steps.iter().map(|step| step.us).sum();
            let bar = |step: &StepTime| Bar {
                label: format!("{} · {}", step.node, step.kernel),
                value: format!("{} µs, {:.0} %", digits(step.us), 100.0 * step.us / total),
                share: step.us / longest,
                color: plot::ACCENT,
            };
            cards += &card(row, &steps.iter().map(bar).collect::<Vec<_>>())?;
        }
        let about = if cards.is_empty() {
            "This adapter has no timestamps."
        } else {
            "Each dispatch is a pass of its own here, so that all together take longer than the whole."
        };
        Ok(format!("<h2>Dispatches</h2>\n<p>{about}</p>\n<div class=\"cards\">\n{cards}</div>\n"))
    }
}

/// Bars under the name of a case.
fn card(row: &Row, bars: &[Bar]) -> Result<String, Error> {
    if bars.is_empty() {
        return Ok(String::new());
    }
    let name = escaped(&row.case);
    let title = format!("{name}, batch {}", row.batch);
    Ok(format!("<figure><h3>{title}</h3>\n{}</figure>\n", plot::bars(&title, bars)?))
}

/// Digits behind the point that leave three that count in the least of these numbers.
fn decimals(values: impl Iterator<Item = f64>) -> usize {
    let least = values.filter(|&value| value > 0.0).fold(f64::INFINITY, f64::min);
    if least.is_finite() { (2.0 - least.log10().floor()).clamp(0.0, 4.0) as usize } else { 0 }
}

/// Three digits that count, or all before the point.
fn digits(value: f64) -> String {
    format!("{value:.*}", decimals(std::iter::once(value)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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

    /// Three published shapes as a device might run them that has a name to beware of.
    fn rows(has_timestamps: bool) -> Vec<Row> {
        let row = |name: &str| {
            let cost = canonical_row(name).unwrap().graph(0).unwrap().cost();
            let times = |ms: f64| Samples::new((0..20).map(|run| ms + 0.001 * f64::from(run)).collect()).unwrap();
            let step = |us: f64| StepTime { kernel: "conv", node: "cv<1>.conv".into(), us };
            Row {
                case: name.into(),
                batch: 1,
                device: ["<script>&\"GPU\"", "vulkan", "driver 'x'"].map(String::from),
                dispatches: 3,
                planned_bytes: 1,
                cost,
                compile_ms: 31.0,
                wall: times(4.321),
                gpu: has_timestamps.then(|| times(1.234)),
                floor: Some(peaks().floor_of_graph(&cost)),
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
        let (command, date) = ("spp bench --html 'a<b>.html'".into(), date(SystemTime::UNIX_EPOCH));
        Report { rows, peaks, compared, command, date }.html().unwrap()
    }

    /// Every tag is closed, in order, and every quote within a tag.
    fn assert_balanced(page: &str) {
        let mut open: Vec<&str> = Vec::new();
        let rest = page.strip_prefix("<!DOCTYPE html>").unwrap();
        for (at, _) in rest.match_indices('<') {
            let (tag, _) = rest[at + 1..].split_once('>').unwrap();
            assert!(!tag.contains('<') && tag.matches('"').count() % 2 == 0, "<{tag}>");
            match (tag.strip_prefix('/'), tag.ends_with('/')) {
                (Some(name), _) => assert_eq!(open.pop(), Some(name)),
                (None, true) => {}
                (None, false) => open.push(tag.split_whitespace().next().unwrap()),
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }

    #[test]
    fn a_page_is_sound_and_fetches_nothing() {
        for has_timestamps in [true, false] {
            let rows = rows(has_timestamps);
            let compared = [comparison(&rows[0], Verdict::Slower), comparison(&rows[1], Verdict::Noise)];
            for (peaks, compared) in [(None, &[][..]), (Some(&peaks()), &compared)] {
                let page = page(&rows, peaks, compared);
                assert_balanced(&page);
                for fetching in ["http", "src=", "<script", "@import", "url(", "<link"] {
                    assert!(!page.contains(fetching), "{fetching}");
                }
                assert!(page.contains("<h1>&lt;script&gt;&amp;&quot;GPU&quot;</h1>"));
                assert!(page.contains("<code>spp bench --html &#39;a&lt;b&gt;.html&#39;</code>"));
                assert!(page.contains("<td>4.33</td>"), "the median of wall times");
                assert_eq!(page.contains(">no timestamps</td>"), !has_timestamps);
                assert_eq!(page.contains("300 µs, 75 %"), has_timestamps);
                assert_eq!(page.contains("f32 58000 GFLOP/s"), peaks.is_some());
                assert_eq!(page.contains("<td class=\"slower\">+12.5</td>"), !compared.is_empty());
                assert!(page.contains("without a place here: pyramid_sppnet"));
            }
        }
        assert_balanced(&page(&[], None, &[]));
    }

    #[test]
    fn dates_know_leap_years() {
        let at = |seconds| date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01 00:00 UTC");
        assert_eq!(at(951_782_399), "2000-02-28 23:59 UTC");
        assert_eq!(at(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(at(1_735_689_599), "2024-12-31 23:59 UTC");
    }

    #[test]
    fn three_digits_count() {
        let shown = [0.0, 0.00123, 0.0671, 0.5, 12.34, 123.4, 58_000.0].map(digits);
        assert_eq!(shown, ["0", "0.0012", "0.0671", "0.500", "12.3", "123", "58000"]);
        assert_eq!(decimals([0.0, 250.0, 1.5].into_iter()), 2);
    }
}
