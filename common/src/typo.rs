//! What was probably meant: the names nearest to one that does not exist.

/// How alike two names must be, from 0 (nothing in common) to 1 (equal), to be offered.
const LIKENESS_MIN: f64 = 0.5;
/// The longest name that is compared, in bytes: no known one is longer, and comparing costs the
/// product of both lengths.
const COMPARED_MAX: usize = 128;
/// How many names are offered at most.
pub const SUGGESTIONS_MAX: usize = 5;

/// The names of `known` that look like `name`, the nearest first, at most [`SUGGESTIONS_MAX`].
pub fn close_matches<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut scored: Vec<(f64, &str)> = known
        .into_iter()
        .filter(|candidate| name.len().max(candidate.len()) <= COMPARED_MAX)
        .map(|candidate| (likeness(name, candidate), candidate))
        .filter(|(score, _)| *score >= LIKENESS_MIN)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.truncate(SUGGESTIONS_MAX);
    scored.into_iter().map(|(_, candidate)| candidate).collect()
}

/// `; did you mean "x"?` for the nearest of `known`, or nothing when none is near.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    match close_matches(name, known).first() {
        Some(nearest) => format!("; did you mean \"{nearest}\"?"),
        None => String::new(),
    }
}

/// The nearest of `known`, when it is at least `least` (0 to 1) alike.
pub fn nearest<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
    least: f64,
) -> Option<&'a str> {
    let nearest = close_matches(name, known).into_iter().next()?;
    (likeness(name, nearest) >= least).then_some(nearest)
}

fn likeness(a: &str, b: &str) -> f64 {
    strsim::normalized_damerau_levenshtein(&a.to_lowercase(), &b.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered_first_and_strangers_never() {
        let known = ["cpus", "mem", "instances", "min_instances", "cmd"];
        for (typo, meant) in [
            ("cpu", "cpus"),
            ("memm", "mem"),
            ("instnaces", "instances"),
            ("Cmd", "cmd"),
        ] {
            assert_eq!(close_matches(typo, known)[0], meant, "{typo}");
        }
        assert_eq!(did_you_mean("cpu", known), "; did you mean \"cpus\"?");
        assert_eq!(did_you_mean("zzzzzz", known), "");
        let many: Vec<String> = (0..20).map(|n| format!("name{n}")).collect();
        let offered = close_matches("name", many.iter().map(String::as_str));
        assert_eq!(offered.len(), SUGGESTIONS_MAX);
    }
}
