//! Three processes of one kind on loopback: start, find the leader, kill it, bring it back.

use std::{
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::bail;
use tonic::transport::{Channel, Endpoint};

use crate::disk::Slower;

/// How long anything may take before the measurement is given up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked.
const STEP: Duration = Duration::from_millis(20);

/// Whether there is such a program on this machine.
pub(crate) fn is_installed(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

/// A process that ends with this value.
pub(crate) struct Process(Child);

impl Process {
    /// Starts it, silent.
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self(child))
    }
}

impl Drop for Process {
    /// Kills it, as with `kill -9`.
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Addresses on loopback that nobody listens on.
pub(crate) fn free_addresses(count: usize) -> anyhow::Result<Vec<SocketAddr>> {
    // Held together, so that none is given twice.
    let held: Result<Vec<TcpListener>, _> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect();
    let addresses: Result<Vec<SocketAddr>, _> = held?.iter().map(TcpListener::local_addr).collect();
    Ok(addresses?)
}

/// A connection that is made when it is first used.
pub(crate) fn channel(address: SocketAddr) -> anyhow::Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    Ok(endpoint
        .tcp_nodelay(true)
        .connect_timeout(Duration::from_millis(500))
        .connect_lazy())
}

/// Asks again and again until there is an answer.
pub(crate) async fn eventually<T, F>(what: &str, mut ask: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = Option<T>>,
{
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if let Some(answer) = ask().await {
            return Ok(answer);
        }
        tokio::time::sleep(STEP).await;
    }
    bail!("{what} did not come within {PATIENCE:?}")
}

/// Three members that take writes.
pub(crate) trait Trio: Sized {
    /// A client's way to one member.
    type Client: Client;
    /// What it is called in the figures.
    const NAME: &'static str;

    /// Starts three new ones on such a disk and waits until they have a leader.
    async fn start(disk: Slower) -> anyhow::Result<Self>;
    /// A new connection to the member at this place, 0 to 2.
    fn client(&self, member: usize) -> anyhow::Result<Self::Client>;
    /// The place of the leader, once there is one.
    async fn leader(&self) -> anyhow::Result<usize>;
    /// Kills a member.
    fn kill(&mut self, member: usize);
    /// Starts it again and waits until it has what the others have.
    async fn restart(&mut self, member: usize) -> anyhow::Result<()>;
}

/// Writes through one member.
pub(crate) trait Client: Clone + Send + Sync + 'static {
    /// Writes a small record and waits until it is acknowledged.
    fn write(&self, number: u64) -> impl Future<Output = anyhow::Result<()>> + Send;
}
