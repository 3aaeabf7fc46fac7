//! What a container wrote, as dockerd keeps it.

use bollard::{container::LogOutput, query_parameters::LogsOptions};
use futures_util::{StreamExt, stream};

use super::{DockerEngine, told};
use crate::engine::{Entries, Entry, Stream, instant};

/// The entries from `since_s` on, oldest first.
pub(super) fn entries<'a>(
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
