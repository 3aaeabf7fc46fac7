//! HAProxy's runtime API: one line over a Unix socket, an answer until the end of the stream. Every
//! question has a deadline and its answer a bound.

use std::{io, path::Path, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

/// How long an answer may take.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer, in bytes: `show stat` of 100,000 servers is smaller.
pub const ANSWER_MAX: u64 = 64 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The socket.
    #[error("HAProxy's socket {path} cannot be used")]
    Socket {
        /// Where.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No answer in time.
    #[error("HAProxy's socket {path} gave no answer within {} s", PATIENCE.as_secs())]
    Silent {
        /// Where.
        path: String,
    },
    /// Too long.
    #[error("HAProxy's socket {path} gave an answer longer than {ANSWER_MAX} bytes")]
    Long {
        /// Where.
        path: String,
    },
}

/// Asks, and returns the whole answer.
///
/// # Errors
/// [`ApiError`] when the socket does not answer in time and within the bound.
pub async fn ask(socket: &Path, line: &str) -> Result<String, ApiError> {
    let path = || socket.display().to_string();
    let exchange = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(line.as_bytes()).await?;
        stream.write_all(b"\n").await?;
        // The master keeps a connection open until its client has nothing more to say.
        stream.shutdown().await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_MAX + 1).read_to_end(&mut answer).await?;
        Ok::<_, io::Error>(answer)
    };
    let answer = match timeout(PATIENCE, exchange).await {
        Err(_) => return Err(ApiError::Silent { path: path() }),
        Ok(Err(source)) => {
            return Err(ApiError::Socket {
                path: path(),
                source,
            });
        }
        Ok(Ok(answer)) => answer,
    };
    match answer.len() as u64 > ANSWER_MAX {
        true => Err(ApiError::Long { path: path() }),
        false => Ok(String::from_utf8_lossy(&answer).into_owned()),
    }
}
