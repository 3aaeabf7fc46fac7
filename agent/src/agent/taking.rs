//! What happened is taken in, orders behind their fence.

use paasta_agent_core::observed::Event;
use paasta_common::{report::Runtime, time::Timestamp};

use super::actor::Actor;
use crate::inbox::{Happened, Order};

impl Actor {
    pub(super) fn take(&mut self, happened: Happened) {
        match happened {
            Happened::Event(event) => {
                if let Event::Probed { result, .. } = &event {
                    self.metrics.probed(result.is_ok());
                }
                self.observed.events.push(event);
            }
            Happened::Fetched { number, event } => {
                if let Event::Pulled { image, .. } = &event
                    && self.images.ended(image, number)
                {
                    self.observed.events.push(event);
                }
            }
            Happened::Stock(stock) => self.collect(&stock),
            Happened::LaneEnded {
                lane,
                event,
                silence,
            } => {
                self.observed.busy.remove(&lane);
                self.observed.events.extend(event);
                match silence {
                    Some(words) => self.judge.silent(lane, words, self.parts.clock.now()),
                    None => self.judge.answered(),
                }
            }
            Happened::Listed(listing) => {
                self.judge.listed();
                self.observed.listing = Some(listing);
                self.observed.fresh_listing = true;
            }
            Happened::DisksMeasured(storage) => self.disks_measured(storage.as_ref()),
            Happened::NotListed(words) => self.judge.list_failed(words),
            Happened::Order(order) => self.obey(order),
            Happened::Nothing => {}
        }
    }

    fn obey(&mut self, order: Order) {
        let generation = order.assignment.fence.generation;
        let replicas = order.assignment.replicas.len();
        let accepted = self.state.accept(order.assignment);
        match &accepted {
            Ok(()) => tracing::info!(generation, replicas, "assignment accepted"),
            Err(error) => tracing::warn!(%error, "assignment refused"),
        }
        // The session may be gone; the order stands all the same.
        let _ = order.reply.send(accepted);
    }

    pub(super) fn look_at_runtime(&mut self, now: Timestamp) {
        let runtime = self.judge.runtime(now);
        match (&self.runtime, &runtime) {
            (Runtime::Ok, Runtime::Degraded { reason, .. }) => {
                tracing::error!(reason, "container runtime degraded: nothing is evicted");
            }
            (Runtime::Degraded { .. }, Runtime::Ok) => {
                tracing::info!("container runtime works again");
            }
            _ => {}
        }
        self.runtime = runtime;
    }
}
