//! An alert for a Sensu client: the event as JSON over TCP, as its socket takes it.

use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::output::DeliveryError;

/// Sends `json` to `HOST:PORT`.
pub(super) async fn send(address: &str, json: &str) -> Result<(), DeliveryError> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(json.as_bytes()).await?;
    stream.shutdown().await?;
    Ok(())
}
