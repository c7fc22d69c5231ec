//! Which transactions committed, from the files of `pg_xact`.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Transactions whose states are in one file, and in one byte of it.
const PER_FILE: u32 = 32 * 8192 * PER_BYTE;
const PER_BYTE: u32 = 4;

/// The two bits of a transaction that committed. Those of a subtransaction become the same when its parent commits.
const COMMITTED: u8 = 1;

/// Transactions with numbers below have no states: they are always committed.
const FIRST_NORMAL: u32 = 3;

/// The states of transactions in a data folder.
pub(super) struct Transactions {
    folder: PathBuf,
}

impl Transactions {
    pub(super) fn new(data_folder: &Path) -> Transactions {
        Transactions { folder: data_folder.join("pg_xact") }
    }

    /// Whether a transaction committed. A file that is not there is of transactions so old that PostgreSQL has frozen their rows.
    pub(super) fn is_committed(&self, transaction: u32) -> bool {
        if transaction < FIRST_NORMAL {
            return true;
        }
        let name = format!("{:04X}", transaction / PER_FILE);
        let Ok(file) = File::open(self.folder.join(name)) else { return true };
        let (mut byte, place) = ([0], transaction % PER_FILE);
        // Behind the end of the file no transaction has begun.
        let read = file.read_exact_at(&mut byte, u64::from(place / PER_BYTE));
        read.is_ok() && byte[0] >> (place % PER_BYTE * 2) & 3 == COMMITTED
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_transaction_has_two_bits() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("pg_xact")).expect("a folder");
        // Transactions 4 to 7: committed, rolled back, in progress, a part of one in progress.
        fs::write(folder.path().join("pg_xact/0001"), [0, 0xc9]).expect("a file");
        let transactions = Transactions::new(folder.path());
        let found = [4, 5, 6, 7, 100].map(|number| transactions.is_committed(PER_FILE + number));
        assert_eq!(found, [true, false, false, false, false]);
        assert!(transactions.is_committed(2), "always committed");
        assert!(transactions.is_committed(500), "of a file that is gone");
    }
}
