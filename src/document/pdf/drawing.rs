//! Draws the pages.

use std::ops::Range;

use krilla::Document as File;
use krilla::color::rgb;
use krilla::geom::{PathBuilder, Point, Rect};
use krilla::num::NormalizedF32;
use krilla::page::PageSettings;
use krilla::paint::{Fill, Stroke, StrokeDash};
use krilla::surface::Surface;
use krilla::tagging::{Artifact, ArtifactType, ContentTag, Identifier, SpanTag};
use krilla::text::{GlyphId, KrillaGlyph};

use super::flow::{Flow, Frame, PLACEHOLDER_PADDING, Row, WIDTH};
use super::fonts::Fonts;
use super::pages::{MARGIN, PADDING, PAGE_HEIGHT, PAGE_WIDTH, VERTICAL_MARGIN, space};
use super::paragraph::{Paragraph, Typesetter};
use super::pieces::Look;
use crate::document::words::lines;

type Line<'a> = parley::layout::Line<'a, Look>;
type Run<'a> = parley::layout::Run<'a, Look>;

/// The size of the letters in the footer, in points.
const FOOTER_SIZE: f32 = 8.0;

/// The width of the title in the footer, in points: the page number is beside it.
const TITLE_WIDTH: f32 = WIDTH - 60.0;

/// What the file needs to know of what was drawn.
pub(super) struct Drawn {
    /// The pieces of content of each element.
    pub(super) contents: Vec<Vec<Identifier>>,
    /// The page and the height of each row.
    pub(super) places: Vec<(usize, f32)>,
}

/// Draws all pages into the file, each with the title and its number below the text, so that a page that is lost tells where it
/// belongs.
pub(super) fn draw(
    file: &mut File,
    title: &str,
    flow: &Flow,
    pages: &[Range<usize>],
    typesetter: &mut Typesetter,
) -> Drawn {
    let title = typesetter.paragraph(&[(lines(title).join(" "), Look::Regular)], FOOTER_SIZE, TITLE_WIDTH);
    let mut drawn = Drawn { contents: flow.elements.iter().map(|_| Vec::new()).collect(), places: Vec::new() };
    for (number, rows) in pages.iter().enumerate() {
        let Some(settings) = PageSettings::from_wh(PAGE_WIDTH, PAGE_HEIGHT) else { continue };
        let mut page = file.start_page_with(settings);
        let mut surface = page.surface();
        let mut tops = Vec::new();
        let mut y = VERTICAL_MARGIN;
        for row in rows.clone() {
            y += if row == rows.start { 0.0 } else { space(&flow.rows, row) };
            tops.push(y);
            drawn.places.push((number, y));
            y += flow.rows[row].height;
        }
        let rows = &flow.rows[rows.clone()];
        draw_frames(&mut surface, rows, &tops);
        for (row, top) in rows.iter().zip(&tops) {
            for cell in &row.cells {
                let paragraph = &flow.paragraphs[cell.paragraph];
                let Some(line) = paragraph.layout.get(cell.line) else { continue };
                draw_placeholders(&mut surface, &line, MARGIN + cell.x, *top);
                let content = surface.start_tagged(ContentTag::Span(SpanTag::empty()));
                draw_line(&mut surface, paragraph, &line, &typesetter.fonts, MARGIN + cell.x, *top);
                surface.end_tagged();
                drawn.contents[cell.element].push(content);
            }
        }
        let number = (format!("{} / {}", number + 1, pages.len()), Look::Regular);
        let number = typesetter.paragraph(&[number], FOOTER_SIZE, WIDTH);
        draw_footer(&mut surface, &title, &typesetter.fonts, MARGIN, ArtifactType::Footer);
        let right = MARGIN + WIDTH - number.layout.width();
        draw_footer(&mut surface, &number, &typesetter.fonts, right, ArtifactType::PageNumber);
        surface.finish();
        page.finish();
    }
    drawn
}

/// Draws the first line of a paragraph below the text of a page, as no content: a screen reader passes over it.
fn draw_footer(surface: &mut Surface<'_>, paragraph: &Paragraph, fonts: &Fonts, x: f32, kind: ArtifactType) {
    surface.start_tagged(ContentTag::Artifact(Artifact::with_kind(kind)));
    if let Some(line) = paragraph.layout.get(0) {
        draw_line(surface, paragraph, &line, fonts, x, PAGE_HEIGHT - VERTICAL_MARGIN / 1.5);
    }
    surface.end_tagged();
}

/// Draws a box or a bar for neighbouring rows with the same frame.
fn draw_frames(surface: &mut Surface<'_>, rows: &[Row], tops: &[f32]) {
    let mut start = 0;
    for framed in rows.chunk_by(|one, next| one.frame == next.frame) {
        let end = start + framed.len() - 1;
        let (top, bottom) = (tops[start], tops[end] + rows[end].height);
        match rows[start].frame {
            Frame::None => {}
            Frame::Box => {
                let rect = Rect::from_ltrb(MARGIN, top - PADDING, MARGIN + WIDTH, bottom + PADDING);
                draw_rect(surface, rect, rgb::Color::new(246, 246, 246), Some(&[]));
            }
            Frame::Bar => draw_rect(
                surface,
                Rect::from_ltrb(MARGIN, top, MARGIN + 2.5, bottom),
                rgb::Color::new(110, 110, 110),
                None,
            ),
            Frame::Line => {
                for (row, top) in rows[start..=end].iter().zip(&tops[start..]) {
                    let y = top + row.height;
                    let rect = Rect::from_ltrb(MARGIN, y - 0.5, MARGIN + WIDTH, y);
                    draw_rect(surface, rect, rgb::Color::new(60, 60, 60), None);
                }
            }
        }
        start = end + 1;
    }
}

/// Draws the boxes of the placeholders in a line.
fn draw_placeholders(surface: &mut Surface<'_>, line: &Line<'_>, left: f32, top: f32) {
    let (height, mut x) = (line.metrics().line_height, left + start_of(line));
    let mut begin = None;
    for run in line.runs() {
        for cluster in run.visual_clusters() {
            match (cluster.style().brush, begin) {
                (Look::Placeholder, None) => begin = Some(x),
                (Look::Placeholder, Some(_)) | (_, None) => {}
                (_, Some(from)) => {
                    draw_placeholder(surface, from, x, top, height);
                    begin = None;
                }
            }
            x += cluster.advance();
        }
    }
    if let Some(from) = begin {
        draw_placeholder(surface, from, x, top, height);
    }
}

fn draw_placeholder(surface: &mut Surface<'_>, from: f32, to: f32, top: f32, height: f32) {
    let rect = Rect::from_ltrb(from - PLACEHOLDER_PADDING, top + 0.5, to + PLACEHOLDER_PADDING, top + height - 0.5);
    draw_rect(surface, rect, rgb::Color::new(255, 243, 196), Some(&[2.0, 1.5]));
}

/// Draws a rectangle that is no content: a screen reader passes over it. A border consists of dashes of these lengths, or is a
/// line if there are none.
fn draw_rect(surface: &mut Surface<'_>, rect: Option<Rect>, color: rgb::Color, border: Option<&[f32]>) {
    let Some(rect) = rect else { return };
    let mut path = PathBuilder::new();
    path.push_rect(rect);
    let Some(path) = path.finish() else { return };
    surface.start_tagged(ContentTag::Artifact(Artifact::with_kind(ArtifactType::Layout)));
    surface.set_fill(Some(Fill { paint: color.into(), ..Fill::default() }));
    surface.set_stroke(border.map(|dashes| Stroke {
        paint: rgb::Color::new(60, 60, 60).into(),
        width: 0.7,
        dash: (!dashes.is_empty()).then(|| StrokeDash { array: dashes.to_vec(), offset: 0.0 }),
        ..Stroke::default()
    }));
    surface.draw_path(&path);
    surface.set_stroke(None);
    surface.end_tagged();
}

/// Where a line begins: lines from right to left begin at the right.
fn start_of(line: &Line<'_>) -> f32 {
    line.metrics().inline_min_coord + line.metrics().offset
}

fn draw_line(surface: &mut Surface<'_>, paragraph: &Paragraph, line: &Line<'_>, fonts: &Fonts, left: f32, top: f32) {
    let black = Fill { paint: rgb::Color::black().into(), opacity: NormalizedF32::ONE, ..Fill::default() };
    surface.set_fill(Some(black));
    let y = top + line.metrics().baseline - line.metrics().block_min_coord;
    let mut x = left + start_of(line);
    for run in line.runs() {
        let glyphs = glyphs_of(&run);
        if let (Some(font), false) = (fonts.embedded(run.font()), glyphs.is_empty()) {
            surface.draw_glyphs(Point::from_xy(x, y), &glyphs, font.clone(), &paragraph.text, run.font_size(), false);
        }
        x += run.advance();
    }
}

/// The letters of a run from left to right, each with the text that it stands for.
fn glyphs_of(run: &Run<'_>) -> Vec<KrillaGlyph> {
    let size = run.font_size();
    let mut glyphs: Vec<KrillaGlyph> = Vec::new();
    // The first letter of the ligature that is being read, and the end of its text where that is read first.
    let (mut ligature, mut end) = (0, 0);
    for cluster in run.visual_clusters() {
        let range = cluster.text_range();
        end = end.max(range.end);
        if cluster.is_ligature_continuation() {
            if !run.is_rtl() {
                glyphs[ligature..].iter_mut().for_each(|glyph| glyph.text_range.end = range.end);
            }
            continue;
        }
        ligature = glyphs.len();
        let text_range = range.start..if run.is_rtl() { end } else { range.end };
        glyphs.extend(cluster.glyphs().map(|glyph| {
            // In the layout y grows downwards, in the file upwards.
            let (x, y) = (glyph.x / size, -glyph.y / size);
            KrillaGlyph::new(GlyphId::new(glyph.id), glyph.advance / size, x, y, 0.0, text_range.clone(), None)
        }));
        end = 0;
    }
    glyphs
}
