//! I1, acked survives: what stands at an index of the log stands there for ever and on every
//! coordinator, and what a client was told is done is among it.

use std::collections::BTreeMap;

use super::Violation;

/// The one log, as it was ever applied by anybody.
#[derive(Debug, Default)]
pub struct Log {
    commands: BTreeMap<u64, Vec<u8>>,
    requests: BTreeMap<String, u64>,
    acknowledged: BTreeMap<String, u64>,
}

impl Log {
    /// A coordinator applied a command. Says whether it is the first to do so at this index.
    ///
    /// # Errors
    /// A violation when another command stood there.
    pub fn applied(
        &mut self,
        whom: &str,
        index: u64,
        command: &[u8],
        request: Option<&str>,
    ) -> Result<bool, Violation> {
        if let Some(known) = self.commands.get(&index) {
            return match known == command {
                true => Ok(false),
                false => {
                    let what = format!(
                        "{whom} applied another command at index {index} than was applied there before"
                    );
                    Err(Violation::new("I1", what))
                }
            };
        }
        self.commands.insert(index, command.to_vec());
        if let Some(request) = request {
            // A repeated request has its first place.
            self.requests.entry(request.to_owned()).or_insert(index);
        }
        Ok(true)
    }

    /// A client was told that its request was done.
    pub fn acknowledged(&mut self, request: &str) -> Option<Violation> {
        match self.requests.get(request) {
            Some(index) => {
                self.acknowledged.insert(request.to_owned(), *index);
                None
            }
            None => {
                let what = format!("request {request} was acknowledged and is nowhere in the log");
                Some(Violation::new("I1", what))
            }
        }
    }

    /// How many requests were acknowledged.
    pub fn acknowledgements(&self) -> usize {
        self.acknowledged.len()
    }

    /// Nothing more is written: a coordinator that has applied everything up to `last` must have
    /// come past every acknowledged request.
    pub fn is_whole(&self, whom: &str, last: u64) -> Vec<Violation> {
        let lost = self.acknowledged.iter().filter(|(_, index)| **index > last);
        lost.map(|(request, index)| {
            let what =
                format!("{whom} ends at {last}; request {request} was acknowledged at {index}");
            Violation::new("I1", what)
        })
        .collect()
    }
}
