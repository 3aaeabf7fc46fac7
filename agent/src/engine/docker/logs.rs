//! What a container wrote, as dockerd keeps it: from its files where this process may read them,
//! else by its API, which loses some of what is written while a file is rotated.

use std::{fs::File, io, path::PathBuf, time::Duration};

use bollard::{container::LogOutput, query_parameters::LogsOptions};
use futures_util::{StreamExt, stream};
use paasta_process::simulated;
use tokio::time::sleep;

use super::{
    DockerEngine,
    files::{Files, Progress},
    told,
};
use crate::engine::{EngineError, Entries, Entry, Stream, instant};

/// How soon files that were written to are looked at again.
const LOOK_SOON: Duration = Duration::from_millis(20);
/// How soon files that nothing is written to are looked at again.
const LOOK_LATE: Duration = Duration::from_millis(500);

/// The entries from `since_s` on, oldest first.
pub(super) fn entries<'a>(
    engine: &'a DockerEngine,
    container: &'a str,
    since_s: u64,
    follow: bool,
) -> Entries<'a> {
    let begun = async move {
        match files(engine, container, since_s).await {
            Ok(Some(files)) => of_files(files, follow),
            Ok(None) => of_api(engine, container, since_s, follow),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    };
    stream::once(begun).flatten().boxed()
}

/// The files of a container, if it has any that can be read here.
async fn files(
    engine: &DockerEngine,
    container: &str,
    since_s: u64,
) -> Result<Option<Files>, EngineError> {
    let client = engine.client().await?;
    let found = client.inspect_container(container, None).await;
    let found = found.map_err(told)?;
    let log = found.host_config.and_then(|host| host.log_config);
    let log = log.filter(|log| log.typ.as_deref() == Some("json-file"));
    let (Some(log), Some(path)) = (log, found.log_path.filter(|path| !path.is_empty())) else {
        return Ok(None);
    };
    let path = PathBuf::from(path);
    let looked = path.clone();
    let opened = simulated::blocking(move || File::open(looked)).await;
    match opened.unwrap_or_else(|error| Err(io::Error::other(error))) {
        Ok(_) => {}
        Err(error) => {
            let path = path.display();
            tracing::warn!(%path, %error, "its output is captured by dockerd's API, which loses some at every rotation");
            return Ok(None);
        }
    }
    let kept = log
        .config
        .and_then(|options| options.get("max-file")?.parse().ok());
    Ok(Some(Files::new(path, kept.unwrap_or(1), since_s)))
}

/// What is in files, and with `follow` what comes until they are gone.
fn of_files(files: Files, follow: bool) -> Entries<'static> {
    let batches = stream::unfold(
        (Some(files), LOOK_SOON),
        move |(files, mut rest)| async move {
            let mut files = files?;
            loop {
                let read = simulated::blocking(move || (files.read(), files)).await;
                let (read, held) = match read {
                    Ok(read) => read,
                    Err(error) => return Some((vec![Err(silent(&error))], (None, rest))),
                };
                files = held;
                match read {
                    Ok(Progress::Entries(entries)) => {
                        let entries = entries.into_iter().map(Ok).collect();
                        return Some((entries, (Some(files), LOOK_SOON)));
                    }
                    Ok(Progress::Dry) if follow => {
                        sleep(rest).await;
                        rest = (rest * 2).min(LOOK_LATE);
                    }
                    Ok(Progress::Dry) => return None,
                    Ok(Progress::Gone) => {
                        let words = "the files of its output are gone".to_owned();
                        return Some((vec![Err(EngineError::Missing(words))], (None, rest)));
                    }
                    Err(error) => return Some((vec![Err(silent(&error))], (None, rest))),
                }
            }
        },
    );
    batches.map(stream::iter).flatten().boxed()
}

fn silent(error: &dyn std::error::Error) -> EngineError {
    EngineError::Silent(format!("dockerd's files of its output: {error}"))
}

/// What dockerd tells.
fn of_api<'a>(
    engine: &'a DockerEngine,
    container: &'a str,
    since_s: u64,
    follow: bool,
) -> Entries<'a> {
    let begun = async move {
        let options = LogsOptions {
            stdout: true,
            stderr: true,
            timestamps: true,
            since: i32::try_from(since_s).unwrap_or(i32::MAX),
            follow,
            tail: "all".to_owned(),
            ..LogsOptions::default()
        };
        match engine.client().await {
            Ok(client) => client
                .logs(container, Some(options))
                .filter_map(|output| async move {
                    match output.map_err(told) {
                        Ok(output) => entry(output).map(Ok),
                        Err(error) => Some(Err(error)),
                    }
                })
                .boxed(),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    };
    stream::once(begun).flatten().boxed()
}

/// One message of the log: `TIME LINE\n`, or a part of a line without its end.
fn entry(output: LogOutput) -> Option<Entry> {
    let (stream, message) = match output {
        LogOutput::StdErr { message } => (Stream::Stderr, message),
        LogOutput::StdOut { message } | LogOutput::Console { message } => (Stream::Stdout, message),
        LogOutput::StdIn { .. } => return None,
    };
    let space = message.iter().position(|byte| *byte == b' ')?;
    let at_ns = instant::parse(&message[..space])?;
    let line = message.slice(space + 1..);
    let (line, partial) = match line.last() {
        Some(b'\n') => (line.slice(..line.len() - 1), false),
        _ => (line, true),
    };
    Some(Entry {
        at_ns,
        stream,
        line,
        partial,
        gap: false,
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_message_has_its_time_and_says_whether_the_line_ends() {
        let out = |text: &'static [u8]| {
            entry(LogOutput::StdOut {
                message: Bytes::from_static(text),
            })
        };
        let whole = out(b"2026-11-25T19:45:04.000000001Z a b\n").unwrap();
        assert_eq!((&whole.line[..], whole.partial), (&b"a b"[..], false));
        assert_eq!(whole.at_ns % 1_000_000_000, 1);
        let part = out(b"2026-11-25T19:45:04.000000001Z \xff\0").unwrap();
        assert_eq!((&part.line[..], part.partial), (&b"\xff\0"[..], true));
        assert_eq!(out(b"2026-11-25T19:45:04Z \n").unwrap().line.len(), 0);
        assert!(out(b"no time here").is_none());
    }
}
