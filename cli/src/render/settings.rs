//! Whose files differ from the settings of the cluster, and what it would do to apply them.

use paasta_common::text::count_of;
use paasta_proto::{
    v1::{DiffSettingsResponse, SettingsState},
    words::shown,
};

use super::{
    Tone, View,
    lines::Lines,
    plain,
    table::{field, table},
    time,
};

/// Renders the coordinators and the preview.
pub fn render(answer: &DiffSettingsResponse, view: &View) -> String {
    let mut lines = Lines::new(view);
    match answer.settings.is_empty() {
        true => lines.raw("no settings are in force yet: the first leader's will be"),
        false => {
            let since = time::moment_and_distance(answer.since_ms, answer.now_ms, view);
            let text = format!("since {since}, by {}: {}", answer.by, answer.why);
            lines.add("in force ", &plain(&text), 9);
        }
    }
    for one in &answer.coordinators {
        let tone = match SettingsState::try_from(one.state) {
            Ok(SettingsState::Same) => Tone::Good,
            Ok(SettingsState::Differs | SettingsState::Unknown | SettingsState::Unspecified)
            | Err(_) => Tone::Bad,
        };
        let state = view.paint(tone, &shown::<SettingsState>(one.state));
        lines.add(
            &format!("coordinator {} ({}): ", one.id, one.address),
            &state,
            2,
        );
        for differs in &one.differences {
            let text = format!(
                "{} in force, {} in its files",
                differs.cluster, differs.file
            );
            lines.add(&format!("  {}: ", differs.key), &plain(&text), 6);
        }
    }
    if answer.from == 0 {
        return lines.finish();
    }
    lines.raw("");
    let (from, count) = (answer.from, answer.bounces.len());
    let text = match count {
        0 => format!("to apply the files of coordinator {from} would bounce nothing"),
        count => {
            format!(
                "to apply the files of coordinator {from} would bounce {}:",
                count_of(count, "instance")
            )
        }
    };
    lines.raw(&text);
    if count > 0 {
        let rows = answer.bounces.iter();
        let rows = rows.map(|one| vec![field(&one.instance), field(one.replicas)]);
        lines.block(
            2,
            &table(view, 2, &["INSTANCE", "REPLICAS"], rows.collect()),
        );
    }
    for one in &answer.refused {
        let text = format!("could not run with it, and stays as it is: {}", one.why);
        lines.add(&format!("{}: ", one.instance), &plain(&text), 4);
    }
    lines.finish()
}

#[cfg(test)]
mod tests {
    use paasta_proto::v1::{
        BouncingInstance, CoordinatorSettings, RefusedInstance, SettingDifference,
    };

    use super::*;
    use crate::render::view_80;

    fn coordinator(id: u64, state: SettingsState) -> CoordinatorSettings {
        CoordinatorSettings {
            id,
            address: format!("c{id}:7401"),
            state: state.into(),
            state_word: String::new(),
            differences: Vec::new(),
        }
    }

    #[test]
    fn what_differs_and_what_would_bounce_is_named() {
        let mut answer = DiffSettingsResponse {
            settings: "{}".to_owned(),
            since_ms: 1_000_000_000_000,
            by: "ann@desk".to_owned(),
            why: "a test".to_owned(),
            coordinators: vec![
                coordinator(1, SettingsState::Same),
                coordinator(2, SettingsState::Differs),
            ],
            now_ms: 1_000_000_060_000,
            ..DiffSettingsResponse::default()
        };
        answer.coordinators[1].differences.push(SettingDifference {
            key: "docker_registry".to_owned(),
            cluster: "\"a:5000\"".to_owned(),
            file: "\"b:5000\"".to_owned(),
        });
        let short = render(&answer, &view_80());
        assert!(short.contains("by ann@desk: a test"), "{short}");
        assert!(
            short.contains("coordinator 2 (c2:7401): differs"),
            "{short}"
        );
        assert!(
            short.contains("docker_registry: \"a:5000\" in force, \"b:5000\" in its files"),
            "{short}"
        );
        answer.from = 2;
        assert!(render(&answer, &view_80()).contains("would bounce nothing"));
        answer.bounces.push(BouncingInstance {
            instance: "hello.main".to_owned(),
            replicas: 3,
        });
        answer.refused.push(RefusedInstance {
            instance: "bye.main".to_owned(),
            why: "no registry".to_owned(),
        });
        let long = render(&answer, &view_80());
        assert!(long.contains("would bounce 1 instance:"), "{long}");
        assert!(long.contains("hello.main  3"), "{long}");
        assert!(long.contains("bye.main: could not run with it"), "{long}");
    }
}
