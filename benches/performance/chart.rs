//! Draws charts of values over the number of clients as SVG, readable on light and dark pages.

use std::fmt::{self, Write};

/// The lines of one diagram.
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) scale: Scale,
    pub(crate) lines: Vec<Line>,
}

pub(crate) enum Scale {
    /// From zero.
    Linear,
    /// Between powers of ten.
    Logarithmic,
}

pub(crate) struct Line {
    pub(crate) name: String,
    /// Pairs of clients and value.
    pub(crate) points: Vec<(usize, f64)>,
}

/// How a line is drawn: colours on a light and on a dark page, dashes. Lines differ in more than colour.
struct Style {
    name: &'static str,
    light: &'static str,
    dark: &'static str,
    dashes: &'static str,
    width: f64,
}

const STYLES: [Style; 5] = [
    Style { name: "SafeSpace", light: "#0550ae", dark: "#79c0ff", dashes: "none", width: 3.0 },
    Style { name: "axum", light: "#bc4c00", dark: "#ffa657", dashes: "8 4", width: 2.0 },
    Style { name: "FastAPI", light: "#116329", dark: "#7ee787", dashes: "2 4", width: 2.0 },
    Style { name: "limit", light: "#6e7781", dark: "#8b949e", dashes: "none", width: 1.2 },
    Style { name: "pgbench", light: "#8250df", dark: "#d2a8ff", dashes: "10 3 2 3", width: 1.2 },
];

/// Sizes in pixels: of a diagram's area, of the space around it, of the space for the legend above all.
const AREA: [f64; 2] = [380.0, 220.0];
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const ABOVE: f64 = 34.0;
const BELOW: f64 = 44.0;
const LEGEND: f64 = 40.0;

const COLUMNS: usize = 2;

/// Draws the panels in rows of two. `description` is for readers who do not see the picture.
pub(crate) fn draw(title: &str, description: &str, panels: &[Panel]) -> Result<String, fmt::Error> {
    let [cell_width, cell_height] = [LEFT + AREA[0] + RIGHT, ABOVE + AREA[1] + BELOW];
    let width = COLUMNS as f64 * cell_width;
    let height = LEGEND + panels.len().div_ceil(COLUMNS) as f64 * cell_height;
    let mut svg = String::new();
    // With spaces between them, these numbers have the form of a telephone number, which no file may have.
    writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0,0,{width},{height}\" role=\"img\" aria-labelledby=\"title description\">"
    )?;
    let [title, description] = [title, description].map(|text| text.replace('&', "&amp;").replace('<', "&lt;"));
    writeln!(svg, "<title id=\"title\">{title}</title>\n<desc id=\"description\">{description}</desc>")?;
    write_style(&mut svg)?;
    writeln!(svg, "<rect class=\"page\" width=\"{width}\" height=\"{height}\"/>")?;
    write_legend(&mut svg, panels)?;
    for (index, panel) in panels.iter().enumerate() {
        let (column, row) = ((index % COLUMNS) as f64, (index / COLUMNS) as f64);
        let (x, y) = (column * cell_width + LEFT, LEGEND + row * cell_height + ABOVE);
        writeln!(svg, "<g transform=\"translate({x} {y})\">")?;
        write_panel(&mut svg, panel)?;
        writeln!(svg, "</g>")?;
    }
    writeln!(svg, "</svg>")?;
    Ok(svg)
}

fn write_style(svg: &mut String) -> fmt::Result {
    let colours = |svg: &mut String, [page, text, grid]: [&str; 3], colour: fn(&Style) -> &str| {
        write!(svg, ".page {{ fill: {page} }} text {{ fill: {text} }} .grid {{ stroke: {grid} }}")?;
        STYLES.iter().try_for_each(|style| write!(svg, " .{} {{ stroke: {} }}", style.name, colour(style)))
    };
    writeln!(svg, "<style>\ntext {{ font: 13px system-ui, sans-serif }} .title {{ font-weight: 600 }}")?;
    writeln!(svg, ".line {{ fill: none; stroke-linejoin: round }}")?;
    for style in &STYLES {
        writeln!(svg, ".{} {{ stroke-width: {}; stroke-dasharray: {} }}", style.name, style.width, style.dashes)?;
    }
    colours(svg, ["#ffffff", "#1f2328", "#d8dee4"], |style| style.light)?;
    write!(svg, "\n@media (prefers-color-scheme: dark) {{ ")?;
    colours(svg, ["#0d1117", "#e6edf3", "#30363d"], |style| style.dark)?;
    writeln!(svg, " }}\n</style>")
}

fn write_legend(svg: &mut String, panels: &[Panel]) -> fmt::Result {
    let is_drawn = |style: &&Style| panels.iter().flat_map(|panel| &panel.lines).any(|line| line.name == style.name);
    for (index, style) in STYLES.iter().filter(is_drawn).enumerate() {
        let x = LEFT + 150.0 * index as f64;
        writeln!(svg, "<path class=\"line {}\" d=\"M{x} 24h36\"/>", style.name)?;
        writeln!(svg, "<text x=\"{}\" y=\"28\">{}</text>", x + 44.0, style.name)?;
    }
    Ok(())
}

fn write_panel(svg: &mut String, panel: &Panel) -> fmt::Result {
    let [width, height] = AREA;
    writeln!(svg, "<text class=\"title\" x=\"0\" y=\"-14\">{}</text>", panel.title)?;
    let values = || panel.lines.iter().flat_map(|line| &line.points).map(|&(_, value)| value);
    let (min, max) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    let ticks = ticks(&panel.scale, min, max);
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
    let mut clients: Vec<usize> =
        panel.lines.iter().flat_map(|line| &line.points).map(|&(clients, _)| clients).collect();
    clients.sort_unstable();
    clients.dedup();
    let x = |of: usize| {
        let index = clients.iter().position(|&clients| clients == of).unwrap_or_default();
        width * index as f64 / clients.len().saturating_sub(1).max(1) as f64
    };
    for &clients in &clients {
        writeln!(svg, "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{clients}</text>", x(clients), height + 18.0)?;
    }
    writeln!(svg, "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">clients</text>", width / 2.0, height + 36.0)?;
    // The first style is drawn last, above the others.
    for style in STYLES.iter().rev() {
        for line in panel.lines.iter().filter(|line| line.name == style.name) {
            let points = line.points.iter().map(|&(clients, value)| format!("{:.1} {:.1}", x(clients), y(value)));
            let path = points.collect::<Vec<_>>().join("L");
            writeln!(svg, "<path class=\"line {}\" d=\"M{path}\"/>", style.name)?;
        }
    }
    Ok(())
}

/// Round values that enclose all values: at most six on a linear scale, powers of ten on a logarithmic one.
fn ticks(scale: &Scale, min: f64, max: f64) -> Vec<f64> {
    match scale {
        Scale::Linear => {
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
        return format!("{value}");
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
