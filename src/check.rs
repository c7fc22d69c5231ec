//! `safespace check`: prints what the service would start with, and finds why it would not serve.

use std::fmt::{self, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use chrono::Utc;

use crate::app::{self, StartError};
use crate::companion::{self, Companion};
use crate::config::{self, Address, Config, Server, StorageReserve, StorageSettings};
use crate::private_postgres::{Binaries, PrivatePostgres};
use crate::report::Templates;
use crate::resources::{Registry, Resource};
use crate::store::distribution::{self, Distribution};
use crate::store::{Disk, LossRisk, ServerFindings, ServerStorage, Store, Usage, inspect};
use crate::store::{commit_check, migrations};
use crate::web::Site;

/// Reads the configuration and the database, changes neither, and appends what it finds to `output`, one line each. A record that it
/// commits changes no table. With
/// `asks` it also sends a fixed sentence to the companion.
///
/// # Errors
/// [`StartError::WouldNotServe`] with everything for which the service would not start, or would refuse every message.
pub fn check(config: &Config, asks: bool, output: &mut String) -> Result<(), StartError> {
    let mut report = Report { output, problems: Vec::new() };
    report.line("Environment", format_args!("{:?}", config.environment));
    report.line("Address", format_args!("{}, {} workers", config.http.address, config.http.workers));
    report.line("Origins", &config.allowed_origins);
    if let Some(address) = &config.metrics {
        report.line("Metrics", address);
    }
    report.line("Pool", format_args!("{} to {} connections", config.pool.min_size, config.pool.max_size));
    report.line("Limits", &config.protection);
    report.line("Sessions", config.session_limits);
    report.line("Retention", config.retention);
    report.line("Exit", config.exit_urls.join(", "));
    report.line("Page", &config.web);
    for warning in app::warnings(config) {
        report.line("Warning", warning);
    }
    report.line("Companion", &config.companion);
    if let Err(error) = Site::load(&config.web, config.retention, config.companion.model_host()) {
        report.problem(StartError::from(error));
    }
    report.texts(config, asks);
    for address in [Some(&config.http.address), config.metrics.as_ref()].into_iter().flatten() {
        report.check_host(address);
    }
    match &config.database {
        config::Database::Server(server) => {
            report.line("Database", server);
            if let Some(findings) = report.check_database(server, config) {
                let folder = findings.storage.data_folder.clone();
                let local = folder.filter(|folder| server.is_on_this_machine() && folder.exists());
                report.storage(config, local.as_deref(), Some(&findings.storage));
            }
        }
        config::Database::Private(private) => {
            report.line("Database", format_args!("private, in {}", private.data_folder.display()));
            match PrivatePostgres::installed(private) {
                Ok(Binaries { version, folder }) => {
                    report.line("Binaries", format_args!("PostgreSQL {version} in {}", folder.display()));
                }
                Err(error) => report.problem(StartError::from(error)),
            }
            if let Err(error) = PrivatePostgres::check_room(private) {
                report.problem(StartError::from(error));
            }
            let folder = Some(private.data_folder.as_path());
            if PrivatePostgres::is_running(private) {
                let findings = report.check_database(&PrivatePostgres::server(private), config);
                report.storage(config, folder, findings.as_ref().map(|findings| &findings.storage));
            } else {
                if let Err(error) = PrivatePostgres::check_folder(private) {
                    report.problem(StartError::from(error));
                }
                report.storage(config, folder, None);
                report.line("PostgreSQL", "not running; it starts and stops with the service");
            }
        }
    }
    if report.problems.is_empty() { Ok(()) } else { Err(StartError::WouldNotServe(report.problems)) }
}

struct Report<'a> {
    output: &'a mut String,
    /// Why the service would not serve.
    problems: Vec<String>,
}

impl Report<'_> {
    fn line(&mut self, name: &str, value: impl fmt::Display) {
        let _ = writeln!(self.output, "{name:<12} {value}");
    }

    fn problem(&mut self, problem: impl fmt::Display) {
        self.problems.push(problem.to_string());
    }

    /// Whether this machine has the address of a host. A port in use is no problem: the service may be running.
    fn check_host(&mut self, address: &Address) {
        if let Err(error) = TcpListener::bind((address.host.as_str(), 0)) {
            self.problem(StartError::Listen(address.to_string(), error));
        }
    }

    /// The files of texts, and the companion that is made of them.
    fn texts(&mut self, config: &Config, asks: bool) {
        let resources = match Registry::load(config.texts.resources.as_deref()) {
            Ok(resources) => Arc::new(resources),
            Err(error) => return self.problem(StartError::from(error)),
        };
        self.line("Help lines", resources.resources.len());
        for warning in app::text_warnings(config, &resources) {
            self.line("Warning", warning);
        }
        for resource in resources.unverified(config.texts.resources_max_age_days, Utc::now().date_naive()) {
            let verified = resource.verified_at.map_or("never verified".to_owned(), |day| format!("verified on {day}"));
            let Resource { id, name, value, source, .. } = resource;
            self.line("Verify", format_args!("{id}: {name}, {value}, {verified}, found at {source}"));
        }
        match Templates::load(config.texts.report_templates.as_deref(), &resources) {
            Ok(templates) => {
                match templates.reviewed() {
                    Some(reviewed) => self.line("Reports", format_args!("their texts were reviewed by {reviewed}")),
                    None => self.line("Reports", Templates::NOT_REVIEWED),
                }
                for warning in templates.left_out() {
                    self.line("Warning", warning);
                }
            }
            Err(error) => self.problem(StartError::from(error)),
        }
        match companion::build(&config.companion, &resources) {
            Ok(companion) => {
                if !companion.can_classify() {
                    self.line("Warning", companion::CANNOT_CLASSIFY);
                }
                if asks {
                    self.ask(config, &companion);
                }
            }
            Err(error) => self.problem(StartError::from(error)),
        }
    }

    fn ask(&mut self, config: &Config, companion: &Companion) {
        match companion.ask(config.companion.timeout) {
            Ok(answer) => self.line("Answer", answer),
            Err(reason) => self.problem(format_args!("the companion does not answer: {reason}")),
        }
    }

    /// What is found in the database; `None` if it cannot be reached or read.
    fn check_database(&mut self, server: &Server, config: &Config) -> Option<ServerFindings> {
        match inspect(server, &config.pool) {
            Ok(findings) => {
                self.report_server(&findings);
                match distribution::inspect(server, &config.pool) {
                    Ok(Some(Distribution { citus, is_complete: true })) => {
                        self.line("Citus", format_args!("{citus}, distributes the tables"));
                    }
                    Ok(Some(Distribution { citus, is_complete: false })) => {
                        let next = "starting, or `safespace migrate`, distributes the tables";
                        self.line("Citus", format_args!("{citus}; {next}"));
                    }
                    Ok(None) => {}
                    Err(error) => self.problem(StartError::from(error)),
                }
                let (allowed, used) = (findings.max_connections, Store::max_connections(&config.pool));
                if allowed < used {
                    let remedy =
                        "raise max_connections, or the limit of the role or the database, or lower DB_POOL_MAX_SIZE";
                    self.line(
                        "Warning",
                        format_args!(
                            "PostgreSQL allows {allowed} connections, and the service opens up to {used}: {remedy}"
                        ),
                    );
                }
                if let Some(warning) = &findings.settings_warning {
                    self.line("Warning", warning);
                }
                self.durability(server, config);
                if !findings.rights.read_only {
                    self.commit(server, config);
                }
                Some(findings)
            }
            Err(error) => {
                self.problem(StartError::from(error));
                None
            }
        }
    }

    /// Whether PostgreSQL can lose what it has acknowledged.
    fn durability(&mut self, server: &Server, config: &Config) {
        match LossRisk::find(server, &config.pool) {
            Ok(None) if config.pool.is_distributed => self.line("Durability", app::ONLY_COORDINATOR),
            Ok(None) => self.line(
                "Durability",
                "what is acknowledged is on the disk, and on a synchronous standby where there are standbys",
            ),
            Ok(Some(risk)) if app::refuses_risk(config) => self.problem(StartError::LossRisk(risk)),
            Ok(Some(risk)) => {
                self.line("Warning", format_args!("PostgreSQL can lose what it has acknowledged: {risk}"));
            }
            Err(error) => self.problem(StartError::from(error)),
        }
    }

    /// Whether commits are acknowledged.
    fn commit(&mut self, server: &Server, config: &Config) {
        match commit_check::run(server, &config.pool) {
            Ok(true) => {}
            Ok(false) => {
                let seconds = commit_check::TIMEOUT.as_secs();
                self.problem(format_args!(
                    "a commit takes more than {seconds} s: is a synchronous standby connected? (docs/failover.md)"
                ));
            }
            Err(error) => self.problem(StartError::from(error)),
        }
    }

    /// The room for the database, where it can be measured: on the disk of `folder`, and below `DB_MAX_BYTES`.
    fn storage(&mut self, config: &Config, folder: Option<&Path>, server: Option<&ServerStorage>) {
        let StorageSettings { reserve, max_database_bytes } = config.storage;
        let folder = folder.filter(|_| reserve != StorageReserve::Bytes(0));
        let usage = Usage {
            disk: folder.and_then(|folder| Disk::measure(folder, reserve)),
            database_bytes: server.map(|server| server.database_bytes),
            max_database_bytes,
        };
        if usage.disk.is_some() || (max_database_bytes.is_some() && server.is_some()) {
            self.line("Storage", usage);
        } else if reserve == StorageReserve::Bytes(0) {
            self.line("Storage", "no reserve (STORAGE_RESERVE is 0)");
        } else if max_database_bytes.is_none() {
            let grant = "GRANT pg_read_all_settings to the role, if PostgreSQL is on this machine";
            self.line(
                "Warning",
                format_args!("the disk of PostgreSQL cannot be measured: set DB_MAX_BYTES, or {grant}"),
            );
        }
        if usage.is_full(false) {
            self.problem("the storage is full: new sessions and messages would get 503");
        }
        let max_wal = server.map(|server| server.max_wal_bytes);
        if let Some((Disk { reserve, .. }, max_wal)) = usage.disk.zip(max_wal)
            && max_wal > reserve
        {
            let remedy = "PostgreSQL's log can fill the disk while sessions are deleted; lower max_wal_size or set STORAGE_RESERVE";
            let max_wal = max_wal >> 20;
            self.line("Warning", format_args!("max_wal_size, {max_wal} MiB, is more than the reserve: {remedy}"));
        }
    }

    fn report_server(&mut self, findings: &ServerFindings) {
        let tls = findings.tls.as_deref().unwrap_or("no TLS");
        self.line("PostgreSQL", format_args!("{}, {tls}", findings.version));
        self.line("Statements", findings.statements.explanation());
        let (found, known) = (findings.schema.version, migrations::NEWEST);
        let is_served = match findings.schema.ensure_known() {
            Ok(is_served) => is_served,
            Err(error) => return self.problem(StartError::from(error)),
        };
        let version = if found == 0 { "none yet".to_owned() } else { format!("version {found}") };
        let state = match is_served {
            true if found == known => ", current".to_owned(),
            true => format!(", newer than this binary, which knows {known} and works with it"),
            false => format!("; starting, or `safespace migrate`, brings it to version {known}"),
        };
        self.line("Schema", format_args!("{version}{state}"));
        let rights = &findings.rights;
        if rights.read_only || (is_served && !rights.missing.is_empty()) {
            self.problem(format_args!("the database would refuse messages, reports and deleting: {rights}"));
        }
        if !is_served && !rights.may_migrate {
            let remedy = "run `safespace migrate` with a role that owns the schema, then grant this one what docs/setup.md lists";
            self.problem(format_args!("the role may not bring the schema to version {known}; {remedy}"));
        }
    }
}
