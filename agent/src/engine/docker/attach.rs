//! Commands that people run inside containers, joined to their inputs and outputs. Each has a variable
//! of its own in its environment, which what it starts inherits: by it all of that is killed.

use bollard::{
    Docker,
    container::LogOutput,
    exec::{ResizeExecOptions, StartExecOptions, StartExecResults},
    models::ExecConfig,
};
use futures_util::StreamExt;
use paasta_process::simulated;

use super::{DockerEngine, processes, told};
use crate::engine::{Answer, Attached, Command, EngineError, Running, Size, Stream};

/// Marks the processes of one command.
const MARK: &str = "PAASTA_EXEC";
/// Bytes of output that are taken from the daemon at once, about.
const CHUNK_BYTES: usize = 32 << 10;

struct DockerExec {
    client: Docker,
    container: String,
    exec: String,
    mark: String,
}

impl DockerEngine {
    /// Begins a command of a person.
    pub(super) async fn join(
        &self,
        container: &str,
        command: &Command,
    ) -> Result<Attached, EngineError> {
        let mark = self.checks.mark();
        let terminal = command.terminal.is_some();
        let config = ExecConfig {
            cmd: Some(command.words.clone()),
            env: Some(vec![format!("{MARK}={mark}")]),
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(terminal),
            privileged: Some(false),
            ..ExecConfig::default()
        };
        // What a person reads has no end that is known; nothing of it is kept.
        let client = self.connect(u64::MAX).await?;
        let created = client.create_exec(container, config).await;
        let exec = created.map_err(told)?.id;
        let options = StartExecOptions {
            detach: false,
            tty: terminal,
            output_capacity: Some(CHUNK_BYTES),
        };
        let started = client.start_exec(&exec, Some(options)).await;
        let StartExecResults::Attached { output, input } = started.map_err(told)? else {
            let words = "the command was begun without its inputs and outputs".to_owned();
            return Err(EngineError::Refused(words));
        };
        let running = DockerExec {
            client,
            container: container.to_owned(),
            exec,
            mark,
        };
        if let Some(size) = command.terminal {
            // A command that has ended already has no terminal.
            let _ = running.resize(size).await;
        }
        Ok(Attached {
            output: output
                .map(|chunk| chunk.map(of_stream).map_err(told))
                .boxed(),
            input,
            running: Box::new(running),
        })
    }
}

fn of_stream(output: LogOutput) -> (Stream, bytes::Bytes) {
    match output {
        LogOutput::StdErr { message } => (Stream::Stderr, message),
        LogOutput::StdOut { message }
        | LogOutput::StdIn { message }
        | LogOutput::Console { message } => (Stream::Stdout, message),
    }
}

impl Running for DockerExec {
    fn resize(&self, size: Size) -> Answer<'_, ()> {
        Box::pin(async move {
            let options = ResizeExecOptions {
                height: size.rows,
                width: size.columns,
            };
            let resized = self.client.resize_exec(&self.exec, options).await;
            resized.map_err(told)
        })
    }

    fn code(&self) -> Answer<'_, Option<i64>> {
        Box::pin(async move {
            let state = self.client.inspect_exec(&self.exec).await.map_err(told)?;
            match (state.running, state.exit_code) {
                (Some(true), _) => Ok(None),
                (_, Some(code)) => Ok(Some(code)),
                (_, None) => Err(EngineError::Silent(
                    "the command has no exit code".to_owned(),
                )),
            }
        })
    }

    fn kill(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            let (container, mark) = (self.container.clone(), self.mark.clone());
            let killed =
                simulated::blocking(move || processes::kill_marked(&container, MARK, &mark));
            match killed.await {
                Ok(Ok(true)) => Ok(()),
                Ok(Ok(false)) => Err(EngineError::Refused(
                    "it goes on beginning processes".to_owned(),
                )),
                Ok(Err(error)) => Err(EngineError::Refused(error.to_string())),
                Err(error) => Err(EngineError::Silent(error.to_string())),
            }
        })
    }
}
