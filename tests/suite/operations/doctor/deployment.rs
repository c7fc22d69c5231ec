//! Deployments: a PostgreSQL with any settings, and a service as docs/setup.md has it.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::AtomicBool;

use nix::unistd::{User, geteuid};
use postgres::NoTls;
use safespace::private_postgres::PrivatePostgres;

use super::Found;
use crate::support::cluster::{DataFolder, try_signal};
use crate::support::eventually;
use crate::support::process::{Binary, Service};
use crate::support::timing::PATIENCE;

/// A PostgreSQL that an administrator keeps: with settings of its own, on a Unix socket, and perhaps on TCP with TLS.
pub(super) struct Postgres {
    process: Option<Child>,
    folder: DataFolder,
}

impl Postgres {
    /// A server with these settings on its command line.
    pub(super) fn start(settings: &[&str]) -> Postgres {
        let folder = DataFolder::new();
        // Makes the cluster.
        drop(PrivatePostgres::start(&folder.config(), &[], &AtomicBool::new(false)).unwrap());
        let mut postgres = Postgres { process: None, folder };
        postgres.restart(settings);
        postgres
    }

    /// Starts it anew with other settings on its command line.
    pub(super) fn restart(&mut self, settings: &[&str]) {
        self.restart_on(settings, "5432");
    }

    /// The same with a port among the settings, which is in the name of its socket too.
    pub(super) fn restart_on(&mut self, settings: &[&str], port: &str) {
        self.stop();
        let programs = PrivatePostgres::installed(&self.folder.config()).unwrap().folder;
        let mut command = Command::new(programs.join("postgres"));
        let path = |name: &str| self.folder.path().join(name);
        command.arg("-D").arg(path("cluster")).arg("-k").arg(path("socket")).args(["-c", "listen_addresses="]);
        command.args(settings.iter().flat_map(|setting| ["-c", setting]));
        command.current_dir("/").stderr(File::create(path("log")).unwrap());
        as_owner(&mut command);
        self.process = Some(command.spawn().unwrap());
        let url = self.url().replace("socket/", &format!("socket:{port}/"));
        eventually(PATIENCE, || postgres::Client::connect(&url, NoTls).ok());
    }

    fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            try_signal("INT", process.id());
            let _ = process.wait();
        }
    }

    /// Its database as the superuser.
    pub(super) fn url(&self) -> String {
        self.folder.url()
    }

    fn url_of_database(&self, name: &str) -> String {
        format!("{}{name}", self.url().strip_suffix("safespace").unwrap())
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its database as another role, with a password that it does not ask for.
    pub(super) fn url_of(&self, role: &str) -> String {
        self.url().replacen("//safespace@", &format!("//{role}:hunter2@"), 1)
    }

    pub(super) fn sql(&self) -> postgres::Client {
        postgres::Client::connect(&self.url(), NoTls).unwrap()
    }

    /// Executes statements one by one: some run in no transaction.
    pub(super) fn run(&self, statements: &str) {
        run(&mut self.sql(), statements);
    }

    /// Changes a setting of the server at once, to a value as `pg_settings` shows it, and returns the value before.
    pub(super) fn set(&self, name: &str, value: &str) -> String {
        let mut sql = self.sql();
        let mut shown =
            || -> String { sql.query_one("SELECT setting FROM pg_settings WHERE name = $1", &[&name]).unwrap().get(0) };
        let before = shown();
        self.run(&format!("ALTER SYSTEM SET {name} = '{value}'; SELECT pg_reload_conf()"));
        eventually(PATIENCE, || (shown() == value).then_some(()));
        before
    }

    /// A file that the server can read, and nobody else.
    pub(super) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        if let Some(user) = owner() {
            chown(&path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
        }
        path
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The user that runs PostgreSQL for root.
fn owner() -> Option<User> {
    User::from_name("postgres").unwrap().filter(|_| geteuid().is_root())
}

fn as_owner(command: &mut Command) {
    if let Some(user) = owner() {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
}

fn run(sql: &mut postgres::Client, statements: &str) {
    for statement in statements.split(';').filter(|statement| !statement.trim().is_empty()) {
        sql.batch_execute(statement).unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
}

/// A production service with its PostgreSQL, set up with the statements of docs/setup.md.
pub(super) struct Production {
    pub(super) service: Service,
    pub(super) postgres: Postgres,
    variables: Vec<(String, String)>,
    _files: tempfile::TempDir,
}

impl Production {
    pub(super) fn start() -> Production {
        Production::with(&[])
    }

    /// A service with further variables.
    pub(super) fn with(further: &[(&str, &str)]) -> Production {
        let postgres = Postgres::start(&[]);
        set_up(&postgres);
        let files = tempfile::tempdir().unwrap();
        fs::set_permissions(files.path(), Permissions::from_mode(0o755)).unwrap();
        let file = |name: &str, text: &str, mode: u32| {
            let path = files.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            path.display().to_string()
        };
        let source = |name: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
        // As a person does it who has called all of them.
        let verified = format!("\nverified_at = \"{}\"\nsource = ", chrono::Utc::now().date_naive());
        let resources = source("src/resources/resources.toml").replace("\nsource = ", &verified);
        let reviewed = "reviewed = \"A lawyer, November 2026\"";
        let templates = source("src/report/templates.toml").replace("reviewed = \"\"", reviewed);
        let mut variables: Vec<(String, String)> = [
            ("ENVIRONMENT", "production".to_owned()),
            ("APP_HOST", "127.0.0.1".to_owned()),
            ("APP_PORT", "0".to_owned()),
            ("TRUSTED_PROXIES", "127.0.0.1".to_owned()),
            ("DATABASE_URL_FILE", file("database_url", &postgres.url_of("safespace_app"), 0o600)),
            ("LOG_FORMAT", "json".to_owned()),
            ("RATE_LIMIT", "on".to_owned()),
            ("RESOURCES", file("resources.toml", &resources, 0o644)),
            ("REPORT_TEMPLATES", file("templates.toml", &templates, 0o644)),
            // As much as max_wal_size, however small the disk of the tests is.
            ("STORAGE_RESERVE", (1_u64 << 30).to_string()),
            ("APP_MAX_CONNECTIONS", "100".to_owned()),
            ("DB_POOL_MIN_SIZE", "1".to_owned()),
            ("DB_POOL_MAX_SIZE", "4".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        for (name, value) in further {
            variables.retain(|(other, _)| other != name);
            variables.push(((*name).to_owned(), (*value).to_owned()));
        }
        // As packaging/safespace.service has it.
        let service = Binary::under(&borrow(&variables), "ulimit -c 0").serve();
        Production { service, postgres, variables, _files: files }
    }

    /// A variable of the service.
    pub(super) fn variable(&self, name: &str) -> &str {
        &self.variables.iter().find(|(other, _)| other == name).unwrap().1
    }

    /// Runs the doctor with the settings of the service, and further variables in the place of these.
    #[track_caller]
    pub(super) fn examine(&self, further: &[(&str, &str)], arguments: &[&str]) -> Found {
        let port = self.service.address.port().to_string();
        let mut variables = borrow(&self.variables);
        variables.retain(|(name, _)| *name != "APP_PORT" && !further.iter().any(|(other, _)| other == name));
        variables.push(("APP_PORT", &port));
        variables.extend(further);
        Found::with(&variables, arguments).of_postgres()
    }
}

fn borrow(variables: &[(String, String)]) -> Vec<(&str, &str)> {
    variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// Executes the statements under "Roles with least privilege" and "PostgreSQL's own log" of docs/setup.md, and migrates in between.
pub(super) fn set_up(postgres: &Postgres) {
    let document = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/setup.md")).unwrap();
    let blocks = |heading: &str| {
        let section = document.split(&format!("\n### {heading}\n")).nth(1).unwrap().split("\n### ").next().unwrap();
        let blocks = section.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        let without_comments =
            |block: &str| block.lines().filter(|line| !line.starts_with("--")).collect::<Vec<_>>().join("\n");
        blocks.map(without_comments).collect::<Vec<_>>()
    };
    let roles = blocks("Roles with least privilege");
    let [database, grants] = roles.as_slice() else { panic!("{roles:?}") };
    let (server, inside) = database.split_once("\\connect safespace").unwrap();
    let mut sql = postgres::Client::connect(&postgres.url_of_database("postgres"), NoTls).unwrap();
    run(&mut sql, &format!("DROP DATABASE safespace; {server}"));
    postgres.run(inside);
    let migrated = Binary::new(&[("DATABASE_URL", &postgres.url_of("safespace_owner"))]).argument("migrate").run();
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    postgres.run(grants);
    postgres.run(&blocks("PostgreSQL's own log").concat());
}
