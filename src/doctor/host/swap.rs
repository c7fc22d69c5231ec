//! Swap areas, and whether what is written to them is encrypted.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::proc_files::read;

/// A swap area that is in use.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SwapArea {
    /// Its file or device.
    pub(super) name: String,
    /// Whether the kernel encrypts it, or keeps it in memory.
    pub(super) is_safe: bool,
}

/// The levels of devices that are looked through: a logical volume on an encrypted partition is two.
const MAX_DEPTH: usize = 8;

/// The swap areas of the machine whose file system begins at `root`.
pub(super) fn areas(root: &Path) -> io::Result<Vec<SwapArea>> {
    let table = read(&root.join("proc/swaps"))?;
    // The first line has the names of the columns: file name, type, …
    let rows = table.lines().skip(1).filter_map(|line| {
        let mut columns = line.split_whitespace();
        // The kernel writes a space in a name as \040.
        Some((columns.next()?.replace("\\040", " "), columns.next()?.to_owned()))
    });
    Ok(rows.map(|(name, kind)| SwapArea { is_safe: is_safe(root, &name, &kind), name }).collect())
}

fn is_safe(root: &Path, name: &str, kind: &str) -> bool {
    let path = root.join(name.trim_start_matches('/'));
    let device = match kind {
        "partition" => {
            let device = name.rsplit('/').next().unwrap_or_default();
            let folder = root.join("sys/class/block").join(device);
            if device.starts_with("zram") {
                // With a backing device, zram writes pages that it cannot compress to the disk.
                return read(&folder.join("backing_dev")).map_or(true, |backing| backing.trim() == "none");
            }
            folder
        }
        _ => match fs::metadata(path) {
            Ok(file) => root.join("sys/dev/block").join(device_number(file.dev())),
            Err(_) => return false,
        },
    };
    is_encrypted(&device, MAX_DEPTH)
}

/// Whether a block device is one of dm-crypt, or lies on such devices alone.
fn is_encrypted(device: &Path, depth: usize) -> bool {
    if read(&device.join("dm/uuid")).is_ok_and(|uuid| uuid.starts_with("CRYPT-")) {
        return true;
    }
    let below: Vec<PathBuf> =
        fs::read_dir(device.join("slaves")).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    depth > 0 && !below.is_empty() && below.iter().all(|device| is_encrypted(device, depth - 1))
}

/// The number of a device as Linux writes it: `253:0`.
fn device_number(device: u64) -> String {
    let major = ((device >> 8) & 0xfff) | ((device >> 32) & !0xfff);
    let minor = (device & 0xff) | ((device >> 12) & !0xff);
    format!("{major}:{minor}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]
mod tests {
    use super::*;

    /// A folder with these files in the place of the system's.
    fn system(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    const HEAD: &str = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";

    #[track_caller]
    fn assert_areas(rows: &str, files: &[(&str, &str)], expected: &[(&str, bool)]) {
        let table = format!("{HEAD}{rows}");
        let root = system(&[&[("proc/swaps", table.as_str())], files].concat());
        let found = areas(root.path()).unwrap();
        let found: Vec<_> = found.iter().map(|area| (area.name.as_str(), area.is_safe)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_machine_without_swap_has_no_area() {
        assert_areas("", &[], &[]);
    }

    #[test]
    fn a_plain_partition_is_not_safe() {
        assert_areas("/dev/sda2   partition\t8388604\t0\t-2\n", &[], &[("/dev/sda2", false)]);
    }

    #[test]
    fn a_partition_of_dm_crypt_is_safe() {
        let files = [("sys/class/block/dm-1/dm/uuid", "CRYPT-PLAIN-swap\n")];
        assert_areas("/dev/dm-1   partition\t8388604\t0\t-2\n", &files, &[("/dev/dm-1", true)]);
    }

    #[test]
    fn a_logical_volume_is_as_safe_as_what_it_lies_on() {
        let volume = ("sys/class/block/dm-2/dm/uuid", "LVM-abc\n");
        let encrypted = ("sys/class/block/dm-2/slaves/dm-0/dm/uuid", "CRYPT-LUKS2-x\n");
        let plain = ("sys/class/block/dm-2/slaves/sda3/size", "1\n");
        let row = "/dev/dm-2   partition\t8388604\t0\t-2\n";
        assert_areas(row, &[volume, encrypted], &[("/dev/dm-2", true)]);
        assert_areas(row, &[volume, plain], &[("/dev/dm-2", false)]);
        assert_areas(row, &[volume, encrypted, plain], &[("/dev/dm-2", false)]);
    }

    #[test]
    fn zram_is_safe_unless_it_writes_to_a_device() {
        let row = "/dev/zram0   partition\t8388604\t0\t100\n";
        assert_areas(row, &[("sys/class/block/zram0/backing_dev", "none\n")], &[("/dev/zram0", true)]);
        assert_areas(row, &[("sys/class/block/zram0/backing_dev", "/dev/sda5\n")], &[("/dev/zram0", false)]);
    }

    #[test]
    fn a_file_is_as_safe_as_the_device_of_its_file_system() {
        let root = system(&[("proc/swaps", &format!("{HEAD}/swap\\040file   file\t1\t0\t-2\n")), ("swap file", "")]);
        let number = device_number(fs::metadata(root.path()).unwrap().dev());
        let is_safe = || areas(root.path()).unwrap()[0].is_safe;
        assert!(!is_safe());
        let device = root.path().join("sys/dev/block").join(number).join("dm");
        fs::create_dir_all(&device).unwrap();
        fs::write(device.join("uuid"), "CRYPT-LUKS1-root\n").unwrap();
        assert!(is_safe());
    }
}
