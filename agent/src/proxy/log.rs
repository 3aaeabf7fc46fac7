//! HAProxy's log: datagrams to a socket of the agent, which go into the agent's own log.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use tokio::net::UnixDatagram;
use tokio_util::sync::CancellationToken;

/// The longest line, in bytes; HAProxy cuts there.
const LINE_MAX: usize = 2_048;
/// Lines in a second, at most: the rest is counted.
const LINES_PER_SECOND: u32 = 50;

/// Takes the log at this socket until `shutdown`.
pub(super) async fn take(path: std::path::PathBuf, shutdown: CancellationToken) {
    let Some(socket) = bind(&path) else {
        return;
    };
    let mut line = [0; LINE_MAX];
    let (mut second, mut lines, mut dropped) = (Instant::now(), 0, 0_u64);
    loop {
        let received = tokio::select! {
            () = shutdown.cancelled() => break,
            received = socket.recv(&mut line) => received,
        };
        let Ok(length) = received else {
            continue;
        };
        if second.elapsed() >= Duration::from_secs(1) {
            if dropped > 0 {
                tracing::warn!(dropped, "haproxy logs more than fits");
            }
            (second, lines, dropped) = (Instant::now(), 0, 0);
        }
        if lines >= LINES_PER_SECOND {
            dropped += 1;
            continue;
        }
        lines += 1;
        let text = String::from_utf8_lossy(&line[..length]);
        tracing::info!(haproxy = text.trim_end(), "load balancer");
    }
    let _ = std::fs::remove_file(path);
}

fn bind(path: &Path) -> Option<UnixDatagram> {
    // One of an agent before this one.
    let _ = std::fs::remove_file(path);
    match UnixDatagram::bind(path) {
        Ok(socket) => {
            use std::os::unix::fs::PermissionsExt as _;
            // HAProxy's worker is another user; the directory keeps all others out.
            let mode = std::fs::Permissions::from_mode(0o666);
            if let Err(error) = std::fs::set_permissions(path, mode) {
                tracing::warn!(%error, path = %path.display(), "haproxy cannot log");
            }
            Some(socket)
        }
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "haproxy's log cannot be taken");
            None
        }
    }
}
