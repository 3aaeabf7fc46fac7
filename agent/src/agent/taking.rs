//! What happened is taken in, orders behind their fence.

use paasta_agent_core::observed::Event;
use paasta_common::report::Runtime;

use super::{Happened, Order, actor::Actor};

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
            Happened::LaneEnded { lane, event } => {
                self.observed.busy.remove(&lane);
                self.observed.events.extend(event);
            }
            Happened::Listed(listing) => {
                self.runtime(Runtime::Ok);
                self.observed.listing = Some(listing);
                self.observed.fresh_listing = true;
            }
            Happened::Runtime(runtime) => self.runtime(runtime),
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

    fn runtime(&mut self, runtime: Runtime) {
        match (&self.runtime, &runtime) {
            (Runtime::Ok, Runtime::Degraded { reason }) => {
                tracing::error!(
                    reason,
                    "container runtime degraded: nothing new is begun, nothing is evicted"
                );
            }
            (Runtime::Degraded { .. }, Runtime::Ok) => {
                tracing::info!("container runtime works again");
            }
            _ => {}
        }
        self.runtime = runtime;
    }
}
