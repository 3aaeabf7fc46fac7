//! What a caller and a command send each other, each as fast as the other takes it.

use std::{sync::Arc, time::Duration};

use paasta_proto::v1::{self, exec_answer, exec_input, exec_output, exec_request};
use tokio::{
    sync::{Semaphore, mpsc},
    time::timeout,
};
use tokio_stream::{Stream, StreamExt as _};
use tonic::Status;

use super::broker::{Remote, WINDOW};
use crate::rpc::status::{RpcError, bad};

/// How long a caller may take nothing.
const CALLER_WAIT: Duration = Duration::from_secs(600);
/// Bytes of one message with input, at most.
const STDIN_BYTES_MAX: usize = 32 << 10;

/// Where answers to the caller go.
pub type Answers = mpsc::Sender<Result<v1::ExecAnswer, Status>>;

/// One command, between its caller and its host.
pub struct Pump {
    /// The command.
    pub remote: Remote,
    /// What comes from it.
    pub outputs: mpsc::Receiver<v1::ExecOutput>,
    /// Where that goes.
    pub answers: Answers,
}

impl Pump {
    /// Passes on until the command ends or one side goes away. Returns how it ended, in words.
    pub async fn run<S>(self, requests: S) -> String
    where
        S: Stream<Item = Result<v1::ExecRequest, Status>> + Send + Unpin,
    {
        let Self {
            remote,
            mut outputs,
            answers,
        } = self;
        // How many messages of input may be under way.
        let credit = Arc::new(Semaphore::new(usize::try_from(WINDOW).unwrap_or(1)));
        let back = async {
            loop {
                let Some(output) = outputs.recv().await else {
                    return Err(RpcError::HostLost.into());
                };
                match output.kind {
                    Some(exec_output::Kind::Taken(count)) => {
                        let count = usize::try_from(count.messages).unwrap_or(0);
                        let most = usize::try_from(WINDOW).unwrap_or(1);
                        let left = most.saturating_sub(credit.available_permits());
                        credit.add_permits(count.min(left));
                    }
                    Some(exec_output::Kind::Data(data)) => {
                        send(&answers, exec_answer::Kind::Data(data)).await?;
                        remote.send(exec_input::Kind::More(v1::ExecRoom { messages: 1 }));
                    }
                    Some(exec_output::Kind::End(end)) => {
                        let words = match (&end.code, end.problem.as_str()) {
                            (Some(code), _) => format!("exit code {code}"),
                            (None, problem) => problem.to_owned(),
                        };
                        send(&answers, exec_answer::Kind::End(end)).await?;
                        return Ok::<_, Status>(words);
                    }
                    // Of a newer agent: what this version cannot pass on.
                    None => {}
                }
            }
        };
        let result = tokio::select! {
            biased;
            result = back => result,
            () = answers.closed() => Ok("the caller went away".to_owned()),
            result = feed(requests, &remote, &credit) => result,
        };
        match result {
            Ok(words) => words,
            Err(status) => {
                let words = status.message().to_owned();
                // A caller that is away needs no reason.
                let _ = answers.try_send(Err(status));
                words
            }
        }
    }
}

async fn send(answers: &Answers, kind: exec_answer::Kind) -> Result<(), Status> {
    let answer = v1::ExecAnswer { kind: Some(kind) };
    match timeout(CALLER_WAIT, answers.send(Ok(answer))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(RpcError::CallerLost.into()),
    }
}

/// Passes on what the caller sends. Ends only with an error: a caller that sends no more may still
/// read.
async fn feed<S>(mut requests: S, remote: &Remote, credit: &Semaphore) -> Result<String, Status>
where
    S: Stream<Item = Result<v1::ExecRequest, Status>> + Unpin,
{
    while let Some(request) = requests.next().await {
        let kind = match request?.kind {
            Some(exec_request::Kind::Stdin(stdin)) => {
                if stdin.data.len() > STDIN_BYTES_MAX {
                    return Err(bad("stdin", "at most 32 KiB fit in a message").into());
                }
                let one = credit.acquire().await.map_err(|_| RpcError::Stopping)?;
                one.forget();
                exec_input::Kind::Stdin(stdin)
            }
            Some(exec_request::Kind::Eof(eof)) => exec_input::Kind::Eof(eof),
            Some(exec_request::Kind::Resize(size)) => exec_input::Kind::Resize(size),
            Some(exec_request::Kind::Start(_)) => {
                return Err(bad("start", "the command was begun already").into());
            }
            None => continue,
        };
        if !remote.send(kind) {
            return Err(RpcError::HostLost.into());
        }
    }
    std::future::pending().await
}
