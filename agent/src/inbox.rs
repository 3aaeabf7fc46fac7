//! The messages that the agent takes, from its lanes, fetches, probes, looks and sessions.

use paasta_agent_core::{
    actions::Lane,
    collect::Stock,
    disk::Storage,
    observed::{Event, Listing},
};
use paasta_common::assignment::{Assignment, FenceError};
use tokio::sync::oneshot;

/// Something that happened.
#[derive(Debug)]
pub enum Happened {
    /// What the core needs.
    Event(Event),
    /// A lane is free again.
    LaneEnded {
        /// The lane.
        lane: Lane,
        /// What it came to.
        event: Option<Event>,
        /// What there was instead of an answer of the engine, when it gave none.
        silence: Option<String>,
    },
    /// A fetch has ended.
    Fetched {
        /// Its number.
        number: u64,
        /// What it came to.
        event: Event,
    },
    /// The containers.
    Listed(Listing),
    /// The images.
    Stock(Stock),
    /// The disk that runs use was measured; with it how the engine keeps them, where it says so.
    DisksMeasured(Option<Storage>),
    /// They could not be listed, and why.
    NotListed(String),
    /// A coordinator's order.
    Order(Order),
    /// Time to look.
    Nothing,
}

/// An assignment to obey.
#[derive(Debug)]
pub struct Order {
    /// The whole of it.
    pub assignment: Assignment,
    /// Hears whether it is obeyed.
    pub reply: oneshot::Sender<Result<(), FenceError>>,
}
