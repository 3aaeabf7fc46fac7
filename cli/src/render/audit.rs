//! Records of the audit log, a line each: when, what came of it, by what caller, to what.

use paasta_proto::{
    v1::{AuditOutcome, AuditRecord},
    words::shown,
};

use super::{Tone, View, lines::Lines, plain, time};

/// The records, oldest first.
pub fn render(records: &[AuditRecord], view: &View) -> String {
    let mut lines = Lines::new(view);
    for record in records {
        let at = view.paint(Tone::Faint, &time::moment(record.at_ms, view));
        lines.add(&format!("{at} "), &text(record, view), 4);
    }
    lines.finish()
}

fn text(record: &AuditRecord, view: &View) -> String {
    let outcome = shown::<AuditOutcome>(record.outcome);
    let outcome = match record.outcome() {
        AuditOutcome::Done | AuditOutcome::Unchanged => outcome.into_owned(),
        AuditOutcome::Denied | AuditOutcome::Refused => view.paint(Tone::Fair, &outcome),
        AuditOutcome::Failed
        | AuditOutcome::Unknown
        | AuditOutcome::Lost
        | AuditOutcome::Unspecified => view.paint(Tone::Bad, &outcome),
    };
    let mut text = format!("[{outcome}] {}", plain(&record.by));
    if !record.peer.is_empty() {
        text.push_str(&format!(" from {}", plain(&record.peer)));
    }
    if !record.via.is_empty() {
        text.push_str(&format!(" by way of {}", plain(&record.via)));
    }
    if !record.method.is_empty() {
        text.push_str(&format!(": {}", plain(&record.method)));
    }
    let named = record.objects.join(", ");
    if !named.is_empty() {
        text.push_str(&format!(" {}", plain(&named)));
    }
    let shown = u32::try_from(record.objects.len()).unwrap_or(u32::MAX);
    let more = record.objects_total.saturating_sub(shown);
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    if !record.text.is_empty() {
        text.push_str(&format!(": {}", plain(&record.text)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::view_80;

    #[test]
    fn a_record_shows_who_did_what_and_what_came_of_it() {
        let record = AuditRecord {
            at_ms: 1_763_903_405_000,
            by: "deployer/ci".to_owned(),
            principal: "deployer/ci".to_owned(),
            peer: "10.0.0.9".to_owned(),
            method: "Deploys.Override".to_owned(),
            objects: vec!["web.main".to_owned()],
            objects_total: 3,
            outcome: AuditOutcome::Denied.into(),
            text: "\"web.main\" is not in its scope (api)".to_owned(),
            ..AuditRecord::default()
        };
        assert_eq!(
            render(&[record], &view_80()),
            "2025-11-23 13:10:05 [denied] deployer/ci from 10.0.0.9: Deploys.Override\n    \
             web.main and 2 more: \"web.main\" is not in its scope (api)\n"
        );
    }
}
