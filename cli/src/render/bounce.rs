//! The decision of a bounce method, in words.

/// Says what would be done. `drained` are the tasks in the order in which they would be drained.
pub fn render(method: &str, create_app: bool, drained: &[String]) -> String {
    let create = match create_app {
        true => "create the new app",
        false => "do not create the new app",
    };
    let drain = match drained.len() {
        0 => "drain nothing".to_owned(),
        count => format!("drain {count}: {}", drained.join(", ")),
    };
    format!("{method}: {create}; {drain}\n")
}
