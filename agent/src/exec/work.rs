//! One command from its beginning to its end.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt as _;
use paasta_agent_core::observed::ContainerState;
use paasta_common::id::{HostId, ReplicaId};
use paasta_proto::v1::{self, exec_output};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    sync::{Semaphore, mpsc},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::output;
use crate::engine::{Attached, Command, Engine, EngineError, Running, Size, Stream};

/// Bytes of output in one message, at most.
const DATA_BYTES: usize = 32 << 10;
/// How long the engine may take to begin a command, to say how one stands, or to kill one.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks whether a command that has closed its outputs has ended.
const LOOK: Duration = Duration::from_millis(50);

/// What comes for a command.
#[derive(Debug)]
pub(super) enum Input {
    Data(Bytes),
    Eof,
    Resize(Size),
}

/// One command.
pub(super) struct Work {
    pub(super) id: u64,
    pub(super) out: mpsc::Sender<v1::ExecOutput>,
    pub(super) room: Arc<Semaphore>,
    pub(super) limit: Duration,
}

impl Work {
    /// Runs it until it ends, its time is over, or `stop`. Returns its exit code, or why there is
    /// none.
    pub(super) async fn run(
        self,
        engine: &dyn Engine,
        host: &HostId,
        (replica, command): (ReplicaId, &Command),
        inputs: mpsc::Receiver<Input>,
        stop: CancellationToken,
    ) -> Result<i64, String> {
        let begun = async {
            let container = container(engine, host, replica).await?;
            engine.attach(&container, command).await.map_err(words)
        };
        let begun = timeout(PATIENCE, begun).await;
        let attached = begun.map_err(|_| format!("it did not begin within {PATIENCE:?}"))??;
        let Attached {
            output,
            input,
            running,
        } = attached;
        let talk = async {
            tokio::select! {
                biased;
                written = self.pass_on(output) => written,
                never = self.feed(input, &*running, inputs) => match never {},
            }?;
            ended(&*running).await
        };
        let why = tokio::select! {
            biased;
            () = stop.cancelled() => "it is not wanted any more, and was killed".to_owned(),
            result = timeout(self.limit, talk) => match result {
                Ok(Ok(code)) => return Ok(code),
                Ok(Err(words)) => words,
                Err(_) => format!(
                    "it ran for {} s, as long as agent.exec_max_seconds allows, and was killed",
                    self.limit.as_secs()
                ),
            },
        };
        match timeout(PATIENCE, running.kill()).await {
            Ok(Ok(())) => Err(why),
            Ok(Err(error)) => Err(format!("{why}; it may still run: {error}")),
            Err(_) => Err(format!("{why}; it may still run")),
        }
    }

    /// Sends what it writes, as far as there is room, until it writes no more.
    async fn pass_on(
        &self,
        mut output: impl futures_util::Stream<Item = Result<(Stream, Bytes), EngineError>> + Unpin,
    ) -> Result<(), String> {
        while let Some(chunk) = output.next().await {
            let (stream, mut data) = chunk.map_err(words)?;
            while !data.is_empty() {
                let piece = data.split_to(data.len().min(DATA_BYTES));
                let room = self
                    .room
                    .acquire()
                    .await
                    .map_err(|error| error.to_string())?;
                room.forget();
                let stream = match stream {
                    Stream::Stdout => v1::LogStream::Stdout,
                    Stream::Stderr => v1::LogStream::Stderr,
                };
                let data = v1::ExecData {
                    stream: stream.into(),
                    data: piece.into(),
                };
                self.send(exec_output::Kind::Data(data)).await?;
            }
        }
        Ok(())
    }

    /// Gives it what comes; goes on for ever.
    async fn feed(
        &self,
        mut stdin: std::pin::Pin<Box<dyn AsyncWrite + Send>>,
        running: &dyn Running,
        mut inputs: mpsc::Receiver<Input>,
    ) -> std::convert::Infallible {
        let mut closed = false;
        while let Some(input) = inputs.recv().await {
            match input {
                Input::Data(data) => {
                    // A command that reads no more loses what comes, as behind any pipe.
                    if !closed && stdin.write_all(&data).await.is_err() {
                        closed = true;
                    }
                    let _ = stdin.flush().await;
                    let _ = self
                        .send(exec_output::Kind::Taken(v1::ExecRoom { messages: 1 }))
                        .await;
                }
                Input::Eof => {
                    closed = true;
                    let _ = stdin.shutdown().await;
                }
                Input::Resize(size) => {
                    // A command that has just ended has no terminal.
                    let _ = timeout(PATIENCE, running.resize(size)).await;
                }
            }
        }
        std::future::pending().await
    }

    async fn send(&self, kind: exec_output::Kind) -> Result<(), String> {
        let sent = self.out.send(output(self.id, kind)).await;
        sent.map_err(|_| "the session has ended".to_owned())
    }
}

/// The container of a replica of this host that runs.
async fn container(
    engine: &dyn Engine,
    host: &HostId,
    replica: ReplicaId,
) -> Result<String, String> {
    let seen = engine.list(host.as_str()).await.map_err(words)?;
    let ours = seen.into_iter().filter(|one| {
        one.replica == Some(replica)
            && one.host.as_ref() == Some(host)
            && one.state == ContainerState::Running
    });
    let newest = ours.max_by_key(|one| one.run);
    let newest = newest.ok_or_else(|| {
        format!("{replica} has no container that runs on {host}; `paasta status -v` shows replicas")
    })?;
    Ok(newest.container)
}

/// The exit code. A command may close its outputs and go on.
async fn ended(running: &dyn Running) -> Result<i64, String> {
    loop {
        let code = timeout(PATIENCE, running.code()).await;
        let code = code.map_err(|_| format!("no exit code within {PATIENCE:?}"))?;
        match code.map_err(words)? {
            Some(code) => return Ok(code),
            None => sleep(LOOK).await,
        }
    }
}

fn words(error: EngineError) -> String {
    match error {
        EngineError::Missing(words) => format!("its container is gone: {words}"),
        EngineError::Refused(words) | EngineError::Silent(words) => words,
    }
}
