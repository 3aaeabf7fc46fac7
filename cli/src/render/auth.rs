//! Principals: roles, scopes, until when.

use paasta_proto::{
    v1::{ListPrincipalsResponse, Principal, PrincipalRole},
    words::shown,
};

use super::{
    Tone, View,
    lines::Lines,
    plain,
    table::{field, table},
    time,
};

/// A table of the principals.
pub fn list(answer: &ListPrincipalsResponse, view: &View) -> String {
    if answer.open {
        return "there is no principal yet: every certificate of the role admin counts, and no \
                other one; `paasta auth grant NAME --role ROLE` makes the first\n"
            .to_owned();
    }
    let rows = answer.principals.iter().map(|one| {
        vec![
            field(plain(&one.name)),
            field(shown::<PrincipalRole>(one.role)),
            field(scopes(one)),
            field(ends(one, answer.now_ms, view)),
            field(plain(&one.note)),
        ]
    });
    let head = ["NAME", "ROLE", "SCOPES", "UNTIL", "NOTE"];
    table(view, 0, &head, rows.collect())
}

/// One principal, a line each.
pub fn show(one: &Principal, now_ms: u64, view: &View) -> String {
    let mut lines = Lines::new(view);
    let moment = |ms| time::moment_and_distance(ms, now_ms, view);
    let role = shown::<PrincipalRole>(one.role);
    let mut add = |name: &str, text: &str| lines.add(&format!("{name:<10}"), text, 10);
    add("name", &plain(&one.name));
    add("role", &role);
    add("scopes", &scopes(one));
    add("until", &ends(one, now_ms, view));
    if one.not_before_ms > 0 {
        let text = format!("certificates issued since {}", moment(one.not_before_ms));
        add("counts", &text);
    }
    add(
        "made",
        &format!("{}, by {}", moment(one.created_ms), plain(&one.created_by)),
    );
    add(
        "changed",
        &format!("{}, by {}", moment(one.changed_ms), plain(&one.changed_by)),
    );
    if !one.note.is_empty() {
        add("note", &plain(&one.note));
    }
    lines.finish()
}

fn scopes(one: &Principal) -> String {
    match one.role() {
        PrincipalRole::Admin => "everything".to_owned(),
        PrincipalRole::Metrics => "metrics".to_owned(),
        PrincipalRole::Deployer | PrincipalRole::Reader | PrincipalRole::Unspecified => {
            match one.scopes.is_empty() {
                true => "nothing".to_owned(),
                false => plain(&one.scopes.join(", ")),
            }
        }
    }
}

fn ends(one: &Principal, now_ms: u64, view: &View) -> String {
    match one.expires_ms {
        0 => "revoked".to_owned(),
        at if at <= now_ms => view.paint(Tone::Bad, "expired"),
        at => time::moment_and_distance(at, now_ms, view),
    }
}
