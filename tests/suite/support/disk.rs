//! A small disk of one test, which it can fill.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A tmpfs, which needs the right to mount; unmounted when dropped.
pub(crate) struct Disk(tempfile::TempDir);

impl Disk {
    /// Mounts a disk with these options of tmpfs.
    #[track_caller]
    pub(crate) fn mount(options: &str) -> Disk {
        let folder = tempfile::Builder::new().prefix("safespace-").tempdir_in("/tmp").unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("mode=755,{options}"), "tmpfs"]).arg(folder.path());
        let output = mount.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Disk(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all the space that is left, until [`Disk::free`].
    pub(crate) fn fill(&self) {
        let filled = fs::write(self.filler(), vec![1; 1 << 30]);
        assert!(filled.is_err(), "the disk has more than 1 GiB");
    }

    pub(crate) fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}
