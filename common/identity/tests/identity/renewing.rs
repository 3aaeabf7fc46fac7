//! A certificate that is renewed while it is in use, and renewals that are cut short.

use std::{
    fs,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, SystemTime},
};

use paasta_identity::{
    Credentials, Files, Identity,
    authority::Request,
    renewal::{AskError, Overdue, RenewError, Renewed},
};
use paasta_process::metrics::Meters;
use tokio::time::timeout;

use crate::pki::{DAY, HOUR, PATIENCE, Pki, chmod, credentials, tls};

fn sign(pki: &Pki, identity: &str, request: &str, now: SystemTime) -> Renewed {
    let identity: Identity = format!("paasta://{}/{identity}", pki.cluster)
        .parse()
        .unwrap();
    Renewed {
        certificate: pki.authority.issue(request, &identity, now).unwrap(),
        authorities: pki.authority.pem().to_owned(),
    }
}

#[tokio::test]
async fn the_new_certificate_is_on_disk_and_in_use() {
    let pki = Pki::new("prod");
    let files = pki.files_at("agent/h", SystemTime::now() - 40 * DAY);
    let tls = tls(&files);
    let before = tls.credentials().validity();
    let key = fs::read(&files.key).unwrap();
    tls.renew_once(&files, |request| {
        let renewed = sign(&pki, "agent/h", &request, SystemTime::now());
        async { Ok(renewed) }
    })
    .await
    .unwrap();
    let after = tls.credentials().validity();
    assert!(after.not_after > before.not_after + 39 * DAY);
    assert_eq!(credentials(&files).validity(), after);
    assert_ne!(fs::read(&files.key).unwrap(), key, "the key is a new one");
    assert!(!files.key.with_extension("pem.next").exists());
}

#[tokio::test]
async fn an_answer_that_is_of_no_use_replaces_nothing() {
    let pki = Pki::new("prod");
    let other = Pki::new("prod");
    let files = pki.files("agent/h");
    let tls = tls(&files);
    let before = fs::read(&files.certificate).unwrap();
    let now = SystemTime::now();
    let answers: [&dyn Fn(&str) -> Renewed; 4] = [
        &|request| sign(&pki, "agent/other", request, now),
        &|request| sign(&pki, "agent/h", request, now - 200 * DAY),
        &|_| sign(&pki, "agent/h", Request::create().unwrap().pem(), now),
        &|request| Renewed {
            certificate: sign(&other, "agent/h", request, now).certificate,
            authorities: String::new(),
        },
    ];
    for answer in answers {
        let renewed = tls.renew_once(&files, |request| {
            let renewed = answer(&request);
            async { Ok(renewed) }
        });
        assert!(renewed.await.is_err());
        assert_eq!(fs::read(&files.certificate).unwrap(), before);
        credentials(&files);
    }
    let refused = tls
        .renew_once(&files, |_| async { Err(AskError::NoAuthority) })
        .await;
    assert!(matches!(
        refused,
        Err(RenewError::Ask(AskError::NoAuthority))
    ));
}

#[tokio::test]
async fn a_renewal_that_was_cut_short_is_finished_when_the_files_are_read() {
    let pki = Pki::new("prod");
    let files = pki.files("agent/h");
    let request = Request::create().unwrap();
    let next = Files {
        key: files.key.with_extension("pem.next"),
        ..files.clone()
    };
    fs::write(&next.key, request.key_pem()).unwrap();
    chmod(&next.key, 0o600);
    // Before the certificate: the old pair counts.
    let old = credentials(&files).validity();
    let signed = sign(&pki, "agent/h", request.pem(), SystemTime::now() + HOUR / 2);
    fs::write(&files.certificate, &signed.certificate).unwrap();
    // Behind it: the new one does.
    let new = credentials(&files).validity();
    assert_ne!(old, new);
    assert!(!next.key.exists());
    assert_eq!(credentials(&files).validity(), new);
    // A key of neither is no way out.
    fs::write(&files.key, Request::create().unwrap().key_pem()).unwrap();
    fs::write(&next.key, Request::create().unwrap().key_pem()).unwrap();
    assert!(Credentials::read(&files).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_renewal_is_tried_until_it_is_done() {
    let pki = Pki::new("prod");
    let files = pki.files_at("agent/h", SystemTime::now() - 60 * DAY);
    let tls = tls(&files);
    let (tries, pki) = (AtomicUsize::new(0), &pki);
    let keeping = tls.keep_renewing(files, Overdue::new(&Meters::default()), |request| {
        let now = SystemTime::now();
        let answer = match tries.fetch_add(1, Ordering::SeqCst) {
            0..3 => Err(AskError::Refused("there is no leader now".to_owned())),
            _ => Ok(sign(pki, "agent/h", &request, now)),
        };
        async { answer }
    });
    let done = async {
        while tls.credentials().validity().not_after < SystemTime::now() + 80 * DAY {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let within = PATIENCE * 1_000;
    tokio::select! {
        () = keeping => panic!("it never ends"),
        done = timeout(within, done) => done.unwrap(),
    }
    assert_eq!(tries.load(Ordering::SeqCst), 4);
}
