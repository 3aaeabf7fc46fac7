//! `paasta exec`: a command in a container of an instance, joined to this terminal.

use std::{
    io::{self, IsTerminal as _, Read as _},
    thread,
};

use anyhow::{Context as _, bail};
use paasta_process::help::examples;
use paasta_proto::v1::{
    ExecAnswer, ExecEnd, ExecEof, ExecRequest, ExecSize, ExecStart, ExecStdin, LogStream,
    exec_answer, exec_client::ExecClient, exec_request,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::Context;
use crate::{
    client::ANSWER_BYTES_MAX,
    exit::{self, Exit},
    screen::{Raw, size},
    terminal::{note, write, write_error},
};

/// Bytes of standard input in one message.
const STDIN_BYTES: usize = 32 << 10;
/// Messages that wait for the coordinator, at most.
const WAITING: usize = 4;

/// Run a command in a container of an instance
#[derive(Debug, clap::Args)]
#[command(after_help = examples(
    &[
        "paasta exec hello.main -- ls -l /",
        "paasta exec hello.main -t -- sh",
        "paasta exec hello.main --replica r17 -- cat /etc/hosts",
    ],
    exit::HELP,
))]
pub struct Args {
    /// SERVICE.INSTANCE
    #[arg(value_name = "SERVICE.INSTANCE")]
    pub instance: String,
    /// Only a replica on this host [default: a healthy one on any host]
    #[arg(short = 'H', long, value_name = "HOST")]
    pub host: Option<String>,
    /// Only this replica
    #[arg(long, value_name = "REPLICA")]
    pub replica: Option<String>,
    /// Give the command a terminal: this one
    #[arg(short, long)]
    pub tty: bool,
    /// The program and its arguments; no shell reads them
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<String>,
}

/// Runs the command; its exit code is that of `paasta`.
///
/// # Errors
/// It was refused, no coordinator answered, or it was lost on the way.
pub async fn run(args: &Args, context: &mut Context) -> anyhow::Result<Exit> {
    if args.tty && !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        bail!("-t takes a terminal, and standard input or output is none: leave it out");
    }
    let start = ExecStart {
        instance: args.instance.clone(),
        host: args.host.clone().unwrap_or_default(),
        replica: args.replica.clone().unwrap_or_default(),
        command: args.command.clone(),
        terminal: args.tty.then(terminal),
    };
    let (requests, answers) = open(start, context).await?;
    let raw = match args.tty {
        true => Some(Raw::open().context("the terminal cannot be used")?),
        false => None,
    };
    if args.tty {
        tokio::spawn(resize(requests.clone()));
    }
    // Not a task: a read of standard input cannot be called off.
    thread::spawn(move || read(&requests));
    let end = show(answers).await;
    drop(raw);
    let end = end?;
    if !end.problem.is_empty() {
        note(&crate::render::plain(&end.problem));
    }
    Ok(match end.code {
        Some(0) => Exit::Ok,
        Some(code) => Exit::Of(u8::try_from(code).unwrap_or(u8::MAX)),
        None => Exit::Failed,
    })
}

fn terminal() -> ExecSize {
    let (rows, columns) = size();
    ExecSize {
        rows: rows.into(),
        columns: columns.into(),
    }
}

fn request(kind: exec_request::Kind) -> ExecRequest {
    ExecRequest { kind: Some(kind) }
}

type Requests = mpsc::Sender<ExecRequest>;

/// Begins. A call that breaks before it is answered is tried again at another coordinator: what it
/// began is killed, as its stream is gone.
async fn open(
    start: ExecStart,
    context: &mut Context,
) -> anyhow::Result<(Requests, Streaming<ExecAnswer>)> {
    let mut coordinators = context.coordinators()?;
    let mut requests = None;
    let answers = coordinators.call(|channel| {
        let (sender, receiver) = mpsc::channel(WAITING);
        // It is the first: there is room.
        let _ = sender.try_send(request(exec_request::Kind::Start(start.clone())));
        requests = Some(sender);
        let mut exec = ExecClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        async move { exec.run(ReceiverStream::new(receiver)).await }
    });
    let answers = answers.await?;
    let requests = requests.context("a call was made")?;
    Ok((requests, answers))
}

/// Sends standard input until it ends, or until the command takes no more.
fn read(requests: &Requests) {
    let mut buffer = vec![0; STDIN_BYTES];
    let mut stdin = io::stdin().lock();
    loop {
        let kind = match stdin.read(&mut buffer) {
            Ok(0) | Err(_) => exec_request::Kind::Eof(ExecEof {}),
            Ok(count) => exec_request::Kind::Stdin(ExecStdin {
                data: buffer[..count].to_vec(),
            }),
        };
        let last = matches!(kind, exec_request::Kind::Eof(_));
        if requests.blocking_send(request(kind)).is_err() || last {
            return;
        }
    }
}

/// Sends each new size of the terminal.
async fn resize(requests: Requests) {
    let Ok(mut changes) = signal(SignalKind::window_change()) else {
        return;
    };
    while changes.recv().await.is_some() {
        let size = request(exec_request::Kind::Resize(terminal()));
        if requests.send(size).await.is_err() {
            return;
        }
    }
}

/// Shows what the command writes until it ends.
async fn show(mut answers: Streaming<ExecAnswer>) -> anyhow::Result<ExecEnd> {
    loop {
        let answer = match answers.message().await {
            Ok(Some(answer)) => answer,
            Ok(None) => bail!("the coordinator has said no end of the command"),
            Err(status) => bail!("the command broke off: {}", status.message()),
        };
        match answer.kind {
            Some(exec_answer::Kind::Data(data)) => {
                let open = match data.stream() {
                    LogStream::Stderr => write_error(&data.data),
                    LogStream::Stdout | LogStream::Unspecified => {
                        write(&data.data).context("cannot write to standard output")?
                    }
                };
                if !open {
                    bail!("standard output or error is gone: the command is ended");
                }
            }
            Some(exec_answer::Kind::End(end)) => return Ok(end),
            Some(exec_answer::Kind::Place(_)) | None => {}
        }
    }
}
