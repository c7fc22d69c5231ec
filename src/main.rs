//! The binary: arguments, exit codes, and the wait for a signal.

use std::fmt::Write;
use std::process::{self, ExitCode};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use clap::{Parser, Subcommand};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use safespace::app::{self, App, StartError};
use safespace::check;
use safespace::config::{Config, VARIABLES};
use safespace::logging;
use safespace::store::private::{self, PrivateError, PrivatePostgres};

/// The backend of an anonymous chatbot for people who must not be identified.
///
/// Without any setting it keeps a private PostgreSQL and serves on port 8000.
#[derive(Parser)]
#[command(version, after_long_help = variables_help())]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the service until SIGTERM or SIGINT (the default)
    Serve,
    /// Bring the database's schema up to date and exit
    Migrate,
    /// Check the configuration and the database, say what was found, change nothing
    Check,
}

/// Exit code for a configuration, or arguments, that cannot be used.
const UNUSABLE: u8 = 2;

/// Exit code when a second signal ends the service before it has stopped in order.
const CUT_SHORT: i32 = 130;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let config = match Config::from_environment() {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("safespace: the configuration cannot be used:\n{problems}");
            return ExitCode::from(UNUSABLE);
        }
    };
    logging::start(&config.log);
    let result = match arguments.command.unwrap_or(Command::Serve) {
        Command::Serve => serve(&config),
        Command::Migrate => app::migrate(&config).map(|version| println!("The schema is at version {version}.")),
        Command::Check => check::check(&config).map(|findings| print!("{findings}")),
    };
    match result {
        Ok(()) | Err(StartError::Interrupted | StartError::Private(PrivateError::Interrupted)) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("safespace: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(config: &Config) -> Result<(), StartError> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(StartError::Signals)?;
    for signal in [SIGINT, SIGTERM] {
        flag::register(signal, stop.clone()).map_err(StartError::Signals)?;
    }
    let app = App::start(config, &stop)?;
    print!("{}", app.greeting());
    signals.forever().next();
    log::info!("Stopping");
    let postgres = app.postgres().map(PrivatePostgres::process_id);
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            if let Some(postgres) = postgres {
                private::ask_to_stop(postgres);
            }
            process::exit(CUT_SHORT);
        }
    });
    app.stop();
    log::info!("Stopped");
    Ok(())
}

fn variables_help() -> String {
    let mut help = "Environment variables (also read from .env, except in production):\n".to_owned();
    for variable in VARIABLES {
        let default = if variable.default.is_empty() { String::new() } else { format!(" [{}]", variable.default) };
        let _ = write!(help, "  {}{default}\n          {}\n", variable.name, variable.meaning);
    }
    help.push_str("\nDATABASE_URL and DB_PASSWORD can also be given as files: DATABASE_URL_FILE, DB_PASSWORD_FILE.\n");
    help.push_str("Exit codes: 0 stopped in order, 1 could not start, 2 configuration or arguments cannot be used.\n");
    help
}
