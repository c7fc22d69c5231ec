//! `safespace doctor`: reads the running deployment and finds what is not as it should be, each with its remedy.
//!
//! - `finding`: what it says; the modules below have a table of checks each.
//! - `postgres`, `host`, `service`: small readers gather facts, and pure functions judge them.

mod finding;
mod host;
mod postgres;
mod service;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use chrono::Utc;

use crate::app;
use crate::config::{Config, Database, Environment};
pub use finding::{Check, Finding, NotChecked, Report, Severity};
use host::{Expected, Files};
use postgres::Target;
use service::Addresses;
pub use service::{PublicUrl, PublicUrlError};

/// The time for everything. What has not answered by then is told as not checked.
const TIME_LIMIT: Duration = Duration::from_secs(25);

/// The file from which the service reads variables in development.
const DOTENV: &str = ".env";

/// The settings of a service that was installed with `packaging/install`.
const INSTALLED_SETTINGS: &str = "/etc/safespace/safespace.env";

/// What the doctor is told besides the configuration.
#[derive(Debug, Default)]
pub struct Options {
    /// The address that people use.
    pub public_url: Option<PublicUrl>,
    /// Log files, and folders of them, besides the usual ones.
    pub logs: Vec<PathBuf>,
}

/// Every check there is, in the order of docs/doctor.md.
pub fn checks() -> impl Iterator<Item = &'static Check> {
    [postgres::ALL, host::ALL, service::ALL].into_iter().flatten().copied()
}

/// Reads the deployment of a configuration and changes nothing, but that two requests for sessions that do not exist are sent to each of
/// its addresses. It takes half a minute at most; a thread that still waits then is left behind.
#[must_use]
pub fn examine(config: Config, options: Options) -> Report {
    let deadline = Instant::now() + TIME_LIMIT;
    let today = Utc::now().date_naive();
    let mut report = Report::default();
    let config = Arc::new(config);
    let root = Path::new("/");
    let expected = expected(&config);
    let addresses = Addresses {
        own: config.http.address.clone(),
        public: options.public_url,
        trusts_proxies: !config.protection.trusted_proxies.is_empty(),
    };
    let mut logs = options.logs;
    if let Database::Private(private) = &config.database {
        logs.push(private.data_folder.join("postgres.log"));
    }
    let parts = [
        ("the settings, and the files that they name", {
            let config = config.clone();
            start(move || service::judge_settings(&config, today))
        }),
        ("PostgreSQL", {
            let config = config.clone();
            start(move || {
                let mut report = Report::default();
                if let Some(target) = Target::find(&config, &mut report) {
                    report.append(target.examine(today));
                }
                report
            })
        }),
        ("the machine of the service", start(move || host::examine(root, &expected))),
        ("the service, its proxy, and logs", {
            start(move || {
                let log = host::find_process(root, addresses.own.port).ok().and_then(|process| process.log);
                logs.extend(log);
                service::examine(root, &addresses, &logs)
            })
        }),
    ];
    for (what, part) in parts {
        match part.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(found) => report.append(found),
            Err(_) => {
                let because = format!("there was no answer within {} s", TIME_LIMIT.as_secs());
                report.skip(what, because, "run the doctor again when it answers");
            }
        }
    }
    report
}

/// Runs a part on a thread of its own, so that one that hangs holds up no other.
fn start(part: impl FnOnce() -> Report + Send + 'static) -> Receiver<Report> {
    let (sender, receiver) = mpsc::channel();
    // Without a thread the channel is closed, and the part counts as not answered.
    let _ = thread::Builder::new().name("doctor".to_owned()).spawn(move || sender.send(part()));
    receiver
}

fn expected(config: &Config) -> Expected {
    let mut secrets = config.secret_files.clone();
    let is_production = config.environment == Environment::Production;
    if !is_production {
        secrets.push(DOTENV.into());
    }
    secrets.push(INSTALLED_SETTINGS.into());
    let data_folder = match &config.database {
        Database::Private(private) => Some(private.data_folder.clone()),
        Database::Server(_) => None,
    };
    Expected {
        port: config.http.address.port,
        is_production,
        descriptors: app::needed_descriptors(config) + config.http.max_connections,
        files: Files {
            secrets,
            texts: config.text_files().into_iter().map(|(_, path)| path.to_owned()).collect(),
            data_folder,
        },
    }
}
