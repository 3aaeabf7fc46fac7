//! Calls of an operator to one coordinator, over a connection that is kept: what a command line
//! takes to start is not what is measured.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result};
use paasta_identity::{Tls, connect::Expected};
use paasta_proto::v1::{
    Asker, InstanceStatus, StatusRequest, UndrainHostRequest, admin_client::AdminClient,
    operate_client::OperateClient,
};
use tokio::runtime::{Builder, Runtime};
use tonic::transport::{Channel, Endpoint};

/// How long a call may take.
const CALL: Duration = Duration::from_secs(5);

/// Calls of an operator, from a runtime of their own.
#[derive(Debug)]
pub struct Client {
    runtime: Runtime,
    channel: Channel,
}

impl Client {
    /// Calls to this coordinator, as the identity of `tls`, or in plain text. Connects at the first.
    ///
    /// # Errors
    /// When no runtime can be made.
    pub fn new(address: SocketAddr, tls: Option<&Tls>) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?
            .timeout(CALL)
            .connect_timeout(CALL)
            .tcp_nodelay(true);
        let inside = runtime.enter();
        let channel = match tls {
            Some(tls) => endpoint.connect_with_connector_lazy(tls.connector(Expected::Any)),
            None => endpoint.connect_lazy(),
        };
        drop(inside);
        Ok(Self { runtime, channel })
    }

    /// The status of one instance, without its replicas.
    ///
    /// # Errors
    /// When there is no answer, or no such instance.
    pub fn status(&self, service: &str, instance: &str) -> Result<InstanceStatus> {
        let request = StatusRequest {
            service: service.to_owned(),
            instances: vec![instance.to_owned()],
            ..StatusRequest::default()
        };
        let mut client = AdminClient::new(self.channel.clone());
        let answer = self.runtime.block_on(client.status(request))?;
        let found = answer.into_inner().instances.into_iter().next();
        found.with_context(|| format!("{service}.{instance} is unknown"))
    }

    /// How long one page of the status of everything takes, with its replicas.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn page_of_everything(&self) -> Result<Duration> {
        let began = std::time::Instant::now();
        let request = StatusRequest {
            replicas: true,
            ..StatusRequest::default()
        };
        let client = AdminClient::new(self.channel.clone());
        let mut client = client.max_decoding_message_size(64 << 20);
        self.runtime.block_on(client.status(request))?;
        Ok(began.elapsed())
    }

    /// A write that changes nothing and is in the log of a majority when it is acknowledged.
    ///
    /// # Errors
    /// When it is not acknowledged.
    pub fn write(&self, host: &str) -> Result<()> {
        let request = UndrainHostRequest {
            asker: Some(Asker {
                request_id: format!("{:x}", rand::random::<u128>()),
                by: "scale@test".to_owned(),
            }),
            host: host.to_owned(),
        };
        let mut client = OperateClient::new(self.channel.clone());
        self.runtime.block_on(client.undrain_host(request))?;
        Ok(())
    }
}
