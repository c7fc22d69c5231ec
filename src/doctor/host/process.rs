//! The process of the running service, as `/proc` shows it.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process;

use super::proc_files::read;

/// The name of the service's process, and what follows it where it serves.
const NAME: &str = "safespace";
const SERVE: &str = "serve";

/// The state of a listening socket in `/proc/net/tcp`.
const LISTENING: &str = "0A";

/// A limit without a bound.
const UNLIMITED: u64 = u64::MAX;

/// A running service.
#[derive(Debug)]
pub(in crate::doctor) struct Process {
    pub(super) id: u32,
    /// Its effective user.
    pub(super) user: u32,
    /// Bytes of a core file.
    pub(super) core_limit: Option<u64>,
    /// Open files.
    pub(super) descriptor_limit: Option<u64>,
    /// Whether the kernel dumps its memory; `None` where that cannot be seen, as for a process of root.
    pub(super) is_dumpable: Option<bool>,
    /// Whether its control group may use swap.
    pub(super) may_swap: bool,
    /// Its environment; `None` where this process may not see it.
    pub(super) environment: Option<HashMap<String, String>>,
    /// The file of its standard error, if that is one.
    pub(in crate::doctor) log: Option<PathBuf>,
}

/// Finds the process that listens on a port: by its socket, or where the sockets of others are hidden, by its name and user.
///
/// # Errors
/// Why none is found, as a clause.
pub(in crate::doctor) fn find(root: &Path, port: u16) -> Result<Process, String> {
    if port == 0 {
        return Err("APP_PORT is 0, so its port is not known".to_owned());
    }
    let sockets = listening(root, port);
    if sockets.is_empty() {
        return Err(format!("nothing on this machine listens on port {port}, as far as this process sees"));
    }
    let folder = root.join("proc");
    let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
    let ids: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let links: Vec<PathBuf> = sockets.iter().map(|socket| format!("socket:[{}]", socket.inode).into()).collect();
    let has_socket = |id: &u32| {
        let descriptors = fs::read_dir(folder.join(id.to_string()).join("fd")).into_iter().flatten().flatten();
        descriptors.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|link| links.contains(&link))
    };
    let found = ids.iter().copied().find(has_socket);
    let by_name = || {
        let is_candidate = |id: &u32| {
            is_service(&folder.join(id.to_string()))
                && user(&folder.join(id.to_string())).is_some_and(|user| sockets.iter().any(|it| it.user == user))
        };
        let mut candidates = ids.iter().copied().filter(|id| *id != process::id()).filter(is_candidate);
        candidates.next().filter(|_| candidates.next().is_none())
    };
    let id = found.or_else(by_name).ok_or_else(|| {
        format!("which process listens on port {port} is hidden from this user, and not one alone is called {NAME}")
    })?;
    inspect(root, id).ok_or_else(|| format!("the process {id} ended, or its files are hidden from this user"))
}

/// A socket that listens.
struct Socket {
    inode: String,
    user: u32,
}

fn listening(root: &Path, port: u16) -> Vec<Socket> {
    let mut sockets = Vec::new();
    for table in ["proc/net/tcp", "proc/net/tcp6"] {
        let table = read(&root.join(table)).unwrap_or_default();
        sockets.extend(table.lines().filter_map(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let [_, address, _, state, _, _, _, user, _, inode, ..] = columns.as_slice() else { return None };
            let its_port = u16::from_str_radix(address.rsplit(':').next()?, 16).ok()?;
            let is_it = *state == LISTENING && its_port == port;
            is_it.then(|| Some(Socket { inode: (*inode).to_owned(), user: user.parse().ok()? })).flatten()
        }));
    }
    sockets
}

/// Whether a process is called as the service is, and serves: `check` and others run beside it.
fn is_service(process: &Path) -> bool {
    let arguments = read(&process.join("cmdline")).unwrap_or_default();
    let mut arguments = arguments.split('\0').filter(|argument| !argument.is_empty());
    let name = arguments.next().and_then(|program| program.rsplit('/').next());
    name == Some(NAME) && arguments.next().is_none_or(|command| command == SERVE)
}

/// The effective user of a process: the second of the four numbers in the line `Uid:`.
fn user(process: &Path) -> Option<u32> {
    let status = read(&process.join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn inspect(root: &Path, id: u32) -> Option<Process> {
    let folder = root.join("proc").join(id.to_string());
    let user = user(&folder)?;
    let limits = read(&folder.join("limits")).ok()?;
    // The files of a process that is not dumpable belong to root (proc(5)).
    let owner = fs::metadata(folder.join("limits")).ok()?.uid();
    let environment = read(&folder.join("environ")).ok().map(|text| {
        let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    });
    let log = fs::read_link(folder.join("fd/2")).ok().filter(|path| path.is_absolute() && path.is_file());
    Some(Process {
        id,
        user,
        core_limit: soft_limit(&limits, "Max core file size"),
        descriptor_limit: soft_limit(&limits, "Max open files"),
        is_dumpable: (user != 0).then_some(owner == user),
        may_swap: may_swap(root, &folder),
        environment,
        log,
    })
}

/// A soft limit in the table of `/proc/PID/limits`.
fn soft_limit(table: &str, name: &str) -> Option<u64> {
    let value = table.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?;
    if value == "unlimited" { Some(UNLIMITED) } else { value.parse().ok() }
}

/// Whether no control group (version 2) of the process forbids swap.
fn may_swap(root: &Path, process: &Path) -> bool {
    let groups = read(&process.join("cgroup")).unwrap_or_default();
    let Some(own) = groups.lines().find_map(|line| line.strip_prefix("0::/")) else { return true };
    let top = root.join("sys/fs/cgroup");
    let folder = top.join(own);
    let groups = folder.ancestors().take_while(|group| group.starts_with(&top));
    !groups.into_iter().any(|group| read(&group.join("memory.swap.max")).is_ok_and(|max| max.trim() == "0"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const LIMITS: &str = "Limit                     Soft Limit           Hard Limit           Units     \n\
                          Max core file size        0                    unlimited            bytes     \n\
                          Max open files            1024                 524288               files     \n";

    /// A machine on which user 999 listens on port 8000, with the inode 77.
    fn machine() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let table = "  sl  local_address rem_address   st tx_queue tr retrnsmt   uid  timeout inode\n   \
            0: 0100007F:1F40 0:0 0A 0:0 0:0 0   999        0 77 1\n   \
            1: 0100007F:1F40 0100007F:9999 01 0:0 0:0 0   555        0 78 1\n";
        write(root.path(), "proc/net/tcp", table);
        root
    }

    fn write(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn add_process(root: &Path, id: u32, arguments: &str, user: u32) {
        write(root, &format!("proc/{id}/cmdline"), arguments);
        write(root, &format!("proc/{id}/status"), &format!("Name:\tx\nUid:\t{user}\t{user}\t{user}\t{user}\n"));
        write(root, &format!("proc/{id}/limits"), LIMITS);
        write(root, &format!("proc/{id}/environ"), "APP_PORT=8000\0LANG=C\0");
        write(root, &format!("proc/{id}/cgroup"), "0::/system.slice/safespace.service\n");
    }

    #[test]
    fn the_process_with_the_socket_is_found_whatever_its_name() {
        let root = machine();
        add_process(root.path(), 41, "/usr/bin/safespace\0", 999);
        add_process(root.path(), 42, "/opt/chat\0", 999);
        fs::create_dir(root.path().join("proc/42/fd")).unwrap();
        symlink("socket:[77]", root.path().join("proc/42/fd/9")).unwrap();
        let found = find(root.path(), 8000).unwrap();
        assert_eq!((found.id, found.user), (42, 999));
        assert_eq!((found.core_limit, found.descriptor_limit), (Some(0), Some(1024)));
        assert_eq!(found.environment.unwrap()["APP_PORT"], "8000");
        assert!(find(root.path(), 8001).unwrap_err().contains("nothing on this machine listens on port 8001"));
    }

    #[test]
    fn where_sockets_are_hidden_the_only_service_of_the_sockets_user_is_found() {
        let root = machine();
        add_process(root.path(), 41, "/usr/bin/safespace\0doctor\0", 999);
        add_process(root.path(), 43, "/usr/bin/safespace\0", 555);
        assert!(find(root.path(), 8000).unwrap_err().contains("is hidden from this user"));
        add_process(root.path(), 44, "/usr/bin/safespace\0serve\0", 999);
        assert_eq!(find(root.path(), 8000).unwrap().id, 44);
        add_process(root.path(), 45, "safespace\0", 999);
        assert!(find(root.path(), 8000).unwrap_err().contains("not one alone is called safespace"));
    }

    #[test]
    fn a_group_that_forbids_swap_counts_for_those_below_it() {
        let root = machine();
        add_process(root.path(), 44, "safespace\0", 999);
        assert!(find(root.path(), 8000).unwrap().may_swap);
        write(root.path(), "sys/fs/cgroup/system.slice/safespace.service/memory.swap.max", "max\n");
        assert!(find(root.path(), 8000).unwrap().may_swap);
        write(root.path(), "sys/fs/cgroup/system.slice/memory.swap.max", "0\n");
        assert!(!find(root.path(), 8000).unwrap().may_swap);
    }
}
