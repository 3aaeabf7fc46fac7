//! Every call of the wire, as the descriptors have it.

use std::collections::BTreeSet;

use prost::Message as _;
use prost_types::FileDescriptorSet;

/// `/package.Service/Method` of each.
///
/// # Panics
/// The descriptors that the build makes are none.
pub fn calls() -> BTreeSet<String> {
    let set = FileDescriptorSet::decode(paasta_proto::DESCRIPTORS);
    let set = set.expect("the build makes the descriptors");
    let of_file = set.file.iter().flat_map(|file| {
        let services = file.service.iter();
        services.map(|service| (file.package(), service))
    });
    of_file
        .flat_map(|(package, service)| {
            let methods = service.method.iter();
            methods.map(move |method| format!("/{package}.{}/{}", service.name(), method.name()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_have_full_names() {
        let calls = calls();
        assert!(calls.contains("/paasta.v1.Admin/Status"), "{calls:?}");
        assert!(calls.len() > 40, "{calls:?}");
    }
}
