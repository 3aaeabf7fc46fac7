//! The identities that are revoked, and this command's own certificate.

use paasta_proto::v1::ListRevokedResponse;

use super::{
    View,
    lines::Lines,
    plain,
    table::{field, table},
    time,
};

/// Renders a row for each identity that is revoked.
pub fn render(answer: &ListRevokedResponse, view: &View) -> String {
    let mut lines = Lines::new(view);
    if answer.identities.is_empty() {
        lines.add("", "No identity is revoked.", 0);
        return lines.finish();
    }
    let rows = answer.identities.iter().map(|one| {
        let which = match one.whole {
            true => "all",
            false => "from before",
        };
        vec![
            field(plain(&one.identity)),
            field(which),
            field(time::distance(one.before_ms, answer.now_ms)),
            field(plain(&one.by)),
            field(plain(&one.reason)),
        ]
    });
    let head = ["IDENTITY", "CERTIFICATES", "SINCE", "BY", "WHY"];
    lines.block(0, &table(view, 0, &head, rows.collect()));
    lines.finish()
}

#[cfg(test)]
mod tests {
    use paasta_proto::v1::RevokedIdentity;

    use super::*;
    use crate::render::view_80;

    #[test]
    fn each_identity_is_named_with_what_is_void() {
        let answer = ListRevokedResponse::default();
        assert_eq!(render(&answer, &view_80()), "No identity is revoked.\n");
        let one = |identity: &str, whole| RevokedIdentity {
            identity: identity.to_owned(),
            whole,
            before_ms: 1_000,
            by: "alice".to_owned(),
            reason: "stolen".to_owned(),
            ends_ms: 9_000,
        };
        let answer = ListRevokedResponse {
            identities: vec![one("agent/h1", true), one("admin/bob", false)],
            now_ms: 31_000,
        };
        let text = render(&answer, &view_80());
        let rows: Vec<&str> = text.lines().collect();
        assert!(rows[0].starts_with("IDENTITY"), "{text}");
        assert!(
            rows[1].contains("agent/h1") && rows[1].contains("all"),
            "{text}"
        );
        assert!(
            rows[2].contains("from before") && rows[2].contains("stolen"),
            "{text}"
        );
    }
}
