//! The join tokens, without their secrets.

use paasta_proto::{
    v1::{self, ListTokensResponse, TokenInfo, TokenState},
    words::shown,
};

use super::{
    Tone, View,
    lines::Lines,
    table::{Field, field, table},
    time,
};

/// Renders a row for each token.
pub fn render(answer: &ListTokensResponse, view: &View) -> String {
    let mut lines = Lines::new(view);
    if answer.tokens.is_empty() {
        lines.add("", "no join tokens; `paasta token create` makes one", 0);
        return lines.finish();
    }
    let rows = answer.tokens.iter().map(|token| row(token, answer.now_ms));
    let head = [
        "ID",
        "FOR",
        "STATE",
        "USES LEFT",
        "EXPIRES",
        "MADE BY",
        "NOTE",
    ];
    lines.block(0, &table(view, 0, &head, rows.collect()));
    lines.finish()
}

fn row(token: &TokenInfo, now_ms: u64) -> Vec<Field> {
    let tone = match token.state() {
        TokenState::Usable => Tone::Good,
        _ => Tone::Faint,
    };
    let state = shown::<TokenState>(token.state);
    let mut joiner = match token.principal.is_empty() {
        true => shown::<v1::Joiner>(token.joiner).into_owned(),
        false => token.principal.clone(),
    };
    if token.replace {
        joiner.push_str(", replaces");
    }
    vec![
        field(&token.id),
        field(joiner),
        (state.into_owned(), Some(tone)),
        field(token.uses_left),
        field(time::distance(token.expires_ms, now_ms)),
        field(&token.created_by),
        field(&token.note),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::view_80;

    #[test]
    fn tokens_are_listed_with_what_they_let_in() {
        let mut answer = ListTokensResponse {
            tokens: vec![TokenInfo {
                id: "abcd234".to_owned(),
                joiner: v1::Joiner::Agent.into(),
                state: TokenState::Usable.into(),
                uses_left: 3,
                expires_ms: 3_600_000,
                created_by: "alice".to_owned(),
                ..TokenInfo::default()
            }],
            now_ms: 0,
        };
        let text = render(&answer, &view_80());
        assert!(
            text.contains("abcd234  agent  usable  3          in 1h    alice"),
            "{text}"
        );
        answer.tokens.clear();
        assert!(render(&answer, &view_80()).contains("no join tokens"));
    }
}
