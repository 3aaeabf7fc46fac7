//! How a program ends: the first SIGTERM or SIGINT asks it to, the second one does not ask. And
//! what systemd is told on the way.

use std::{io, thread};

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that is cancelled by the first SIGTERM or SIGINT. The second one ends the process at
/// once with 128 plus the signal's number, for when stopping in order does not come to an end.
/// Call it once, within a tokio runtime.
///
/// # Errors
/// When the signals cannot be listened for.
pub fn on_signals() -> io::Result<CancellationToken> {
    on_signals_or(force_exit)
}

/// Tells systemd that the program serves. Without systemd nothing happens.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Tells systemd that the program is stopping.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells systemd a word on how things stand, shown by `systemctl status`.
pub fn status(text: &str) {
    tell(&[NotifyState::Status(text)]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot notify systemd");
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the operator asked twice: nothing may hold the process up any longer"
)]
fn force_exit(code: i32) {
    std::process::exit(code);
}

fn on_signals_or(exit: impl FnOnce(i32) + Send + 'static) -> io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let asked = token.clone();
    tokio::spawn(async move {
        let first = either(&mut terminate, &mut interrupt).await;
        tracing::info!(signal = first, "stopping; a second signal stops at once");
        stopping();
        asked.cancel();
        let second = either(&mut terminate, &mut interrupt).await;
        tracing::warn!(signal = second, "stopped at once");
        // On a thread of its own: exit handlers must not stall the runtime's workers.
        thread::spawn(move || exit(128 + second));
    });
    Ok(token)
}

/// The number of the next signal.
async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> i32 {
    tokio::select! {
        // SIGTERM first: it is what supervisors send.
        biased;
        _ = terminate.recv() => SignalKind::terminate().as_raw_value(),
        _ = interrupt.recv() => SignalKind::interrupt().as_raw_value(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nix::sys::signal::{Signal as Number, raise};
    use tokio::{sync::oneshot, time::timeout};

    use super::*;

    #[tokio::test]
    async fn the_first_signal_asks_and_the_second_does_not() {
        let limit = Duration::from_secs(10);
        let (send, exited) = oneshot::channel();
        let token = on_signals_or(move |code| send.send(code).unwrap()).unwrap();
        raise(Number::SIGTERM).unwrap();
        timeout(limit, token.cancelled()).await.unwrap();
        raise(Number::SIGINT).unwrap();
        assert_eq!(timeout(limit, exited).await.unwrap(), Ok(130));
    }
}
