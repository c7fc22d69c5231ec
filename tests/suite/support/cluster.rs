//! PostgreSQL servers for tests: a shared one, and temporary ones for tests that stop or freeze the server.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};
use postgres::NoTls;
use safespace::config::PrivateServer;
use safespace::private_postgres::PrivatePostgres;

use super::timing::{PATIENCE, eventually};

/// A PostgreSQL of one test, in a temporary folder.
pub(crate) struct Cluster {
    // Declared before its folder: fields are dropped in declaration order.
    running: Option<PrivatePostgres>,
    folder: DataFolder,
}

impl Cluster {
    pub(crate) fn start() -> Cluster {
        let mut cluster = Cluster { running: None, folder: DataFolder::new() };
        cluster.start_again();
        cluster
    }

    /// A server that follows this one, asynchronously unless this one has `synchronous_standby_names`.
    pub(crate) fn start_standby(&self) -> Cluster {
        let folder = DataFolder::new();
        let programs = PrivatePostgres::installed(&folder.config()).unwrap().folder;
        let data = folder.path().join("cluster");
        fs::create_dir(&data).unwrap();
        // The mark of a folder that a private PostgreSQL has used.
        fs::write(folder.path().join("safespace.lock"), "").unwrap();
        fs::set_permissions(&data, Permissions::from_mode(0o700)).unwrap();
        let mut backup = Command::new(programs.join("pg_basebackup"));
        backup.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--username=safespace", "--pgdata"]);
        backup.arg(&data).arg("--host").arg(self.folder().join("socket")).current_dir("/");
        if geteuid().is_root() {
            // PostgreSQL does not run as root, and its user must reach the folder.
            let owner = User::from_name("postgres").unwrap().unwrap();
            fs::set_permissions(folder.path(), Permissions::from_mode(0o711)).unwrap();
            chown(&data, Some(owner.uid.as_raw()), Some(owner.gid.as_raw())).unwrap();
            backup.uid(owner.uid.as_raw()).gid(owner.gid.as_raw());
        }
        let output = backup.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut standby = Cluster { running: None, folder };
        standby.start_again();
        standby
    }

    /// A connection as the superuser.
    pub(crate) fn sql(&self) -> postgres::Client {
        postgres::Client::connect(&self.url(), NoTls).unwrap()
    }

    /// Changes a setting of the server, at once.
    pub(crate) fn set(&self, name: &str, value: &str) {
        let mut sql = self.sql();
        // Not in one string, which would be a transaction.
        sql.batch_execute(&format!("ALTER SYSTEM SET {name} = '{value}'")).unwrap();
        sql.batch_execute("SELECT pg_reload_conf()").unwrap();
        eventually(PATIENCE, || {
            let shown: String = sql.query_one(&format!("SHOW {name}"), &[]).unwrap().get(0);
            (shown == value).then_some(())
        });
    }

    pub(crate) fn start_again(&mut self) {
        let running = PrivatePostgres::start(&self.folder.config(), &[], &AtomicBool::new(false));
        self.running = Some(running.expect("PostgreSQL starts"));
    }

    /// Stops the server, with `signal` at once or otherwise in order.
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

    /// The folder of its socket, as a host of a URL.
    pub(crate) fn host(&self) -> String {
        self.folder().join("socket").display().to_string()
    }

    /// The postmaster.
    pub(crate) fn process_id(&self) -> u32 {
        self.running.as_ref().expect("it runs").process_id()
    }

    /// Suspends every process of the server with SIGSTOP.
    pub(crate) fn freeze(&self) {
        let postmaster = self.process_id();
        // The postmaster first, since it starts the other processes. A signal is delivered asynchronously.
        let freeze = |process: u32| {
            try_signal("STOP", process);
            // A process that ended meanwhile is gone, or a zombie while its parent is suspended.
            let is_suspended = || stat(process).is_none_or(|(state, _)| state == "T" || state == "Z");
            eventually(PATIENCE, || is_suspended().then_some(()));
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

/// The data folder of a private PostgreSQL. Dropping it kills a server that still runs there and removes the folder.
pub(crate) struct DataFolder {
    folder: tempfile::TempDir,
}

impl DataFolder {
    pub(crate) fn new() -> DataFolder {
        // A socket's path is at most 107 bytes long, and the user postgres needs access.
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

    /// The id of the postmaster that runs in this folder.
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
    url_of_hosts(&[&folder.join("socket").display().to_string()])
}

/// The URL of the database on several hosts: folders of sockets, or addresses with ports.
pub(crate) fn url_of_hosts(hosts: &[&str]) -> String {
    format!("postgres://safespace@{}/safespace", hosts.join(",").replace('/', "%2F"))
}

#[track_caller]
pub(crate) fn send_signal(signal: &str, process: u32) {
    assert!(try_signal(signal, process), "kill -{signal} {process}");
}

/// Sends a signal and returns whether the process exists. Destructors use this: a panic while another panic unwinds
/// aborts all tests.
pub(crate) fn try_signal(signal: &str, process: u32) -> bool {
    let signal: Signal = format!("SIG{signal}").parse().expect("the name of a signal");
    kill(Pid::from_raw(process.try_into().expect("a process id")), signal).is_ok()
}

/// The ids of a process's children.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    processes.filter(|process| stat(*process).is_some_and(|(_, its_parent)| its_parent == parent)).collect()
}

/// The state and the parent of a process.
fn stat(process: u32) -> Option<(String, u32)> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The command name, in parentheses before these fields, may contain any characters.
    let mut fields = text.rsplit(") ").next()?.split(' ');
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

/// A schema of one test in the shared database; dropped with this value.
pub(crate) struct Schema {
    name: String,
    /// The URL of its database.
    database: String,
}

impl Schema {
    pub(crate) fn new() -> Schema {
        Schema::at(citus_url().unwrap_or_else(server_url))
    }

    /// For a test of what one server does, which is not asked of a Citus.
    pub(crate) fn on_one_server() -> Schema {
        Schema::at(server_url())
    }

    fn at(database: String) -> Schema {
        let schema = Schema { name: format!("test_{}", uuid::Uuid::new_v4().simple()), database };
        schema.run(&format!("CREATE SCHEMA {}", schema.name)).unwrap();
        schema
    }

    /// Executes a statement outside the schema.
    fn run(&self, statement: &str) -> Result<(), postgres::Error> {
        postgres::Client::connect(&self.database, NoTls)?.batch_execute(statement)
    }

    /// A connection URL that sets `search_path` to this schema.
    pub(crate) fn url(&self) -> String {
        let url = &self.database;
        let separator = if url.contains('?') { '&' } else { '?' };
        format!("{url}{separator}options=-c%20search_path%3D{}", self.name)
    }

    pub(crate) fn client(&self) -> postgres::Client {
        postgres::Client::connect(&self.url(), NoTls).unwrap()
    }

    /// A connection URL with which a service finds that Citus distributes the tables, while one server has all rows: the statements for
    /// distributed tables are right there too. On a Citus the schema's own URL.
    pub(crate) fn url_of_pretended_citus(&self) -> String {
        if citus_url().is_some() {
            return self.url();
        }
        // What these shadow is in pg_catalog, which is searched first unless the path names it.
        let shadows = "CREATE VIEW pg_extension AS SELECT 'citus' AS extname, 'pretended' AS extversion;
            CREATE VIEW pg_dist_partition AS
                SELECT to_regclass(name) AS logicalrelid, partmethod, '' AS partkey, 1 AS colocationid, 't' AS repmodel
                FROM (VALUES ('sessions', 'h'), ('messages', 'h'), ('reports', 'h'), ('turns', 'h'),
                    ('refinery_schema_history', 'n'), ('compatibility', 'n')) AS tables (name, partmethod);
            CREATE FUNCTION column_to_column_name(regclass, text) RETURNS text LANGUAGE sql
                AS $$ SELECT CASE $1 WHEN to_regclass('sessions') THEN 'id' ELSE 'session_id' END $$";
        self.client().batch_execute(shadows).unwrap();
        format!("{}{PRETENDED}", self.url())
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let dropped = self.run(&format!("DROP SCHEMA {} CASCADE", self.name));
        assert!(dropped.is_ok() || thread::panicking(), "{dropped:?}");
    }
}

/// The shared server: that of `TEST_DATABASE_URL`, or one that the first call starts.
fn server_url() -> String {
    static URL: OnceLock<String> = OnceLock::new();
    let given = || std::env::var("TEST_DATABASE_URL").ok();
    URL.get_or_init(|| given().unwrap_or_else(|| url(&start_shared_server()))).clone()
}

/// The database of a coordinator of Citus, which takes the place of the shared server.
fn citus_url() -> Option<String> {
    std::env::var("CITUS_DATABASE_URL").ok()
}

/// The end of a URL of a pretended Citus.
const PRETENDED: &str = ",pg_catalog";

/// The variable with which a service has Citus distribute its tables, if its database is in a Citus.
pub(crate) fn distribution(database_url: &str) -> Option<(&'static str, &'static str)> {
    let is_citus =
        citus_url().is_some_and(|citus| database_url.starts_with(&citus)) || database_url.ends_with(PRETENDED);
    is_citus.then_some(("DB_DISTRIBUTE", "citus"))
}

/// Starts the shared server. Statics are never dropped, so a shell waits until this process ends, in whichever way, then
/// stops the server and removes its folder.
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

/// Locks a table of this client's schema against every other transaction until the returned one ends.
pub(crate) fn lock_table<'a>(sql: &'a mut postgres::Client, table: &str) -> postgres::Transaction<'a> {
    let mut transaction = sql.transaction().unwrap();
    transaction.batch_execute(&format!("LOCK TABLE {table}")).unwrap();
    transaction
}

/// Waits until one connection waits for a lock on the table of sessions in this client's schema.
#[track_caller]
pub(crate) fn wait_for_lock(sql: &mut postgres::Client) {
    wait_for_locks(sql, 1);
}

/// Waits until exactly `count` connections wait for a lock on that table.
#[track_caller]
pub(crate) fn wait_for_locks(sql: &mut postgres::Client, count: usize) {
    let waiting = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'sessions'::regclass";
    eventually(PATIENCE, || (sql.query(waiting, &[]).unwrap().len() == count).then_some(()));
}

/// Waits until `count` connections wait for a lock of this transaction, or for one that does.
#[track_caller]
pub(crate) fn wait_for_row_locks(sql: &mut postgres::Client, transaction: &mut postgres::Transaction<'_>, count: i64) {
    let holder: i32 = transaction.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid)) OR EXISTS (
        SELECT FROM unnest(pg_blocking_pids(pid)) AS blocker WHERE $1 = ANY (pg_blocking_pids(blocker)))";
    eventually(PATIENCE, || (sql.query_one(waiting, &[&holder]).unwrap().get::<_, i64>(0) >= count).then_some(()));
}
