//! Method `hacheck`: the hacheck of the replica's host is told that each registration is down, so
//! that load balancers which ask it let the replica go, and after a time its connections are held
//! to be finished. PaaSTA's rules (its drain_lib), but for one: where hacheck does not answer, the
//! time still passes, as there may be connections all the same.

use paasta_common::time::Timestamp;

use super::{
    Leaving, Look, Method,
    calls::{Call, Request},
};
use crate::state::{Draining, Live};

/// How much longer than the delay hacheck remembers, when nothing is configured.
const EXPIRATION_TIMES: u64 = 10;

pub(super) struct Hacheck {
    pub(super) delay_ms: u64,
    pub(super) port: u16,
    /// 0 for [`EXPIRATION_TIMES`] the delay.
    pub(super) expiration_ms: u64,
}

impl Method for Hacheck {
    fn leave(
        &self,
        leaving: &Leaving<'_>,
        draining: &mut Draining,
        live: &mut Live,
        now: Timestamp,
    ) -> Look {
        // Without a port it is in no load balancer.
        let Some(port) = leaving.host_port else {
            draining.safe = true;
            return Look::default();
        };
        let progress = &mut live.calls;
        let told_at = match (draining.told, progress.failed()) {
            (true, _) => draining.told_at.unwrap_or(draining.since),
            (false, true) => draining.since,
            (false, false) => {
                let requests = |call| Ok(self.requests(leaving, port, call, now));
                let made = progress.make(leaving, Call::Drain, now, requests);
                return made.unwrap_or_default();
            }
        };
        let safe_at = told_at.after_ms(self.delay_ms);
        draining.safe = now >= safe_at;
        Look {
            wake_at: (!draining.safe).then_some(safe_at),
            ..Look::default()
        }
    }

    fn come_back(
        &self,
        leaving: &Leaving<'_>,
        draining: &Draining,
        live: &mut Live,
        now: Timestamp,
    ) -> Option<Look> {
        let port = leaving.host_port?;
        let requests = |call| Ok(self.requests(leaving, port, call, now));
        live.calls.take_back(leaving, draining, now, requests)
    }
}

impl Hacheck {
    fn requests(
        &self,
        leaving: &Leaving<'_>,
        port: u16,
        call: Call,
        now: Timestamp,
    ) -> Vec<Request> {
        let form = match call {
            Call::StopDraining => "status=up".to_owned(),
            _ => {
                let span = match self.expiration_ms {
                    0 => self.delay_ms.saturating_mul(EXPIRATION_TIMES),
                    span => span,
                };
                let expiration = now.after_ms(span).0 / 1000;
                format!("status=down&expiration={expiration}&reason=Drained+by+PaaSTA")
            }
        };
        let (host, hacheck) = (&leaving.host.address, self.port);
        let registrations = leaving.replica.run.registrations.iter();
        registrations
            .map(|registration| Request {
                method: "POST".to_owned(),
                url: format!("http://{host}:{hacheck}/spool/{registration}/{port}/status"),
                form: Some(form.clone()),
                success: vec![(200, 299)],
            })
            .collect()
    }
}
