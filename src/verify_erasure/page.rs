//! A page of a table or an index of PostgreSQL, and what of it a byte belongs to (PostgreSQL manual, section "Database Page Layout").

/// Bytes of a page, unless PostgreSQL was compiled with another size.
pub(super) const PAGE_BYTES: usize = 8192;

/// Bytes of the page's header, behind which the line pointers follow.
const HEADER_BYTES: usize = 24;
const LINE_POINTER_BYTES: usize = 4;

// Flags of a line pointer: its item is used, or may be removed. Other items have no bytes.
const LP_NORMAL: u32 = 1;
const LP_DEAD: u32 = 3;

// Bits of `t_infomask`.
const XMAX_LOCK_ONLY: u16 = 0x0080;
const XMIN_COMMITTED: u16 = 0x0100;
const XMIN_INVALID: u16 = 0x0200;
const XMAX_COMMITTED: u16 = 0x0400;
const XMAX_INVALID: u16 = 0x0800;
const XMAX_IS_MULTI: u16 = 0x1000;

/// What of a page a byte belongs to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A row of a table.
    Row(RowHeader),
    /// An entry of an index.
    IndexEntry,
    /// No row or entry: the room between line pointers and items, or an item that was removed.
    FreeSpace,
    /// It is no page, or the byte is in its header or in what an index keeps at its end.
    Other,
}

/// The transactions that inserted and deleted a row.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RowHeader {
    inserted_by: u32,
    deleted_by: u32,
    mask: u16,
}

impl RowHeader {
    /// Whether statements see it, given which transactions committed.
    pub(super) fn is_visible(&self, is_committed: impl Fn(u32) -> bool) -> bool {
        let is_inserted = match self.mask & (XMIN_COMMITTED | XMIN_INVALID) {
            0 => is_committed(self.inserted_by),
            // Both together: it was frozen.
            XMIN_INVALID => false,
            _ => true,
        };
        let is_deleted = if self.deleted_by == 0 || self.mask & (XMAX_INVALID | XMAX_LOCK_ONLY) != 0 {
            false
        } else if self.mask & XMAX_COMMITTED != 0 {
            true
        } else {
            // Which of several transactions deleted it would be in pg_multixact: then it counts as visible.
            self.mask & XMAX_IS_MULTI == 0 && is_committed(self.deleted_by)
        };
        is_inserted && !is_deleted
    }
}

/// What of a page the byte at `at` belongs to.
pub(super) fn part(page: &[u8], at: usize) -> Part {
    let Some(page) = page.first_chunk::<PAGE_BYTES>() else { return Part::Other };
    let field = |offset: usize| usize::from(u16::from_le_bytes([page[offset], page[offset + 1]]));
    // The size of the page is in the same field as the version of its layout.
    let (lower, upper, special, size) = (field(12), field(14), field(16), field(18) & 0xff00);
    let is_page =
        size == PAGE_BYTES && HEADER_BYTES <= lower && lower <= upper && upper <= special && special <= PAGE_BYTES;
    if !is_page || at < HEADER_BYTES || at >= special {
        return Part::Other;
    }
    let pointers = page[HEADER_BYTES..lower].chunks_exact(LINE_POINTER_BYTES);
    let pointers = pointers.map(|pointer| u32::from_le_bytes([pointer[0], pointer[1], pointer[2], pointer[3]]));
    for pointer in pointers {
        let (start, flags, length) = (pointer & 0x7fff, pointer >> 15 & 3, pointer >> 17);
        let (start, length) = (start as usize, length as usize);
        if ![LP_NORMAL, LP_DEAD].contains(&flags) || !(start..start + length).contains(&at) {
            continue;
        }
        // Only indexes keep something at the end of a page.
        let item = page.get(start..start + length).unwrap_or_default();
        return if special < PAGE_BYTES { Part::IndexEntry } else { row_header(item).map_or(Part::Other, Part::Row) };
    }
    if at < lower { Part::Other } else { Part::FreeSpace }
}

fn row_header(item: &[u8]) -> Option<RowHeader> {
    let number = |offset: usize| item.get(offset..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    let mask = item.get(20..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))?;
    Some(RowHeader { inserted_by: number(0)?, deleted_by: number(4)?, mask })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page with two items of 100 bytes at its end, the second of which was removed.
    fn page(special: u16) -> Vec<u8> {
        let mut page = vec![0; PAGE_BYTES];
        let upper = special - 200;
        for (offset, value) in [(12, 32), (14, upper), (16, special), (18, 0x2004)] {
            page[offset..offset + 2].copy_from_slice(&value.to_le_bytes());
        }
        let pointer = u32::from(special - 100) | LP_NORMAL << 15 | 100 << 17;
        page[24..28].copy_from_slice(&pointer.to_le_bytes());
        page
    }

    #[test]
    fn a_byte_belongs_to_a_row_an_entry_or_free_space() {
        let heap = page(8192);
        assert!(matches!(part(&heap, 8150), Part::Row(_)));
        assert_eq!(part(&heap, 8000), Part::FreeSpace, "an item that was removed");
        assert_eq!(part(&heap, 500), Part::FreeSpace, "the room in between");
        assert_eq!(part(&heap, 26), Part::Other, "a line pointer");
        let index = page(8176);
        assert_eq!(part(&index, 8150), Part::IndexEntry);
        assert_eq!(part(&index, 8180), Part::Other, "the end of an index page");
        assert_eq!(part(&vec![0; PAGE_BYTES], 500), Part::Other, "a page that was never used");
        assert_eq!(part(&heap[..4096], 500), Part::Other, "half a page");
    }

    #[test]
    fn random_bytes_are_no_page_that_panics() {
        let mut page = page(8192);
        for (index, byte) in page.iter_mut().enumerate().skip(24) {
            *byte = (index * 7919 % 251) as u8;
        }
        for at in (0..PAGE_BYTES).step_by(3) {
            let _ = part(&page, at);
        }
    }

    #[test]
    fn a_row_is_visible_until_a_transaction_that_committed_deleted_it() {
        // Transactions below 100 committed.
        let visible = |inserted_by, deleted_by, mask| {
            RowHeader { inserted_by, deleted_by, mask }.is_visible(|transaction| transaction < 100)
        };
        for (case, expected, found) in [
            ("committed", true, visible(5, 0, 0)),
            ("not committed", false, visible(500, 0, 0)),
            ("hinted", true, visible(500, 0, XMIN_COMMITTED)),
            ("frozen", true, visible(500, 0, XMIN_COMMITTED | XMIN_INVALID)),
            ("rolled back", false, visible(5, 0, XMIN_INVALID)),
            ("deleted", false, visible(5, 6, 0)),
            ("deletion rolled back", true, visible(5, 600, 0)),
            ("deletion hinted", false, visible(5, 600, XMAX_COMMITTED)),
            ("deletion invalid", true, visible(5, 6, XMAX_INVALID)),
            ("locked", true, visible(5, 6, XMAX_LOCK_ONLY)),
            ("locked by several", true, visible(5, 6, XMAX_IS_MULTI | XMAX_LOCK_ONLY)),
        ] {
            assert_eq!(found, expected, "{case}");
        }
    }
}
