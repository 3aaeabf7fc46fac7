//! Contexts in a directory: what is kept, what is refused, and with which words.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use paasta_common::id::ContextName;
use paasta_identity::context::{Context, ContextTls, Contexts, Pem};

use crate::pki::{Pki, chmod};

fn name(text: &str) -> ContextName {
    ContextName::new(text).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn plain(cluster: &str) -> Context {
    Context {
        cluster: cluster.parse().unwrap(),
        coordinators: vec!["127.0.0.1:7401".parse().unwrap()],
        tls: None,
    }
}

#[test]
fn contexts_are_kept_for_their_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let contexts = Contexts::at(dir.path().join("config/paasta"));
    assert_eq!(contexts.list().unwrap(), []);
    assert_eq!(contexts.current().unwrap(), None);
    let path = contexts.add(&name("prod"), &plain("prod")).unwrap();
    contexts.add(&name("dev"), &plain("dev")).unwrap();
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(contexts.list().unwrap(), [name("dev"), name("prod")]);
    // The first one.
    assert_eq!(contexts.current().unwrap(), Some(name("prod")));
    assert_eq!(contexts.load(&name("dev")).unwrap(), plain("dev"));
    contexts.select(&name("dev")).unwrap();
    assert_eq!(contexts.current().unwrap(), Some(name("dev")));
    contexts.remove(&name("dev")).unwrap();
    assert_eq!(contexts.current().unwrap(), None);
    assert_eq!(contexts.list().unwrap(), [name("prod")]);

    // What was opened is refused, and closed by the next save.
    chmod(&path, 0o640);
    let refused = contexts.load(&name("prod")).unwrap_err().to_string();
    assert!(
        refused.contains("prod.yaml") && refused.contains("0640"),
        "{refused}"
    );
    contexts.save(&name("prod"), &plain("prod")).unwrap();
    assert_eq!(mode(&path), 0o600);
    contexts.load(&name("prod")).unwrap();

    let absent = contexts.select(&name("prd")).unwrap_err().to_string();
    assert!(absent.contains("did you mean \"prod\"?"), "{absent}");
    fs::write(dir.path().join("config/paasta/current-context"), "../x\n").unwrap();
    let wrong = contexts.current().unwrap_err().to_string();
    assert!(
        wrong.contains("current-context") && wrong.contains("../x"),
        "{wrong}"
    );
}

#[test]
fn credentials_come_from_the_context_or_from_files() {
    let (pki, other) = (Pki::new("prod"), Pki::new("dev"));
    let read = |path: &Path| Pem::Text(fs::read_to_string(path).unwrap());
    let files = pki.files("admin/alice");
    let dir = tempfile::tempdir().unwrap();
    let contexts = Contexts::at(dir.path().to_owned());
    for (ca, certificate, key) in [
        (read(&files.ca), read(&files.certificate), read(&files.key)),
        (
            Pem::File(files.ca.clone()),
            Pem::File(files.certificate.clone()),
            Pem::File(files.key.clone()),
        ),
    ] {
        let tls = Some(ContextTls {
            ca,
            certificate,
            key,
        });
        let context = Context {
            tls,
            ..plain("prod")
        };
        let path = contexts.save(&name("prod"), &context).unwrap();
        let loaded = contexts.load(&name("prod")).unwrap();
        let own = loaded.credentials(&path).unwrap().unwrap();
        assert_eq!(own.identity().to_string(), "paasta://prod/admin/alice");
        own.check(std::time::SystemTime::now()).unwrap();
        assert!(!format!("{context:?}").contains("PRIVATE KEY"));
    }
    // Of another cluster, and a key that others can read.
    let files = other.files("admin/alice");
    let tls = ContextTls {
        ca: read(&files.ca),
        certificate: read(&files.certificate),
        key: Pem::File(files.key.clone()),
    };
    let context = Context {
        tls: Some(tls),
        ..plain("prod")
    };
    let at = Path::new("/c/prod.yaml");
    let refused = context.credentials(at).unwrap_err().to_string();
    assert!(
        refused.contains("/c/prod.yaml (field cert)") && refused.contains("paasta://dev/"),
        "{refused}"
    );
    chmod(&files.key, 0o644);
    let open = context.credentials(at).unwrap_err().to_string();
    assert!(open.contains("key.pem") && open.contains("0644"), "{open}");
}
