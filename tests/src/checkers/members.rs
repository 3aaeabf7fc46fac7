//! Who takes part in consensus: a store that is not its member's own never does, and no term is
//! later than elections can have made it.

use super::Violation;

/// More terms than any simulation has elections.
const TERMS_MAX: u64 = 100_000;

/// A coordinator under a member's id that has an empty store in place of the member's own: it must
/// neither vote nor take anything into its log.
pub fn took_part(whom: &str, term: u64, last_log: Option<u64>) -> Option<Violation> {
    if term == 0 && last_log.is_none() {
        return None;
    }
    let what = format!(
        "{whom} lost its store and took part all the same: term {term}, log up to {last_log:?}"
    );
    Some(Violation::new("Stores", what))
}

/// The term that a coordinator is in.
pub fn possible(whom: &str, term: u64) -> Option<Violation> {
    (term > TERMS_MAX).then(|| {
        let what = format!("{whom} is in term {term}, which no elections have made");
        Violation::new("Terms", what)
    })
}
