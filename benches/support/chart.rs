//! Draws charts of values over the number of clients, or over time, as SVG, readable on light and dark pages.

use std::fmt::{self, Write};

/// Diagrams that share an axis, and the styles of their lines.
pub(crate) struct Chart<'a> {
    pub(crate) title: &'a str,
    /// For readers who do not see the picture.
    pub(crate) description: &'a str,
    pub(crate) styles: &'a [Style],
    pub(crate) axis: Axis,
    pub(crate) panels: &'a [Panel],
}

/// What the values are drawn over.
pub(crate) enum Axis {
    /// Numbers of clients, all at the same distance.
    Clients,
    /// Minutes to scale, from zero to the end.
    Minutes { end: f64, marks: Vec<Mark> },
}

/// A moment at which something happened.
pub(crate) struct Mark {
    pub(crate) minute: f64,
    /// The name of its style.
    pub(crate) name: &'static str,
}

/// The lines of one diagram.
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) scale: Scale,
    pub(crate) lines: Vec<Line>,
}

#[derive(Clone, Copy)]
pub(crate) enum Scale {
    /// From zero.
    Linear,
    /// Between powers of ten.
    Logarithmic,
}

pub(crate) struct Line {
    pub(crate) name: String,
    /// Pairs of clients, or minute, and value. A value that is no number interrupts the line.
    pub(crate) points: Vec<(f64, f64)>,
}

/// How a line is drawn: colours on a light and on a dark page, dashes. Lines differ in more than colour.
pub(crate) struct Style {
    pub(crate) name: &'static str,
    pub(crate) light: &'static str,
    pub(crate) dark: &'static str,
    pub(crate) dashes: &'static str,
    pub(crate) width: f64,
}

impl Style {
    fn class(&self) -> String {
        self.name.replace(' ', "-")
    }
}

/// Sizes in pixels: of a diagram's area, of the space around it, of the space for the legend above all.
const AREA: [f64; 2] = [380.0, 220.0];
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const ABOVE: f64 = 34.0;
const BELOW: f64 = 44.0;
const LEGEND: f64 = 40.0;

const COLUMNS: usize = 2;

/// Draws the panels in rows of two.
pub(crate) fn draw(chart: &Chart<'_>) -> Result<String, fmt::Error> {
    let panels = chart.panels;
    let [cell_width, cell_height] = [LEFT + AREA[0] + RIGHT, ABOVE + AREA[1] + BELOW];
    let width = COLUMNS as f64 * cell_width;
    let height = LEGEND + panels.len().div_ceil(COLUMNS) as f64 * cell_height;
    let mut svg = String::new();
    // With spaces between them, these numbers have the form of a telephone number, which no file may have.
    writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0,0,{width},{height}\" role=\"img\" aria-labelledby=\"title description\">"
    )?;
    let [title, description] =
        [chart.title, chart.description].map(|text| text.replace('&', "&amp;").replace('<', "&lt;"));
    writeln!(svg, "<title id=\"title\">{title}</title>\n<desc id=\"description\">{description}</desc>")?;
    write_style(&mut svg, chart.styles)?;
    writeln!(svg, "<rect class=\"page\" width=\"{width}\" height=\"{height}\"/>")?;
    write_legend(&mut svg, chart)?;
    for (index, panel) in panels.iter().enumerate() {
        let (column, row) = ((index % COLUMNS) as f64, (index / COLUMNS) as f64);
        let (x, y) = (column * cell_width + LEFT, LEGEND + row * cell_height + ABOVE);
        writeln!(svg, "<g transform=\"translate({x} {y})\">")?;
        write_panel(&mut svg, chart, panel)?;
        writeln!(svg, "</g>")?;
    }
    writeln!(svg, "</svg>")?;
    Ok(svg)
}

fn write_style(svg: &mut String, styles: &[Style]) -> fmt::Result {
    let colours = |svg: &mut String, [page, text, grid]: [&str; 3], colour: fn(&Style) -> &str| {
        write!(svg, ".page {{ fill: {page} }} text {{ fill: {text} }} .grid {{ stroke: {grid} }}")?;
        styles.iter().try_for_each(|style| write!(svg, " .{} {{ stroke: {} }}", style.class(), colour(style)))
    };
    writeln!(svg, "<style>\ntext {{ font: 13px system-ui, sans-serif }} .title {{ font-weight: 600 }}")?;
    writeln!(svg, ".line {{ fill: none; stroke-linejoin: round }}")?;
    for style in styles {
        writeln!(svg, ".{} {{ stroke-width: {}; stroke-dasharray: {} }}", style.class(), style.width, style.dashes)?;
    }
    colours(svg, ["#ffffff", "#1f2328", "#d8dee4"], |style| style.light)?;
    write!(svg, "\n@media (prefers-color-scheme: dark) {{ ")?;
    colours(svg, ["#0d1117", "#e6edf3", "#30363d"], |style| style.dark)?;
    writeln!(svg, " }}\n</style>")
}

fn write_legend(svg: &mut String, chart: &Chart<'_>) -> fmt::Result {
    let lines = chart.panels.iter().flat_map(|panel| &panel.lines).map(|line| line.name.as_str());
    let drawn: Vec<&str> = lines.chain(chart.axis.marks().iter().map(|mark| mark.name)).collect();
    for (index, style) in chart.styles.iter().filter(|style| drawn.contains(&style.name)).enumerate() {
        let x = LEFT + 150.0 * index as f64;
        writeln!(svg, "<path class=\"line {}\" d=\"M{x} 24h36\"/>", style.class())?;
        writeln!(svg, "<text x=\"{}\" y=\"28\">{}</text>", x + 44.0, style.name)?;
    }
    Ok(())
}

impl Axis {
    fn marks(&self) -> &[Mark] {
        match self {
            Axis::Clients => &[],
            Axis::Minutes { marks, .. } => marks,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Axis::Clients => "clients",
            Axis::Minutes { .. } => "minutes",
        }
    }

    /// The values at which it has a label, in order.
    fn labels(&self, panel: &Panel) -> Vec<f64> {
        match self {
            Axis::Clients => {
                let points = panel.lines.iter().flat_map(|line| &line.points);
                let mut clients: Vec<f64> = points.map(|&(clients, _)| clients).collect();
                clients.sort_by(f64::total_cmp);
                clients.dedup();
                clients
            }
            Axis::Minutes { end, .. } => {
                ticks(Scale::Linear, 0.0, *end).into_iter().filter(|tick| tick <= end).collect()
            }
        }
    }

    /// The place of a value, from 0 to 1.
    fn place(&self, labels: &[f64], value: f64) -> f64 {
        match self {
            Axis::Clients => {
                let index = labels.iter().position(|label| *label == value).unwrap_or_default();
                index as f64 / labels.len().saturating_sub(1).max(1) as f64
            }
            Axis::Minutes { end, .. } => value / end,
        }
    }
}

fn write_panel(svg: &mut String, chart: &Chart<'_>, panel: &Panel) -> fmt::Result {
    let [width, height] = AREA;
    writeln!(svg, "<text class=\"title\" x=\"0\" y=\"-14\">{}</text>", panel.title)?;
    // `min` and `max` pass over what is no number.
    let values = || panel.lines.iter().flat_map(|line| &line.points).map(|&(_, value)| value);
    let (min, max) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    let ticks = ticks(panel.scale, min, max);
    let (Some(&bottom), Some(&top)) = (ticks.first(), ticks.last()) else { return Ok(()) };
    let y = |value: f64| match panel.scale {
        Scale::Linear => height * (1.0 - (value - bottom) / (top - bottom)),
        Scale::Logarithmic => height * (1.0 - (value / bottom).ln() / (top / bottom).ln()),
    };
    for &tick in &ticks {
        let at = y(tick);
        writeln!(svg, "<path class=\"grid\" d=\"M0 {at:.1}H{width}\"/>")?;
        writeln!(svg, "<text x=\"-8\" y=\"{:.1}\" text-anchor=\"end\">{}</text>", at + 4.0, label(tick))?;
    }
    let labels = chart.axis.labels(panel);
    let x = |value: f64| width * chart.axis.place(&labels, value);
    for &value in &labels {
        writeln!(svg, "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{value}</text>", x(value), height + 18.0)?;
    }
    let name = chart.axis.name();
    writeln!(svg, "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{name}</text>", width / 2.0, height + 36.0)?;
    // The first style is drawn last, above the others.
    for style in chart.styles.iter().rev() {
        for mark in chart.axis.marks().iter().filter(|mark| mark.name == style.name) {
            writeln!(svg, "<path class=\"line {}\" d=\"M{:.1} 0V{height}\"/>", style.class(), x(mark.minute))?;
        }
        for line in panel.lines.iter().filter(|line| line.name == style.name) {
            for points in line.points.split(|(_, value)| value.is_nan()).filter(|points| !points.is_empty()) {
                let points = points.iter().map(|&(at, value)| format!("{:.1} {:.1}", x(at), y(value)));
                let path = points.collect::<Vec<_>>().join("L");
                writeln!(svg, "<path class=\"line {}\" d=\"M{path}\"/>", style.class())?;
            }
        }
    }
    Ok(())
}

/// Round values that enclose all values: at most six on a linear scale, powers of ten on a logarithmic one.
fn ticks(scale: Scale, min: f64, max: f64) -> Vec<f64> {
    match scale {
        Scale::Linear => {
            // Lines of zeros alone have a scale too.
            let max = if max > 0.0 { max } else { 1.0 };
            let power = 10f64.powf((max / 5.0).log10().floor());
            let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
            let step = steps.into_iter().find(|step| step * 5.0 >= max).unwrap_or(max);
            (0..=(max / step).ceil() as usize).map(|index| index as f64 * step).collect()
        }
        Scale::Logarithmic => {
            let (first, last) = (min.log10().floor() as i32, max.log10().ceil() as i32);
            (first..=last.max(first + 1)).map(|power| 10f64.powi(power)).collect()
        }
    }
}

/// A value with a comma between thousands.
pub(crate) fn label(value: f64) -> String {
    if value < 10.0 {
        return ((value * 1000.0).round() / 1000.0).to_string();
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
