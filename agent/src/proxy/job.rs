//! Writing and loading a configuration, beside the keeper's loop: HAProxy's check and a reload of
//! a thousand namespaces take the better part of a second, and servers must not wait for it.

use std::sync::Arc;

use paasta_agent_core::proxy::{config::Config, seen::Processes};
use paasta_common::{endpoints::EndpointSet, smartstack::Namespace};
use paasta_process::chain::chain;

use super::{
    files::Files,
    process::{Process, ProcessError},
};

/// What is written, and whether it is loaded.
#[derive(Debug, Clone)]
pub(super) struct Job {
    /// The configuration.
    pub(super) config: Arc<Config>,
    /// The set that it is from, as the coordinators sent it.
    pub(super) set: Option<Arc<EndpointSet>>,
    /// Whether it is loaded.
    pub(super) reload: bool,
}

/// How it ended.
#[derive(Debug)]
pub(super) struct JobEnd {
    /// The text of the file now, when it was written.
    pub(super) written: Option<String>,
    /// Whether it was to be loaded.
    pub(super) reload: bool,
    /// The processes after a reload.
    pub(super) processes: Option<Processes>,
    /// Why it did not go well.
    pub(super) failure: Option<String>,
    /// The namespace that HAProxy refuses.
    pub(super) blamed: Option<Namespace>,
}

impl Job {
    /// Checks, writes, loads.
    pub(super) async fn run(self, process: Process, files: Files) -> JobEnd {
        let Self {
            config,
            set,
            reload,
        } = self;
        let mut end = JobEnd {
            written: None,
            reload,
            processes: None,
            failure: None,
            blamed: None,
        };
        match write(&process, &files, &config, set).await {
            Ok(()) => end.written = Some(config.text.clone()),
            Err(error) => {
                end.blamed = blamed(&error, &config.text);
                end.failure = Some(error);
                return end;
            }
        }
        if reload {
            match process.reload().await {
                Ok(processes) => end.processes = Some(processes),
                Err(error) => end.failure = Some(chain(&error)),
            }
        }
        end
    }
}

/// Has the configuration checked and replaces the file.
pub(super) async fn write(
    process: &Process,
    files: &Files,
    config: &Config,
    set: Option<Arc<EndpointSet>>,
) -> Result<(), String> {
    let (in_place, text) = (files.clone(), config.text.clone());
    let candidate = files.candidate();
    let written = tokio::task::spawn_blocking(move || in_place.write_candidate(&text));
    flat(written.await)?;
    match process.check(&candidate).await {
        Ok(()) => {}
        Err(error @ ProcessError::Refused { .. }) => return Err(error.to_string()),
        Err(error) => return Err(chain(&error)),
    }
    let (in_place, text) = (files.clone(), config.text.clone());
    let replaced = tokio::task::spawn_blocking(move || {
        if let Some(set) = set {
            in_place.write_set(&set)?;
        }
        in_place.write_config(&text)
    });
    flat(replaced.await)
}

fn flat(
    result: Result<Result<(), super::files::FileError>, tokio::task::JoinError>,
) -> Result<(), String> {
    match result {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(chain(&error)),
        Err(error) => Err(error.to_string()),
    }
}

/// The namespace whose section holds the first line that HAProxy complains of.
fn blamed(words: &str, text: &str) -> Option<Namespace> {
    let (_, rest) = words.split_once("haproxy.cfg.new:")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let line: usize = digits.parse().ok()?;
    let before: Vec<&str> = text.lines().take(line).collect();
    let heads = before.iter().rev().filter(|line| !line.starts_with(' '));
    let head = heads.into_iter().next()?;
    let name = head
        .strip_prefix("backend ")
        .or_else(|| Some(head.strip_prefix("frontend ")?.split_once(':')?.0))?;
    name.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_namespace_of_a_line_is_found() {
        let text = "global\n    maxconn 1\nfrontend a.main:1\n    mode http\nbackend b.c\n    x\n";
        let words = |line| format!("[ALERT] config : parsing [/x/haproxy.cfg.new:{line}] : no");
        let of = |line| blamed(&words(line), text).map(|one| one.to_string());
        assert_eq!(of(4).as_deref(), Some("a.main"));
        assert_eq!(of(6).as_deref(), Some("b.c"));
        assert_eq!((of(2), of(99).as_deref()), (None, Some("b.c")));
    }
}
