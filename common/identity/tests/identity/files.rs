//! Files of authorities, certificates and keys.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command, time::SystemTime};

use paasta_common::id::ClusterName;
use paasta_identity::{
    Credentials, CredentialsError, Files, Identity,
    authority::{Authority, AuthorityError, Request},
};
use rcgen::{CertificateParams, DnType, KeyPair, SanType};

use crate::pki::{Pki, chmod};

fn text_of(path: &std::path::Path) -> String {
    let output = Command::new("openssl")
        .args(["x509", "-noout", "-text", "-in"])
        .arg(path)
        .output()
        .expect("run openssl: install it");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn only_the_public_key_of_a_request_counts() {
    let pki = Pki::new("prod");
    let key = KeyPair::generate().unwrap();
    let mut asked = CertificateParams::default();
    asked.distinguished_name.push(DnType::CommonName, "admin");
    let evil = "paasta://prod/admin/evil".to_owned();
    asked.subject_alt_names = vec![SanType::URI(evil.try_into().unwrap())];
    let request = asked.serialize_request(&key).unwrap().pem().unwrap();
    let identity: Identity = "paasta://prod/agent/h".parse().unwrap();
    let issued = pki
        .authority
        .issue(&request, &identity, SystemTime::now())
        .unwrap();
    let path = pki.dir.path().join("leaf.pem");
    fs::write(&path, issued).unwrap();
    let text = text_of(&path);
    for words in [
        "URI:paasta://prod/agent/h",
        "DNS:agent.prod.paasta.internal",
        "CN = agent/h",
        "TLS Web Client Authentication, TLS Web Server Authentication",
        "CA:FALSE",
        "Digital Signature",
        "Authority Key Identifier",
        "ecdsa-with-SHA256",
    ] {
        assert!(text.contains(words), "{words:?} in {text}");
    }
    for absent in ["evil", "DNS:coordinator", "rcgen"] {
        assert!(!text.contains(absent), "{absent:?} in {text}");
    }
    let reader = text_of(&pki.files("reader/bob").certificate);
    for absent in ["DNS:", "TLS Web Server"] {
        assert!(!reader.contains(absent), "{absent:?} in {reader}");
    }
    let coordinator = text_of(&pki.files("coordinator/1").certificate);
    assert!(coordinator.contains("DNS:coordinator.prod.paasta.internal"));
    assert!(coordinator.contains("TLS Web Client Authentication, TLS Web Server Authentication"));
    let ca = text_of(&pki.ca());
    for words in [
        "CA:TRUE, pathlen:0",
        "Certificate Sign, CRL Sign",
        "CN = paasta prod CA",
    ] {
        assert!(ca.contains(words), "{words:?} in {ca}");
    }
}

#[test]
fn a_request_that_its_key_did_not_sign_is_refused() {
    let pki = Pki::new("prod");
    let identity: Identity = "paasta://prod/agent/h".parse().unwrap();
    let now = SystemTime::now();
    let request = Request::create().unwrap();
    let body = |pem: &str| {
        let lines: Vec<&str> = pem.lines().filter(|line| !line.starts_with('-')).collect();
        lines.concat()
    };
    // The signature is at the end: another one there, in the same form.
    let (mut one, other) = (body(request.pem()), body(Request::create().unwrap().pem()));
    let at = one.len() - 16;
    one.replace_range(at.., &other[other.len() - 16..]);
    let forged =
        format!("-----BEGIN CERTIFICATE REQUEST-----\n{one}\n-----END CERTIFICATE REQUEST-----\n");
    assert!(pki.authority.issue(request.pem(), &identity, now).is_ok());
    for bad in [forged.as_str(), "", "nonsense", pki.authority.pem()] {
        assert!(pki.authority.issue(bad, &identity, now).is_err(), "{bad}");
    }
    let stage: Identity = "paasta://stage/agent/h".parse().unwrap();
    let refused = pki.authority.issue(request.pem(), &stage, now);
    assert!(matches!(refused, Err(AuthorityError::OtherCluster { .. })));
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let pki = Pki::new("prod");
    let mode = |name: &str| {
        let path = pki.dir.path().join(name);
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(mode("ca.key"), 0o600);
    let files = pki.files("agent/h");
    for open in [0o640, 0o604, 0o660, 0o666] {
        chmod(&files.key, open);
        let error = Credentials::read(&files).unwrap_err();
        assert!(matches!(error, CredentialsError::File(_)), "{error}");
        let words = error.to_string();
        assert!(words.contains(&format!("mode {open:04o}")), "{words}");
        assert!(words.contains("chmod 600"), "{words}");
    }
    chmod(&files.key, 0o400);
    assert!(Credentials::read(&files).is_ok());
    let (ca, key) = (pki.ca(), pki.dir.path().join("ca.key"));
    let again = Authority::read(&pki.cluster, &ca, &key).unwrap();
    assert_eq!(again.pin(), pki.authority.pin());
    assert!(pki.authority.write(&ca, &key).is_err(), "not over another");
    chmod(&key, 0o644);
    assert!(Authority::read(&pki.cluster, &ca, &key).is_err());
}

#[test]
fn files_that_do_not_fit_are_named() {
    let (pki, other) = (Pki::new("prod"), Pki::new("prod"));
    let files = pki.files("agent/h");
    let said = |files: &Files| match Credentials::read(files) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{files:?} is fine"),
    };
    let swapped = Files {
        key: other.files("agent/h").key,
        ..files.clone()
    };
    assert!(said(&swapped).contains("is not the key of the certificate"));
    let absent = Files {
        ca: pki.dir.path().join("absent.pem"),
        ..files.clone()
    };
    assert!(said(&absent).contains("absent.pem: cannot be read"));
    let empty = pki.dir.path().join("empty.pem");
    fs::write(&empty, "").unwrap();
    let without = Files {
        certificate: empty.clone(),
        ..files.clone()
    };
    assert!(said(&without).contains("empty.pem has 0 certificates"));
    chmod(&empty, 0o600);
    let no_key = Files {
        key: empty,
        ..files.clone()
    };
    assert!(said(&no_key).contains("one private key"));
    let large = pki.dir.path().join("large.pem");
    fs::write(&large, vec![b'x'; 2 << 20]).unwrap();
    let large = Files {
        ca: large,
        ..files.clone()
    };
    assert!(said(&large).contains("too large"));
    let authority = Files {
        certificate: pki.ca(),
        ..files
    };
    assert!(said(&authority).contains("names no identity"));
    let long = ClusterName::new(&"a".repeat(63)).unwrap();
    assert!(Authority::create(&long, SystemTime::now()).is_ok());
    let long = ClusterName::new("ends-").unwrap();
    let refused = Authority::create(&long, SystemTime::now()).unwrap_err();
    assert!(refused.to_string().contains("no label of a DNS name"));
}
