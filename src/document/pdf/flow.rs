//! A document as rows from top to bottom, not yet on pages, and the structure that a screen reader follows.

use std::num::NonZeroU16;

use krilla::tagging::{ListNumbering, Tag, TagKind};

use super::paragraph::{Paragraph, Typesetter};
use super::pieces::{CODE, Look, Piece};
use crate::document::structure::{Block, Document, Value};
use crate::document::words::{DRAWN_LINES, codes, lines, placeholder, sources};

/// The width of the text, in points: A4 without its margins.
pub(super) const WIDTH: f32 = 470.5;

const TITLE_SIZE: f32 = 17.0;
const HEADING_SIZE: f32 = 12.5;
const TEXT_SIZE: f32 = 10.0;
const SMALL_SIZE: f32 = 8.5;

const INDENT: f32 = 14.0;
const LABEL_WIDTH: f32 = 234.0;
const LABEL_GAP: f32 = 8.0;

/// The space between a placeholder and its box.
pub(super) const PLACEHOLDER_PADDING: f32 = 4.0;

/// The space above a heading, a block, the next field or item, and what is filled in by hand: a field, the line above
/// those at the end, and the signature.
const HEADING_SPACE: f32 = 10.0;
const BLOCK_SPACE: f32 = 5.0;
const ITEM_SPACE: f32 = 4.0;
const HAND_SPACE: f32 = 7.5;
const CLOSING_SPACE: f32 = 10.0;
const SIGNATURE_SPACE: f32 = 24.0;

/// The height of a line that is filled in by hand, if it is one of several: 8 mm.
const LINE_HEIGHT: f32 = 22.7;

/// Underscores that fill the column of values: a line to fill in by hand.
const UNDERSCORES: usize = 52;

/// Empty lines in a row that a quotation draws: more are only a way to fill pages.
const MAX_EMPTY_LINES: usize = 2;

/// What is drawn around rows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    /// Nothing.
    None,
    /// A box.
    Box,
    /// A line beside them.
    Bar,
    /// A line below each of them.
    Line,
}

/// A line of a paragraph in a row.
pub(super) struct Cell {
    /// Its distance from the left margin, in points.
    pub(super) x: f32,
    /// The paragraph in [`Flow::paragraphs`].
    pub(super) paragraph: usize,
    /// Which of its lines.
    pub(super) line: usize,
    /// The element in [`Flow::elements`] that it belongs to.
    pub(super) element: usize,
}

/// What is at one height of a page.
pub(super) struct Row {
    /// The space above it, which the top of a page does not have.
    pub(super) space: f32,
    /// Its height without that space.
    pub(super) height: f32,
    /// The lines in it.
    pub(super) cells: Vec<Cell>,
    /// What is drawn around it and its neighbours with the same frame.
    pub(super) frame: Frame,
    /// Whether the next row must be on the same page.
    pub(super) keep_with_next: bool,
}

/// An element of the structure. Those with lines of text have no children.
pub(super) struct Element {
    /// What it is.
    pub(super) tag: TagKind,
    /// The elements inside it, in reading order.
    pub(super) children: Vec<usize>,
}

/// A heading for the outline.
pub(super) struct Heading {
    /// Its text.
    pub(super) text: String,
    /// Its row in [`Flow::rows`].
    pub(super) row: usize,
}

/// A document as rows.
pub(super) struct Flow {
    pub(super) rows: Vec<Row>,
    pub(super) paragraphs: Vec<Paragraph>,
    /// The elements; the first contains all others.
    pub(super) elements: Vec<Element>,
    pub(super) headings: Vec<Heading>,
}

/// Lays out a document.
pub(super) fn flow(document: &Document, typesetter: &mut Typesetter) -> Flow {
    let root = Element { tag: Tag::Div.into(), children: Vec::new() };
    let flow = Flow { rows: Vec::new(), paragraphs: Vec::new(), elements: vec![root], headings: Vec::new() };
    let mut composer = Composer { document, typesetter, flow, has_codes: false, explained_codes: false };
    composer.heading(0, 1, &document.title);
    if !document.notice.is_empty() {
        composer.notice();
    }
    for section in &document.sections {
        let element = composer.element(0, Tag::Section);
        composer.heading(element, 2, &section.heading);
        for blocks in section.groups() {
            composer.blocks(element, blocks);
            composer.explain_codes(element);
        }
    }
    composer.closing();
    if !document.sources.is_empty() {
        let element = composer.element(0, Tag::Section);
        composer.heading(element, 2, sources(document.language));
        composer.sources(element);
    }
    composer.flow
}

fn regular(text: &str) -> Piece {
    (lines(text).join(" "), Look::Regular)
}

/// A line to fill in by hand.
fn blank() -> Piece {
    regular(&"_".repeat(UNDERSCORES))
}

struct Composer<'a> {
    document: &'a Document,
    typesetter: &'a mut Typesetter,
    flow: Flow,
    /// Whether anything in the blocks so far is a code.
    has_codes: bool,
    /// Whether the document says already what codes are.
    explained_codes: bool,
}

impl Composer<'_> {
    /// Adds an element to another one.
    fn element(&mut self, parent: usize, tag: impl Into<TagKind>) -> usize {
        let element = self.flow.elements.len();
        self.flow.elements.push(Element { tag: tag.into(), children: Vec::new() });
        self.flow.elements[parent].children.push(element);
        element
    }

    /// Lays out a paragraph: its cells, each with its height.
    fn cells(&mut self, element: usize, pieces: &[Piece], size: f32, x: f32, width: f32) -> Vec<(Cell, f32)> {
        let paragraph = self.flow.paragraphs.len();
        self.flow.paragraphs.push(self.typesetter.paragraph(pieces, size, width));
        self.has_codes |= self.flow.paragraphs[paragraph].has_codes;
        let lines = self.flow.paragraphs[paragraph].layout.lines().enumerate();
        lines.map(|(line, laid_out)| (Cell { x, paragraph, line, element }, laid_out.metrics().line_height)).collect()
    }

    /// Adds the rows of paragraphs that are beside each other.
    fn rows(&mut self, columns: Vec<Vec<(Cell, f32)>>, space: f32, frame: Frame) {
        let count = columns.iter().map(Vec::len).max().unwrap_or(0);
        let mut columns: Vec<_> = columns.into_iter().map(Vec::into_iter).collect();
        for row in 0..count {
            let (cells, heights): (Vec<Cell>, Vec<f32>) = columns.iter_mut().filter_map(Iterator::next).unzip();
            self.flow.rows.push(Row {
                space: if row == 0 { space } else { 0.0 },
                height: heights.into_iter().fold(0.0, f32::max),
                cells,
                frame,
                // Neither the first nor the last line of a paragraph is alone on a page.
                keep_with_next: count > 1 && (row == 0 || row == count - 2),
            });
        }
    }

    /// Keeps the last row on the page of what follows.
    fn keep_with_next(&mut self) {
        if let Some(row) = self.flow.rows.last_mut() {
            row.keep_with_next = true;
        }
    }

    fn heading(&mut self, parent: usize, level: u16, text: &str) {
        // PDF/UA forbids headings without a text.
        if text.trim().is_empty() {
            return;
        }
        let (pieces, size) = ([(regular(text).0, Look::Bold)], if level == 1 { TITLE_SIZE } else { HEADING_SIZE });
        let level = NonZeroU16::new(level).unwrap_or(NonZeroU16::MIN);
        let element = self.element(parent, Tag::Hn(level, Some(text.to_owned())));
        self.flow.headings.push(Heading { text: text.to_owned(), row: self.flow.rows.len() });
        let cells = self.cells(element, &pieces, size, 0.0, WIDTH);
        let first = self.flow.rows.len();
        self.rows(vec![cells], HEADING_SPACE, Frame::None);
        self.flow.rows[first..].iter_mut().for_each(|row| row.keep_with_next = true);
    }

    fn notice(&mut self) {
        let element = self.element(0, Tag::P);
        let pieces = [regular(&self.document.notice)];
        let cells = self.cells(element, &pieces, SMALL_SIZE, INDENT, WIDTH - 2.0 * INDENT);
        self.rows(vec![cells], BLOCK_SPACE, Frame::Box);
    }

    /// Adds one block, or fields that follow each other.
    fn blocks(&mut self, parent: usize, blocks: &[Block]) {
        match blocks.first() {
            Some(Block::Field { .. }) => {
                let list = self.element(parent, Tag::L(ListNumbering::None));
                for (number, block) in blocks.iter().enumerate() {
                    self.field(list, block, if number == 0 { BLOCK_SPACE } else { ITEM_SPACE });
                }
            }
            Some(Block::Paragraph(words)) => {
                let element = self.element(parent, Tag::P);
                let cells = self.cells(element, &[regular(words)], TEXT_SIZE, 0.0, WIDTH);
                self.rows(vec![cells], BLOCK_SPACE, Frame::None);
            }
            Some(Block::Quotation(words)) => self.quotation(parent, words),
            Some(Block::Lines) => self.lines_by_hand(),
            None => {}
        }
    }

    fn field(&mut self, list: usize, block: &Block, space: f32) {
        let Block::Field { label, value } = block else { return };
        let (value, space) = match value {
            Value::Text(words) => (regular(words), space),
            Value::Placeholder(what) => ((format!("[{}]", placeholder(self.document, what)), Look::Placeholder), space),
            Value::Blank => {
                self.keep_with_next();
                (blank(), HAND_SPACE)
            }
        };
        self.item(list, label, value, space);
    }

    /// Adds a label and what is beside it.
    fn item(&mut self, list: usize, label: &str, value: Piece, space: f32) {
        let item = self.element(list, Tag::LI);
        let (name, body) = (self.element(item, Tag::Lbl), self.element(item, Tag::LBody));
        let label = [(format!("{}:", regular(label).0), Look::Bold)];
        let label = self.cells(name, &label, TEXT_SIZE, 0.0, LABEL_WIDTH - LABEL_GAP);
        let padding = if value.1 == Look::Placeholder { PLACEHOLDER_PADDING } else { 0.0 };
        let width = WIDTH - LABEL_WIDTH - 2.0 * padding;
        let value = self.cells(body, &[value], TEXT_SIZE, LABEL_WIDTH + padding, width);
        self.rows(vec![label, value], space, Frame::None);
    }

    /// Adds the lines to fill in by hand at the end.
    fn closing(&mut self) {
        let Some(last) = self.document.closing.len().checked_sub(1) else { return };
        self.line(CLOSING_SPACE, 0.5);
        let list = self.element(0, Tag::L(ListNumbering::None));
        for (number, label) in self.document.closing.iter().enumerate() {
            let space = if number == last { SIGNATURE_SPACE } else { HAND_SPACE };
            // A signature that is alone on a page could belong to any text.
            self.keep_with_next();
            self.item(list, label, blank(), space);
        }
    }

    /// Says what codes are, below the first block that has one.
    fn explain_codes(&mut self, parent: usize) {
        if !self.has_codes || self.explained_codes {
            return;
        }
        self.explained_codes = true;
        self.keep_with_next();
        let element = self.element(parent, Tag::P);
        let cells = self.cells(element, &[regular(codes(self.document.language))], SMALL_SIZE, 0.0, WIDTH);
        self.rows(vec![cells], ITEM_SPACE, Frame::None);
    }

    /// Adds lines without content: a screen reader passes over them.
    fn lines_by_hand(&mut self) {
        (0..DRAWN_LINES).for_each(|_| self.line(0.0, LINE_HEIGHT));
    }

    fn line(&mut self, space: f32, height: f32) {
        self.keep_with_next();
        self.flow.rows.push(Row { space, height, cells: Vec::new(), frame: Frame::Line, keep_with_next: false });
    }

    fn sources(&mut self, parent: usize) {
        let list = self.element(parent, Tag::L(ListNumbering::Disc));
        for (number, source) in self.document.sources.iter().enumerate() {
            let item = self.element(list, Tag::LI);
            let (bullet, body) = (self.element(item, Tag::Lbl), self.element(item, Tag::LBody));
            let bullet = self.cells(bullet, &[regular("•")], SMALL_SIZE, 2.0, INDENT);
            self.keep_with_next();
            let body = self.cells(body, &[regular(source)], SMALL_SIZE, INDENT, WIDTH - INDENT);
            self.rows(vec![bullet, body], if number == 0 { BLOCK_SPACE } else { ITEM_SPACE }, Frame::None);
        }
    }

    /// A person's own words line by line. A paragraph for a screen reader ends at an empty line.
    fn quotation(&mut self, parent: usize, words: &str) {
        let quotation = self.element(parent, Tag::BlockQuote);
        let lines = lines(words);
        let mut space = BLOCK_SPACE;
        for paragraph in lines.chunk_by(|one, next| one.trim().is_empty() == next.trim().is_empty()) {
            let element = self.element(quotation, Tag::P);
            let is_empty = paragraph[0].trim().is_empty();
            let kept = if is_empty { paragraph.len().min(MAX_EMPTY_LINES) } else { paragraph.len() };
            // As what no font can draw: nothing is left out without a trace.
            let omitted = (paragraph.len() > kept).then(|| format!("{CODE}000A ×{}]", paragraph.len() - kept));
            self.has_codes |= omitted.is_some();
            for line in paragraph[..kept].iter().chain(&omitted) {
                let cells = self.cells(element, &[(line.clone(), Look::Regular)], TEXT_SIZE, INDENT, WIDTH - INDENT);
                self.rows(vec![cells], space, Frame::Bar);
                space = 0.0;
            }
        }
    }
}
