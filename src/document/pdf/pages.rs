//! Distributes rows over pages.

use std::ops::Range;

use super::flow::{Frame, Row};

/// A4, in points.
pub(super) const PAGE_WIDTH: f32 = 595.28;
/// A4, in points.
pub(super) const PAGE_HEIGHT: f32 = 841.89;
/// At the left and the right: 22 mm, in points.
pub(super) const MARGIN: f32 = 62.36;
/// Above and below the text: 15 mm, in points.
pub(super) const VERTICAL_MARGIN: f32 = 42.52;

/// The space between a box and the rows in it.
pub(super) const PADDING: f32 = 7.0;

const BOTTOM: f32 = PAGE_HEIGHT - VERTICAL_MARGIN;

/// The rows of each page.
pub(super) fn pages(rows: &[Row]) -> Vec<Range<usize>> {
    let mut pages = Vec::new();
    let (mut start, mut y) = (0, VERTICAL_MARGIN);
    for (number, row) in rows.iter().enumerate() {
        y += row.height + if number == start { 0.0 } else { space(rows, number) };
        if y > BOTTOM && number > start {
            let mut end = number;
            while end > start + 1 && rows[end - 1].keep_with_next {
                end -= 1;
            }
            // Rows that must all be kept together and fill more than a page.
            if rows[end - 1].keep_with_next {
                end = number;
            }
            pages.push(start..end);
            start = end;
            let spaces: f32 = (start + 1..=number).map(|moved| space(rows, moved)).sum();
            y = VERTICAL_MARGIN + spaces + rows[start..=number].iter().map(|row| row.height).sum::<f32>();
        }
    }
    pages.push(start..rows.len());
    pages
}

/// The space above a row that is not the first of its page.
pub(super) fn space(rows: &[Row], number: usize) -> f32 {
    let padding = |frame: Frame| if frame == Frame::Box { PADDING } else { 0.0 };
    let (above, row) = (rows[number - 1].frame, &rows[number]);
    if above == row.frame { row.space } else { row.space + padding(above) + padding(row.frame) }
}
