//! What PostgreSQL's own log, and libraries in PostgreSQL, tell of statements.

use super::checks;
use super::facts::Settings;
use crate::doctor::finding::Report;

/// Libraries that keep nothing of statements, or that have a check of their own.
const KNOWN_LIBRARIES: [&str; 7] =
    ["auto_explain", "citus", "passwordcheck", "pg_prewarm", "pg_stat_statements", "pgaudit", "auth_delay"];

/// Permissions of users that are neither the owner nor in the group.
const OTHERS: u32 = 0o007;

pub(super) fn judge(settings: &Settings, report: &mut Report) {
    statements(settings, report);
    errors(settings, report);
    libraries(settings, report);
    let printed = ["debug_print_parse", "debug_print_rewritten", "debug_print_plan"];
    let printed: Vec<&str> = printed.into_iter().filter(|name| settings.is(name, "on")).collect();
    if !printed.is_empty() {
        report.find(checks::DEBUG_PRINT, format_args!("{} is on", printed.join(", ")));
    }
    let mode = settings.get("log_file_mode").and_then(|mode| u32::from_str_radix(mode, 8).ok());
    if let Some(mode) = mode.filter(|mode| mode & OTHERS != 0 && settings.is("logging_collector", "on")) {
        report.find(checks::LOG_FILE_MODE, format_args!("log_file_mode is {mode:04o}"));
    }
}

/// Statements that succeed.
fn statements(settings: &Settings, report: &mut Report) {
    let before = report.findings.len();
    if let Some(kind) = settings.get("log_statement").filter(|kind| *kind != "none") {
        report.find(checks::LOG_STATEMENT, format_args!("log_statement is {kind}"));
    }
    if let Some(limit) = settings.number("log_min_duration_statement").filter(|limit| *limit >= 0.0) {
        report.find(checks::LOG_MIN_DURATION_STATEMENT, format_args!("log_min_duration_statement is {limit} ms"));
    }
    let rate = |name| settings.number(name).filter(|rate| *rate > 0.0);
    let sampled = settings.number("log_min_duration_sample").filter(|limit| *limit >= 0.0);
    if let (Some(limit), Some(rate)) = (sampled, rate("log_statement_sample_rate")) {
        let what = format_args!("log_min_duration_sample is {limit} ms, log_statement_sample_rate {rate}");
        report.find(checks::LOG_SAMPLE, what);
    }
    if let Some(rate) = rate("log_transaction_sample_rate") {
        report.find(checks::LOG_SAMPLE, format_args!("log_transaction_sample_rate is {rate}"));
    }
    // PostgreSQL 12 has no such setting, and logs all values.
    let length = settings.get("log_parameter_max_length").unwrap_or("-1");
    if report.findings.len() > before && length != "0" {
        let what = format_args!("log_parameter_max_length is {length}, and statements are logged");
        report.find(checks::LOG_PARAMETERS, what);
    }
    if settings.is("log_duration", "on") {
        report.find(checks::LOG_DURATION, "log_duration is on");
    }
}

/// Statements that fail.
fn errors(settings: &Settings, report: &mut Report) {
    if let Some(level) = settings.get("log_min_error_statement").filter(|level| !["fatal", "panic"].contains(level)) {
        report.find(checks::LOG_MIN_ERROR_STATEMENT, format_args!("log_min_error_statement is {level}"));
    }
    if let Some(verbosity) = settings.get("log_error_verbosity").filter(|verbosity| *verbosity != "terse") {
        report.find(checks::LOG_ERROR_VERBOSITY, format_args!("log_error_verbosity is {verbosity}"));
    }
    if let Some(length) = settings.get("log_parameter_max_length_on_error").filter(|length| *length != "0") {
        let what = format_args!("log_parameter_max_length_on_error is {length}");
        report.find(checks::LOG_PARAMETERS_ON_ERROR, what);
    }
}

fn libraries(settings: &Settings, report: &mut Report) {
    // The settings of a library are there once it is loaded.
    if let Some(limit) = settings.number("auto_explain.log_min_duration").filter(|limit| *limit >= 0.0) {
        report.find(checks::AUTO_EXPLAIN, format_args!("auto_explain.log_min_duration is {limit} ms"));
    }
    if let Some(classes) = settings.get("pgaudit.log").filter(|classes| !["", "none"].contains(classes)) {
        report.find(checks::PGAUDIT, format_args!("pgaudit.log is {classes}"));
    }
    if let Some(role) = settings.get("pgaudit.role").filter(|role| !role.is_empty()) {
        report.find(checks::PGAUDIT, format_args!("pgaudit.role is {role}"));
    }
    if let Some(track) = settings.get("pg_stat_statements.track").filter(|track| *track != "none") {
        report.find(checks::STAT_STATEMENTS, format_args!("pg_stat_statements.track is {track}"));
    }
    let Some(libraries) = settings.libraries() else {
        return report.skip(
            "which libraries PostgreSQL loads",
            "the role may not see it",
            "GRANT pg_read_all_settings to the role, or read shared_preload_libraries as a superuser",
        );
    };
    let unknown: Vec<&str> = libraries.into_iter().filter(|name| !KNOWN_LIBRARIES.contains(name)).collect();
    if !unknown.is_empty() {
        report.find(checks::LIBRARY, format_args!("PostgreSQL loads {}", unknown.join(", ")));
    }
}
