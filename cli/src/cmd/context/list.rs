//! `paasta context list`: the contexts, a line each.

use paasta_common::id::ContextName;
use paasta_identity::context::{ContextError, Contexts};
use paasta_process::chain::chain;
use serde::Serialize;

use crate::{
    cmd::Context,
    exit::Exit,
    render::{
        self,
        table::{Field, field},
    },
    terminal::note,
};

/// A context, for `--json`.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    current: bool,
    cluster: String,
    coordinators: Vec<String>,
    tls: bool,
    error: String,
}

/// Prints every context. One that cannot be read is shown with its error, and hides no other.
///
/// # Errors
/// The directory cannot be read, or standard output is gone.
pub fn run(contexts: &Contexts, context: &Context) -> anyhow::Result<Exit> {
    let names = contexts.list()?;
    let current = match contexts.current() {
        Ok(current) => current,
        Err(error) => {
            note(&chain(&error));
            None
        }
    };
    let rows = names.iter().map(|name| {
        let current = current.as_ref() == Some(name);
        row(name, current, contexts.load(name))
    });
    let rows: Vec<Row> = rows.collect();
    match context.global.json {
        true => context.print_json(&rows)?,
        false if rows.is_empty() => {
            note("there is no context; `paasta context add` makes one");
        }
        false => {
            let head = ["", "NAME", "CLUSTER", "TLS", "COORDINATORS"];
            let lines = rows.iter().map(line).collect();
            context.print(&render::table::table(&context.view, 0, &head, lines))?;
        }
    }
    for row in rows.iter().filter(|row| !row.error.is_empty()) {
        note(&format!("context {}: {}", row.name, row.error));
    }
    match current.filter(|current| !names.contains(current)) {
        Some(gone) => {
            note(&format!(
                "the current context {gone} does not exist: `paasta context use NAME` chooses one"
            ));
            Ok(Exit::Failed)
        }
        None if rows.iter().any(|row| !row.error.is_empty()) => Ok(Exit::Failed),
        None => Ok(Exit::Ok),
    }
}

fn row(
    name: &ContextName,
    current: bool,
    loaded: Result<paasta_identity::context::Context, ContextError>,
) -> Row {
    let name = name.to_string();
    match loaded {
        Ok(loaded) => Row {
            name,
            current,
            cluster: loaded.cluster.to_string(),
            coordinators: loaded
                .coordinators
                .iter()
                .map(ToString::to_string)
                .collect(),
            tls: loaded.tls.is_some(),
            error: String::new(),
        },
        Err(error) => Row {
            name,
            current,
            cluster: String::new(),
            coordinators: Vec::new(),
            tls: false,
            error: chain(&error),
        },
    }
}

fn line(row: &Row) -> Vec<Field> {
    vec![
        field(if row.current { "*" } else { "" }),
        field(&row.name),
        field(&row.cluster),
        field(match (row.error.is_empty(), row.tls) {
            (false, _) => "",
            (true, true) => "yes",
            (true, false) => "no",
        }),
        field(match row.error.is_empty() {
            true => row.coordinators.join(","),
            false => "cannot be used".to_owned(),
        }),
    ]
}
