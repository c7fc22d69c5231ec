//! What the settings of the service, and the files that they name, say.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use log::LevelFilter;

use super::checks;
use super::model::{self, Place};
use crate::companion;
use crate::config::{AllowedOrigins, Config, Environment, LogSettings, ProofOfWork, VARIABLES};
use crate::doctor::finding::Report;
use crate::report::Templates;
use crate::resources::Registry;
use crate::web::Site;

pub(in crate::doctor) fn judge(config: &Config, today: NaiveDate) -> Report {
    let mut report = Report::default();
    network(config, &mut report);
    protection(config, &mut report);
    retention(config, &mut report);
    texts(config, today, &mut report);
    if let Some(model) = &config.companion.model {
        model::judge(model, &mut report);
    }
    report
}

fn network(config: &Config, report: &mut Report) {
    if config.environment == Environment::Development {
        report.find(checks::DEVELOPMENT, "ENVIRONMENT is development");
    }
    if let AllowedOrigins::Listed(origins) = &config.allowed_origins {
        for origin in origins.iter().filter(|origin| origin.starts_with("http://")) {
            report.find(checks::CORS_PLAIN, format_args!("CORS_ALLOWED_ORIGINS has {origin}"));
        }
    }
    if let Some(address) = &config.metrics
        && model::place(&address.host, address.port).is_none_or(|place| place == Place::Public)
    {
        report.find(checks::METRICS, format_args!("the metrics are at {address}"));
    }
    let is_everywhere = config.http.address.host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_unspecified());
    if config.environment == Environment::Production && is_everywhere && config.protection.trusted_proxies.is_empty() {
        let host = &config.http.address.host;
        report.find(checks::EXPOSED, format_args!("APP_HOST is {host}, and TRUSTED_PROXIES is not set"));
    }
}

fn protection(config: &Config, report: &mut Report) {
    if !config.protection.rate_limit {
        report.find(checks::RATE_LIMIT, "RATE_LIMIT is off");
    }
    if config.protection.proof_of_work == ProofOfWork::Off {
        report.find(checks::PROOF_OF_WORK, "PROOF_OF_WORK is off");
    }
    if config.is_loss_accepted {
        report.find(checks::LOSS_ACCEPTED, "DB_LOSS_ACCEPTED is true");
    }
    let level = log_level(&config.log);
    if level > LevelFilter::Info {
        report
            .find(checks::LOG_LEVEL, format_args!("the log has lines of the level {}", level.as_str().to_lowercase()));
    }
}

/// The least severe level that is logged of anything.
fn log_level(settings: &LogSettings) -> LevelFilter {
    let filter = settings.filter.as_ref().map(|text| env_filter::Builder::new().parse(text).build().filter());
    filter.unwrap_or(settings.level)
}

fn retention(config: &Config, report: &mut Report) {
    let settings = &config.retention;
    for (name, seconds) in
        [("SESSION_IDLE_TIMEOUT", settings.idle_timeout_seconds), ("SESSION_MAX_AGE", settings.max_age_seconds)]
    {
        let default = VARIABLES.iter().find(|variable| variable.name == name);
        let default = default.and_then(|variable| variable.default.parse().ok()).unwrap_or(i32::MAX);
        if seconds > default {
            report.find(
                checks::RETENTION,
                format_args!("{name} is {seconds}, more than the default of {default} seconds"),
            );
        }
    }
}

fn texts(config: &Config, today: NaiveDate, report: &mut Report) {
    overridden(config, report);
    let resources = match Registry::load(config.texts.resources.as_deref()) {
        Ok(resources) => Arc::new(resources),
        Err(error) => return report.find(checks::FILE_UNUSABLE, error),
    };
    let days = config.texts.resources_max_age_days;
    let (unverified, all) = (resources.unverified(days, today).len(), resources.resources.len());
    if unverified > 0 {
        let what = format_args!("{unverified} of {all} help lines were not verified in the last {days} days");
        report.find(checks::HELP_LINES, what);
    }
    for number in companion::warnings(&config.companion, &resources) {
        report.find(checks::HARD_CODED_NUMBERS, number);
    }
    match companion::build(&config.companion, &resources) {
        Ok(companion) if !companion.can_classify() => {
            report.find(checks::DANGER_WORDS, "the script has no words of danger");
        }
        Ok(_) => {}
        Err(error) => report.find(checks::FILE_UNUSABLE, error),
    }
    match Templates::load(config.texts.report_templates.as_deref(), &resources) {
        Ok(templates) if templates.reviewed().is_none() => report.find(checks::REPORT_TEXTS, Templates::NOT_REVIEWED),
        Ok(_) => {}
        Err(error) => report.find(checks::FILE_UNUSABLE, error),
    }
    if let Err(error) = Site::load(&config.web, config.retention, config.companion.model_host()) {
        report.find(checks::FILE_UNUSABLE, error);
    }
}

/// The files of texts that are not the embedded ones, with the day of their last change. That of `RESOURCES` is judged by its dates.
fn overridden(config: &Config, report: &mut Report) {
    for (variable, path) in config.text_files().into_iter().filter(|(variable, _)| *variable != "RESOURCES") {
        let day = changed_on(path).map_or(String::new(), |day| format!(", changed on {day}"));
        report.find(checks::OVERRIDDEN, format_args!("{variable} is {}{day}", path.display()));
    }
}

fn changed_on(path: &Path) -> Option<NaiveDate> {
    let changed = fs::metadata(path).ok()?.modified().ok()?;
    Some(DateTime::<Utc>::from(changed).date_naive())
}
