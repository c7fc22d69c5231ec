//! What the role of the service, and every role of the server, may do beyond what serving needs.

use super::checks;
use super::facts::{Facts, Role};
use crate::doctor::finding::Report;

/// `is_production` decides whether the role may own the tables, and others may come into the database.
pub(super) fn judge(facts: &Facts, is_production: bool, report: &mut Report) {
    let missing = &facts.findings.rights.missing;
    if !missing.is_empty() {
        report.find(checks::PRIVILEGES_MISSING, format_args!("the role lacks {}", missing.join("; ")));
    }
    let Role { name, is_superuser, is_owner, attributes, memberships, privileges, public } = &facts.role;
    if *is_superuser {
        report.find(checks::SUPERUSER, format_args!("the role {name} is a superuser"));
    } else if !attributes.is_empty() {
        report.find(checks::ROLE_ATTRIBUTES, format_args!("the role {name} has {}", attributes.join(", ")));
    }
    if !memberships.is_empty() {
        report
            .find(checks::ROLE_MEMBERSHIPS, format_args!("the role {name} is a member of {}", memberships.join(", ")));
    }
    if *is_owner && !is_superuser {
        report.find(checks::OWNER, format_args!("the role {name} owns the tables"));
    } else if !privileges.is_empty() {
        report.find(checks::PRIVILEGES, format_args!("the role {name} has {}", privileges.join("; ")));
    }
    if is_production && !public.is_empty() {
        report.find(checks::PUBLIC, format_args!("PUBLIC has {}", public.join("; ")));
    }
}
