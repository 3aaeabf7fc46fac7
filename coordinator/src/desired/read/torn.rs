//! Files that look as if somebody were in the middle of writing them: empty. They mean nothing, until
//! they say something or are taken away.

use std::{collections::BTreeMap, fs, path::Path};

use paasta_common::{
    id::{ClusterName, InstanceName, ServiceName},
    problem::{Problem, Rule, Severity},
};

/// The most bytes of a file without instances that is looked at for anything but comments.
const LOOKED_AT_MAX: u64 = 64 * 1024;

/// The first file of the service that decides what its instances are and is empty.
pub(super) fn torn<T>(
    dir: &Path,
    service: &ServiceName,
    cluster: &ClusterName,
    instances: &BTreeMap<InstanceName, T>,
) -> Option<Problem> {
    let declaring = format!("marathon-{cluster}.yaml");
    let others = ["service.yaml", "smartstack.yaml", "monitoring.yaml"];
    let names = others.into_iter().chain([declaring.as_str()]);
    let found = names.into_iter().find(|name| {
        let path = dir.join(service.as_str()).join(name);
        match fs::metadata(&path) {
            Ok(meta) if meta.len() == 0 => true,
            Ok(meta) if *name == declaring && instances.is_empty() => {
                meta.len() <= LOOKED_AT_MAX && says_nothing(&path)
            }
            _ => false,
        }
    });
    found.map(|name| Problem {
        file: format!("{service}/{name}"),
        line: None,
        column: None,
        field: String::new(),
        message: "is empty, as a file is while it is being written: the last good state stays; \
                  write what it should say, `{}` for nothing, or take the file away"
            .to_owned(),
        severity: Severity::Error,
        rule: Rule::Unreadable,
    })
}

/// Whether there is nothing in it but comments.
fn says_nothing(path: &Path) -> bool {
    let Ok(text) = fs::read_to_string(path) else {
        return false;
    };
    let line = |line: &str| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#') || line == "---" || line == "..."
    };
    text.lines().all(line)
}
