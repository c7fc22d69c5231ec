//! The command line, as clap parses it, and as man page and completions describe it.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::config::VARIABLES;
use crate::doctor::PublicUrl;

/// The backend of an anonymous chatbot for people who must not be identified.
///
/// Without any setting it keeps a private PostgreSQL and serves on port 8000.
#[derive(Parser)]
#[command(version, after_long_help = variables_help())]
pub struct Arguments {
    /// `serve` if there is none.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the program does.
#[derive(Clone, Subcommand)]
pub enum Command {
    /// Run the service until SIGTERM or SIGINT (the default)
    Serve,
    /// Bring the database's schema up to date and exit
    Migrate {
        /// Also have Citus distribute the tables, as with DB_DISTRIBUTE=citus, which the service needs from then on
        #[arg(long)]
        distributed: bool,
    },
    /// Check whether the service would serve: the configuration, the database, the role; print the findings, change nothing
    Check {
        /// Also send a fixed sentence to the companion, and print what it answers
        #[arg(long)]
        ask: bool,
    },
    /// Read the running deployment: PostgreSQL, the machine, the service, its proxy; print each fault with its remedy, change nothing
    ///
    /// Run it with the settings of the service. Two requests for sessions that do not exist are sent to each address.
    Doctor {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
        /// Also ask the service at the address that people use, such as https://chat.example
        #[arg(long, value_name = "URL")]
        public_url: Option<PublicUrl>,
        /// Also search this log file or folder for ids of sessions; may be repeated
        #[arg(long, value_name = "PATH")]
        logs: Vec<PathBuf>,
    },
    /// Bring the data of the private PostgreSQL to a newer major version; stop the service first
    ///
    /// The old data is kept until `safespace upgrade-data --delete-old`.
    UpgradeData {
        /// Folder of the programs of the version that made the data; if not given, SafeSpace searches for them
        #[arg(long, value_name = "FOLDER")]
        old_bin: Option<PathBuf>,
        /// Folder of the programs of the new version; if not given, PG_BIN or the newest
        #[arg(long, value_name = "FOLDER")]
        new_bin: Option<PathBuf>,
        /// Delete the data that an upgrade has kept, and do nothing else; the service may run
        #[arg(long, conflicts_with_all = ["old_bin", "new_bin"])]
        delete_old: bool,
    },
    /// Search the database, its files, and given logs and dumps for what is left of a session; change nothing
    ///
    /// Standard input has the session's id or recovery code in its first line, and in each further line a word or sentence to look
    /// for. Nothing of it is printed. Exit codes: 0 nothing is left but ciphertext that nobody can open without the id; 1 rows are
    /// there, or something that can be read; 2 nothing was found, and something could not be looked at.
    VerifyErasure {
        /// Data folder of PostgreSQL, or of the private one; if not given, that of the database, if it is on this machine
        #[arg(long, value_name = "FOLDER")]
        data_folder: Option<PathBuf>,
        /// Do not look at PostgreSQL's files
        #[arg(long, conflicts_with = "data_folder")]
        without_data_folder: bool,
        /// Also look at archived segments of the write-ahead log: a file or a folder; may be repeated
        #[arg(long, value_name = "PATH")]
        wal_archive: Vec<PathBuf>,
        /// Also look at log files, of the service, of PostgreSQL, of a proxy: a file or a folder; may be repeated
        #[arg(long, value_name = "PATH")]
        log: Vec<PathBuf>,
        /// Also look at dumps and backups, also compressed ones (gzip, tar): a file or a folder; may be repeated
        #[arg(long, value_name = "PATH")]
        dump: Vec<PathBuf>,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

fn variables_help() -> String {
    let mut help = "Environment variables (also read from .env, except in production):\n".to_owned();
    for variable in VARIABLES {
        let default = if variable.default.is_empty() { String::new() } else { format!(" [{}]", variable.default) };
        let _ = write!(help, "  {}{default}\n          {}\n", variable.name, variable.meaning);
    }
    let secrets: Vec<String> =
        VARIABLES.iter().filter(|variable| variable.secret).map(|variable| format!("{}_FILE", variable.name)).collect();
    let _ = writeln!(help, "\nSecrets can also be given as files: {}.", secrets.join(", "));
    help.push_str(
        "Exit codes: 0 done, or stopped in order; 1 it could not start, `check` found why it would not serve, or `doctor` a serious fault; \
         2 the configuration or the arguments cannot be used; 130 a second signal ended it at once. `verify-erasure` has codes of its own.
",
    );
    help
}
