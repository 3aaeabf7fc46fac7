//! Commands that people run inside containers of this host, within one session with a coordinator:
//! so many at a time, for so long, each sending only what the coordinator has room for. They end with
//! the session, with all that they started.

mod work;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use paasta_common::id::{HostId, ReplicaId};
use paasta_proto::v1::{self, exec_input, exec_output};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::engine::{Command, Engine, Size};
use work::{Input, Work};

/// Commands at a time, of all sessions.
const COMMANDS_MAX: usize = 8;
/// Messages with data for which a coordinator may give room in all.
const ROOM_MAX: usize = 64;
/// Messages for a command that wait, at most: more than a coordinator may have under way.
const INPUTS_MAX: usize = 32;
/// Answers that wait for the session, at most.
const OUTBOX_MAX: usize = 4;
/// Words of a command, and their bytes in all, at most.
const WORDS_MAX: usize = 1_000;
const WORDS_BYTES_MAX: usize = 64 << 10;

/// Whether and how commands are run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExecSettings {
    /// Whether any is.
    pub enabled: bool,
    /// How long one may run.
    pub limit: Duration,
}

/// Runs commands.
#[derive(Clone)]
pub struct ExecServer {
    engine: Arc<dyn Engine>,
    host: HostId,
    settings: ExecSettings,
    places: Arc<Semaphore>,
}

/// The commands of one session. Dropped, they are killed.
pub struct Commands {
    server: ExecServer,
    out: mpsc::Sender<v1::ExecOutput>,
    outputs: mpsc::Receiver<v1::ExecOutput>,
    running: BTreeMap<u64, Held>,
}

struct Held {
    room: Arc<Semaphore>,
    input: mpsc::Sender<Input>,
    _stop: DropGuard,
}

impl ExecServer {
    /// Runs commands by this engine, in containers of this host.
    pub fn new(engine: Arc<dyn Engine>, host: HostId, settings: ExecSettings) -> Self {
        Self {
            engine,
            host,
            settings,
            places: Arc::new(Semaphore::new(COMMANDS_MAX)),
        }
    }

    /// Runs commands as these settings say, in sessions that begin from now on.
    pub fn set(&mut self, settings: ExecSettings) {
        self.settings = settings;
    }

    /// Whether any command is run.
    pub fn is_enabled(&self) -> bool {
        self.settings.enabled
    }

    /// For a new session.
    pub fn session(&self) -> Commands {
        let (out, outputs) = mpsc::channel(OUTBOX_MAX);
        Commands {
            server: self.clone(),
            out,
            outputs,
            running: BTreeMap::new(),
        }
    }
}

impl Commands {
    /// The next message to send. Dropping the future loses nothing.
    pub async fn next(&mut self) -> v1::ExecOutput {
        loop {
            match self.outputs.recv().await {
                Some(output) => {
                    if matches!(output.kind, Some(exec_output::Kind::End(_))) {
                        self.running.remove(&output.id);
                    }
                    return output;
                }
                // Cannot be: a sender is held here.
                None => std::future::pending::<()>().await,
            }
        }
    }

    /// Begins a command, or answers why not.
    pub fn begin(&mut self, asked: v1::ExecBegin) {
        let id = asked.id;
        let room = usize::try_from(asked.room).unwrap_or(ROOM_MAX);
        let room = Arc::new(Semaphore::new(room.clamp(1, ROOM_MAX)));
        let (input, inputs) = mpsc::channel(INPUTS_MAX);
        let stop = CancellationToken::new();
        let held = Held {
            room: Arc::clone(&room),
            input,
            _stop: stop.clone().drop_guard(),
        };
        self.running.insert(id, held);
        let place = Arc::clone(&self.server.places).try_acquire_owned();
        let (server, out) = (self.server.clone(), self.out.clone());
        tokio::spawn(async move {
            let end = match (server.settings.enabled, place, command(&asked)) {
                (false, ..) => Err("exec is off on this host: agent.exec is not set".to_owned()),
                (_, Err(_), _) => Err(format!("it runs {COMMANDS_MAX} commands already")),
                (.., Err(problem)) => Err(problem),
                (_, Ok(_place), Ok((replica, command))) => {
                    tracing::info!(principal = asked.principal, %replica, command = ?asked.command, "a command begins in a container");
                    let work = Work {
                        id,
                        out: out.clone(),
                        room,
                        limit: server.settings.limit,
                    };
                    work.run(
                        &*server.engine,
                        &server.host,
                        (replica, &command),
                        inputs,
                        stop,
                    )
                    .await
                }
            };
            let end = match end {
                Ok(code) => v1::ExecEnd {
                    code: Some(i32::try_from(code).unwrap_or(i32::MAX)),
                    problem: String::new(),
                },
                Err(problem) => v1::ExecEnd {
                    code: None,
                    problem,
                },
            };
            tracing::info!(principal = asked.principal, code = ?end.code, problem = end.problem, "a command in a container ended");
            // A session that has ended needs no answer.
            let _ = out.send(output(id, exec_output::Kind::End(end))).await;
        });
    }

    /// Hands over what came for a command. One that takes no more than that has been sent against
    /// the rule, and is killed.
    pub fn input(&mut self, message: v1::ExecInput) {
        let Some(held) = self.running.get(&message.id) else {
            return;
        };
        let input = match message.kind {
            Some(exec_input::Kind::Stdin(stdin)) => Input::Data(stdin.data.into()),
            Some(exec_input::Kind::Eof(_)) => Input::Eof,
            Some(exec_input::Kind::Resize(size)) => Input::Resize(size_of(size)),
            Some(exec_input::Kind::More(more)) => {
                let more = usize::try_from(more.messages).unwrap_or(ROOM_MAX);
                let left = ROOM_MAX.saturating_sub(held.room.available_permits());
                return held.room.add_permits(more.min(left));
            }
            Some(exec_input::Kind::Cancel(_)) | None => {
                self.running.remove(&message.id);
                return;
            }
        };
        // One that has written its last reads no more, and is about to end.
        if let Err(mpsc::error::TrySendError::Full(_)) = held.input.try_send(input) {
            self.running.remove(&message.id);
        }
    }
}

fn output(id: u64, kind: exec_output::Kind) -> v1::ExecOutput {
    v1::ExecOutput {
        id,
        kind: Some(kind),
    }
}

/// A size that a terminal can have.
fn size_of(size: v1::ExecSize) -> Size {
    let side = |side: u32| u16::try_from(side).unwrap_or(u16::MAX).max(1);
    Size {
        rows: side(size.rows),
        columns: side(size.columns),
    }
}

fn command(asked: &v1::ExecBegin) -> Result<(ReplicaId, Command), String> {
    let replica = asked.replica.parse();
    let replica = replica.map_err(|error| format!("replica: {:?}: {error}", asked.replica))?;
    let bytes: usize = asked.command.iter().map(String::len).sum();
    if asked.command.first().is_none_or(String::is_empty) {
        return Err("command: no program is named".to_owned());
    }
    if asked.command.len() > WORDS_MAX || bytes > WORDS_BYTES_MAX {
        return Err(format!(
            "command: more than {WORDS_MAX} words or {} KiB",
            WORDS_BYTES_MAX >> 10
        ));
    }
    let command = Command {
        words: asked.command.clone(),
        terminal: asked.terminal.map(size_of),
    };
    Ok((replica, command))
}

#[cfg(test)]
mod tests;
