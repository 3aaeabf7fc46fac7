//! Limits and events as tables.

use paasta_common::{id, image, soa};
use paasta_coordinator_core::state::{event, history, overrides, problems, versions};
use paasta_proto::bounds::TABLE;

const HEAD: &str = "| what | limit |\n|---|---|\n";

fn table(rows: &[(&str, String)]) -> String {
    let rows = rows
        .iter()
        .map(|(what, limit)| format!("| {what} | {limit} |\n"));
    format!("{HEAD}{}", rows.collect::<String>())
}

/// Bytes in the largest unit that leaves no rest.
fn bytes(count: usize) -> String {
    match count {
        count if count >= 1 << 20 && count % (1 << 20) == 0 => format!("{} MiB", count >> 20),
        count if count >= 1 << 10 && count % (1 << 10) == 0 => format!("{} KiB", count >> 10),
        count => format!("{count} bytes"),
    }
}

/// What the ring of events holds.
pub(crate) fn of_events() -> String {
    table(&[
        ("events that are kept", event::EVENTS_MAX.to_string()),
        (
            "of them, of the kind `failure`",
            event::FAILURES_MAX.to_string(),
        ),
        ("text of an event", bytes(event::EVENT_TEXT_BYTES_MAX)),
    ])
}

/// The limits that an operator or an author can meet.
pub(crate) fn of_programs() -> String {
    let file = |limit: u64| bytes(usize::try_from(limit).expect("it fits"));
    table(&[
        (
            "name of a service, an instance or a cluster",
            bytes(id::NAME_BYTES_MAX),
        ),
        ("name of an image", bytes(image::NAME_MAX)),
        ("tag of an image", bytes(image::TAG_MAX)),
        ("file of yelpsoa-configs", file(soa::files::FILE_BYTES_MAX)),
        (
            "nodes of a YAML file, aliases expanded",
            soa::yaml::NODES_MAX.to_string(),
        ),
        ("depth of a YAML file", soa::yaml::DEPTH_MAX.to_string()),
        (
            "instances of a service",
            soa::reader::INSTANCES_MAX.to_string(),
        ),
        (
            "entries of the yelpsoa-configs directory",
            soa::reader::ENTRIES_MAX.to_string(),
        ),
        (
            "`deployments.json` of a service",
            file(soa::reader::DEPLOYMENTS_BYTES_MAX),
        ),
        (
            "versions of a service by git",
            bytes(versions::VERSIONS_BYTES_MAX),
        ),
        (
            "problems that are shown of a service",
            problems::PROBLEMS_MAX.to_string(),
        ),
        (
            "changes in the history of an instance",
            history::CHANGES_MAX.to_string(),
        ),
        (
            "replicas of an instance by an override",
            overrides::INSTANCES_MAX.to_string(),
        ),
        (
            "of them, times the configured number",
            overrides::SCALE_FACTOR_MAX.to_string(),
        ),
        (
            "connections of HTTP to a daemon",
            paasta_process::http::CONNECTIONS_MAX.to_string(),
        ),
        (
            "output of one git command",
            file(paasta_process::git::OUTPUT_BYTES_MAX),
        ),
        (
            "command that is replicated",
            bytes(paasta_coordinator::raft::MAX_COMMAND_BYTES),
        ),
        (
            "`paasta logs` that one coordinator serves at a time",
            paasta_coordinator::rpc::logs::READERS_MAX.to_string(),
        ),
        (
            "line of captured output, with its time",
            bytes(paasta_agent::logs::store::LINE_MAX),
        ),
    ])
}

/// How much each field of a request may hold.
pub(crate) fn of_requests() -> String {
    let rows = TABLE.iter().map(|(field, bound)| {
        let items = match bound.items {
            1 => "1".to_owned(),
            items => format!("up to {items}"),
        };
        let size = match bound.bytes {
            0 => "-".to_owned(),
            size => bytes(size),
        };
        format!("| `{field}` | {items} | {size} |\n")
    });
    format!(
        "| field | values | bytes of each |\n|---|---|---|\n{}",
        rows.collect::<String>()
    )
}

/// The variants of an enum in `source`, in snake case, with their doc comments.
pub(crate) fn words(source: &str, name: &str) -> String {
    let begin = format!("pub enum {name} {{\n");
    let body = source.split_once(&begin).map_or("", |(_, rest)| rest);
    let mut rows = "| kind | meaning |\n|---|---|\n".to_owned();
    let mut about = String::new();
    for line in body.lines().map(str::trim).take_while(|line| *line != "}") {
        if let Some(text) = line.strip_prefix("/// ") {
            about = format!("{about} {text}");
            continue;
        }
        let Some(variant) = line.strip_suffix(',') else {
            continue;
        };
        let mut word = String::new();
        for one in variant.chars() {
            if one.is_ascii_uppercase() && !word.is_empty() {
                word.push('_');
            }
            word.push(one.to_ascii_lowercase());
        }
        rows.push_str(&format!("| `{word}` | {} |\n", about.trim()));
        about.clear();
    }
    rows
}
