//! The endpoints in an agent's session: what its load balancer may see goes out, the first change at
//! once, as long as the agent reads; what it answers comes in.

use paasta_common::{host::HostInfo, time::Timestamp};
use paasta_coordinator_core::endpoints::{Endpoints, Subscriber};
use paasta_proto::{convert, v1};
use tonic::Status;

use super::{OUTBOX_MAX, Session, protocol};

/// What one host is to be sent.
pub(super) struct Feed {
    client: HostInfo,
    leader: (u64, u64),
    subscriber: Subscriber,
}

impl Feed {
    /// A host that has nothing of this leader yet.
    pub(super) fn new(client: HostInfo, epoch: u64, term: u64) -> Self {
        Self {
            client,
            leader: (epoch, term),
            subscriber: Subscriber::new(epoch, term),
        }
    }

    fn next(&mut self, endpoints: &Endpoints) -> Option<(v1::Endpoints, u64)> {
        let update = self.subscriber.next(endpoints, &self.client)?;
        Some((convert::endpoints_to_wire(&update), update.version.number))
    }
}

impl Session<'_> {
    /// Sends what there is to send of the endpoints, as far as the outbox has room beside orders.
    /// True when something was sent.
    pub(super) fn send_endpoints(&mut self) -> Result<bool, Status> {
        let mut any = false;
        while self.is_behind() && self.outbox.capacity() > OUTBOX_MAX / 2 {
            let Some(feed) = &mut self.endpoints else {
                break;
            };
            let next = feed.next(&self.shared.observations.read().endpoints);
            let looked = feed.subscriber.sent();
            let sent = next.as_ref().map(|(_, number)| *number);
            // Before it is sent: its answer may be quick.
            self.shared
                .observations
                .sent(&self.host, self.number, sent, looked);
            if let Some((wire, _)) = next {
                self.send(v1::coordinator_message::Kind::Endpoints(wire))?;
                any = true;
            }
        }
        Ok(any)
    }

    /// Whether there may be endpoints to send.
    pub(super) fn is_behind(&self) -> bool {
        self.endpoints.as_ref().is_some_and(|feed| {
            let observed = self.shared.observations.read();
            feed.subscriber.is_behind(&observed.endpoints)
        })
    }

    /// Takes what the load balancer of the host reports. False when a newer session has taken this
    /// one's place.
    pub(super) fn take_proxy_report(
        &mut self,
        report: v1::ProxyReport,
        now: Timestamp,
    ) -> Result<bool, Status> {
        let Some(feed) = &self.endpoints else {
            let text = "it reports a load balancer, and its hello did not say that it has one";
            return Err(protocol(self.host.as_str(), text));
        };
        let report = convert::proxy_report_from_wire(report)
            .map_err(|error| protocol(self.host.as_str(), &error.to_string()))?;
        let observations = &self.shared.observations;
        Ok(observations.proxy_report(&self.host, self.number, (report, feed.leader), now))
    }
}
