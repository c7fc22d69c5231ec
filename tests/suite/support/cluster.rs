//! PostgreSQL servers for tests: one that they share, and throw-away ones to disturb.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use postgres::NoTls;
use safespace::config::PrivateServer;
use safespace::store::private::PrivatePostgres;

use super::eventually;

/// A PostgreSQL of a test's own, in a folder that goes with it.
pub(crate) struct Cluster {
    // Before the folder it runs in, since fields are dropped in their order.
    running: Option<PrivatePostgres>,
    folder: DataFolder,
}

impl Cluster {
    pub(crate) fn start() -> Cluster {
        let mut cluster = Cluster { running: None, folder: DataFolder::new() };
        cluster.start_again();
        cluster
    }

    pub(crate) fn start_again(&mut self) {
        let running = PrivatePostgres::start(&self.folder.config(), &[], &AtomicBool::new(false));
        self.running = Some(running.expect("PostgreSQL starts"));
    }

    /// Stops it in order, or as soon as `signal` does.
    pub(crate) fn stop(&mut self, signal: Option<&str>) {
        if let Some(signal) = signal {
            send_signal(signal, self.process_id());
        }
        self.running = None;
    }

    pub(crate) fn url(&self) -> String {
        self.folder.url()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn process_id(&self) -> u32 {
        self.running.as_ref().expect("it runs").process_id()
    }

    /// Stops every process of the server in its tracks.
    pub(crate) fn freeze(&self) {
        let postmaster = self.process_id();
        // First the one that could make another; a signal may take a moment to arrive.
        let freeze = |process: u32| {
            try_signal("STOP", process);
            // One that ended meanwhile is a zombie while its parent stands still, or gone.
            let stands = || stat(process).is_none_or(|(state, _)| state == "T" || state == "Z");
            eventually(Duration::from_secs(5), || stands().then_some(()));
        };
        freeze(postmaster);
        children(postmaster).into_iter().for_each(freeze);
    }

    /// Undoes [`Cluster::freeze`].
    pub(crate) fn thaw(&self) {
        let postmaster = self.process_id();
        children(postmaster).into_iter().chain([postmaster]).for_each(|process| send_signal("CONT", process));
    }
}

/// A place for a private PostgreSQL. When it goes, so does everything in it, running or not.
pub(crate) struct DataFolder {
    folder: tempfile::TempDir,
}

impl DataFolder {
    pub(crate) fn new() -> DataFolder {
        // The socket's path has to be short, and the user postgres must be able to enter.
        DataFolder { folder: tempfile::Builder::new().prefix("safespace-").tempdir_in("/tmp").unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn config(&self) -> PrivateServer {
        PrivateServer { data_folder: self.path().to_owned(), binaries: None }
    }

    pub(crate) fn url(&self) -> String {
        url(self.path())
    }

    /// The process of the PostgreSQL that runs in it.
    pub(crate) fn postgres(&self) -> Option<u32> {
        let file = fs::read_to_string(self.path().join("cluster/postmaster.pid")).ok()?;
        let process = file.lines().next()?.parse().ok()?;
        stat(process).filter(|(state, _)| state != "Z").map(|_| process)
    }
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while let Some(process) = self.postgres().filter(|_| Instant::now() < deadline) {
            try_signal("QUIT", process);
            try_signal("CONT", process);
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn url(folder: &Path) -> String {
    let folder = folder.join("socket").display().to_string().replace('/', "%2F");
    format!("postgres://safespace@{folder}/safespace")
}

#[track_caller]
pub(crate) fn send_signal(signal: &str, process: u32) {
    assert!(try_signal(signal, process), "kill -{signal} {process}");
}

/// Sends a signal, and says whether there was such a process. A destructor must not panic, since it may run while
/// another panic unwinds, and two end all tests at once.
pub(crate) fn try_signal(signal: &str, process: u32) -> bool {
    let signal: Signal = format!("SIG{signal}").parse().expect("the name of a signal");
    kill(Pid::from_raw(process.try_into().expect("a process id")), signal).is_ok()
}

/// The processes whose parent is this one.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    processes.filter(|process| stat(*process).is_some_and(|(_, its_parent)| its_parent == parent)).collect()
}

/// The state and the parent of a process.
fn stat(process: u32) -> Option<(String, u32)> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name before them, in brackets, may hold anything.
    let mut fields = text.rsplit(") ").next()?.split(' ');
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

/// A schema of a test's own in the shared database; dropped with it.
pub(crate) struct Schema {
    name: String,
}

impl Schema {
    pub(crate) fn new() -> Schema {
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        shared_client().batch_execute(&format!("CREATE SCHEMA {name}")).unwrap();
        Schema { name }
    }

    /// A URL that leads to this schema, so that the program itself knows nothing of it.
    pub(crate) fn url(&self) -> String {
        let url = shared_url();
        let separator = if url.contains('?') { '&' } else { '?' };
        format!("{url}{separator}options=-c%20search_path%3D{}", self.name)
    }

    pub(crate) fn client(&self) -> postgres::Client {
        postgres::Client::connect(&self.url(), NoTls).unwrap()
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let dropped = shared_client().batch_execute(&format!("DROP SCHEMA {} CASCADE", self.name));
        assert!(dropped.is_ok() || thread::panicking(), "{dropped:?}");
    }
}

fn shared_client() -> postgres::Client {
    postgres::Client::connect(&shared_url(), NoTls).unwrap()
}

/// The database that tests share: `TEST_DATABASE_URL`, or a server that is started by the first who asks.
fn shared_url() -> String {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| std::env::var("TEST_DATABASE_URL").unwrap_or_else(|_| url(&start_shared_server()))).clone()
}

/// Starts the shared server. A static is never dropped, so a shell waits for the end of this process, however it comes,
/// and then stops the server and removes its folder.
fn start_shared_server() -> PathBuf {
    static WATCHDOG: OnceLock<Child> = OnceLock::new();
    static SERVER: Mutex<Option<PrivatePostgres>> = Mutex::new(None);
    let folder = tempfile::Builder::new().prefix("safespace-").tempdir_in("/tmp").unwrap().keep();
    let config = PrivateServer { data_folder: folder.clone(), binaries: None };
    let settings = ["max_connections=500".to_owned()];
    let server = PrivatePostgres::start(&config, &settings, &AtomicBool::new(false)).expect("PostgreSQL starts");
    let script = r#"read _; kill -QUIT "$1"; while kill -0 "$1" 2>&-; do sleep 0.05; done; rm -rf "$2""#;
    let watchdog = Command::new("sh")
        .args(["-c", script, "sh", &server.process_id().to_string()])
        .arg(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn();
    WATCHDOG.set(watchdog.unwrap()).unwrap();
    *SERVER.lock().unwrap() = Some(server);
    folder
}
