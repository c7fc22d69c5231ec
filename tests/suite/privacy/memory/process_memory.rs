//! Searches the memory of another process, as a debugger could read it (Linux; proc(5)).

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use nix::unistd::{SysconfVar, sysconf};

/// Bytes that are read at once.
const PIECE_BYTES: usize = 1024 * 1024;

/// Bytes of an entry of `/proc/PID/pagemap`.
const ENTRY_BYTES: u64 = 8;

/// Bits of an entry: the page is in memory, or in swap.
const PRESENT: u64 = 1 << 63 | 1 << 62;

/// Byte strings to search for, with what they are.
#[derive(Default)]
pub(super) struct Needles {
    /// By the first two bytes.
    by_beginning: HashMap<[u8; 2], Vec<(&'static str, Vec<u8>)>>,
    longest: usize,
}

/// Where a byte string was found.
pub(super) struct Hit {
    pub(super) what: &'static str,
    address: u64,
    mapping: String,
    /// What is around it.
    context: String,
}

impl fmt::Display for Hit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} at {:x} in {}: {}", self.what, self.address, self.mapping, self.context)
    }
}

impl Needles {
    pub(super) fn add(&mut self, what: &'static str, bytes: &[u8]) {
        assert!(bytes.len() >= 12, "{what} is so short that it may occur by chance");
        self.longest = self.longest.max(bytes.len());
        self.by_beginning.entry([bytes[0], bytes[1]]).or_default().push((what, bytes.to_vec()));
    }

    /// Searches all memory that a process can write to.
    #[track_caller]
    pub(super) fn find(&self, process: u32) -> Vec<Hit> {
        let open = |file: &str| {
            let path = format!("/proc/{process}/{file}");
            File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}; run this as root, with CAP_SYS_PTRACE"))
        };
        let (memory, pages) = (open("mem"), open("pagemap"));
        let page_bytes = sysconf(SysconfVar::PAGE_SIZE).unwrap().unwrap() as u64;
        let beginnings = self.beginnings();
        let (mut found, mut searched) = (Vec::new(), 0);
        for line in fs::read_to_string(format!("/proc/{process}/maps")).unwrap().lines() {
            let Some((range, rest)) = line.split_once(' ').filter(|(_, rest)| rest.starts_with("rw")) else { continue };
            let (start, end) = range.split_once('-').unwrap();
            let [start, end] = [start, end].map(|address| u64::from_str_radix(address, 16).unwrap());
            let name = rest.split_whitespace().nth(4).unwrap_or("memory without a name");
            for (from, to) in used_ranges(&pages, start..end, page_bytes) {
                let mut piece = vec![0; usize::try_from(to - from).unwrap().min(PIECE_BYTES)];
                let mut at = from;
                while at < to {
                    let wanted = piece.len().min(usize::try_from(to - at).unwrap());
                    // It may have been freed since.
                    let Ok(read) = memory.read_at(&mut piece[..wanted], at) else { break };
                    self.search(&piece[..read], &beginnings, |what, offset| {
                        let context = &piece[offset.saturating_sub(48)..read.min(offset + 64)];
                        let context = context.escape_ascii().to_string();
                        found.push(Hit { what, address: at + offset as u64, mapping: name.to_owned(), context });
                    });
                    searched += read;
                    // What lies across two pieces is in the next one as a whole.
                    let is_last = at + read as u64 >= to || read <= self.longest;
                    at = if is_last { to } else { at + (read - self.longest) as u64 };
                }
            }
        }
        assert!(searched > 1024 * 1024, "only {searched} bytes of the process can be read");
        found
    }

    /// Which first two bytes occur, so that most places are passed over fast.
    fn beginnings(&self) -> Vec<bool> {
        let mut beginnings = vec![false; 1 << 16];
        self.by_beginning.keys().for_each(|two| beginnings[usize::from(u16::from_be_bytes(*two))] = true);
        beginnings
    }

    fn search(&self, bytes: &[u8], beginnings: &[bool], mut visit: impl FnMut(&'static str, usize)) {
        const BLOCK: usize = 4096;
        for (block, start) in bytes.chunks(BLOCK).zip((0..).step_by(BLOCK)) {
            if *block == [0; BLOCK] {
                continue;
            }
            for at in start..(start + block.len()).min(bytes.len() - 1) {
                let two = [bytes[at], bytes[at + 1]];
                if !beginnings[usize::from(u16::from_be_bytes(two))] {
                    continue;
                }
                for (what, needle) in self.by_beginning.get(&two).into_iter().flatten() {
                    if bytes[at..].starts_with(needle) {
                        visit(what, at);
                    }
                }
            }
        }
    }
}

/// The parts of a range of addresses that have memory, in whole pages. The others were never written to, and reading them would take
/// long.
fn used_ranges(pages: &File, range: std::ops::Range<u64>, page_bytes: u64) -> Vec<(u64, u64)> {
    let count = (range.end - range.start) / page_bytes;
    let mut entries = vec![0; usize::try_from(count * ENTRY_BYTES).unwrap()];
    if pages.read_exact_at(&mut entries, range.start / page_bytes * ENTRY_BYTES).is_err() {
        return vec![(range.start, range.end)];
    }
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for (entry, start) in entries.chunks_exact(8).zip((range.start..).step_by(usize::try_from(page_bytes).unwrap())) {
        if u64::from_ne_bytes(entry.try_into().unwrap()) & PRESENT == 0 {
            continue;
        }
        match ranges.last_mut() {
            Some((_, end)) if *end == start => *end += page_bytes,
            _ => ranges.push((start, start + page_bytes)),
        }
    }
    ranges
}
