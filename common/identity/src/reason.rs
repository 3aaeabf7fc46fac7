//! Why a handshake failed, in a closed set of words for metrics and in a sentence for people. TLS
//! itself has only alerts, and a client of TLS 1.3 learns not even these in time.

use std::io;

use tokio_rustls::rustls::{self, AlertDescription, CertificateError, OtherError};

use crate::{leaf::LeafError, verify::Mismatch};

/// Why a handshake failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The other side's certificate is expired.
    Expired,
    /// It is not valid yet.
    NotYetValid,
    /// It is signed by an authority that this side does not trust.
    UnknownAuthority,
    /// It is revoked.
    Revoked,
    /// It is not for this side of a connection.
    Purpose,
    /// Its DNS name is not that of the cluster's coordinators.
    ServerName,
    /// It names no identity.
    Identity,
    /// Its identity is of another cluster.
    Cluster,
    /// Its identity has another role than a coordinator's.
    Role,
    /// Its identity is another coordinator's than the one that was dialled.
    Member,
    /// The other side sent no certificate.
    NoCertificate,
    /// The other side refused this one's certificate, by an alert.
    Refused,
    /// The other side speaks an older TLS.
    Version,
    /// The other side speaks no TLS.
    NotTls,
    /// It ended in the middle.
    Closed,
    /// It took too long.
    Late,
    /// Others needed its place.
    Evicted,
    /// Too many handshakes from its address were under way.
    TooMany,
    /// Too many handshakes from its address failed.
    TooFast,
    /// Anything else.
    Other,
}

/// A handshake that failed.
#[derive(Debug, thiserror::Error)]
#[error("{words}")]
pub struct HandshakeError {
    reason: Reason,
    words: String,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 20] = [
        Self::Expired,
        Self::NotYetValid,
        Self::UnknownAuthority,
        Self::Revoked,
        Self::Purpose,
        Self::ServerName,
        Self::Identity,
        Self::Cluster,
        Self::Role,
        Self::Member,
        Self::NoCertificate,
        Self::Refused,
        Self::Version,
        Self::NotTls,
        Self::Closed,
        Self::Late,
        Self::Evicted,
        Self::TooMany,
        Self::TooFast,
        Self::Other,
    ];

    /// The word in metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::UnknownAuthority => "unknown-authority",
            Self::Revoked => "revoked",
            Self::Purpose => "purpose",
            Self::ServerName => "server-name",
            Self::Identity => "identity",
            Self::Cluster => "cluster",
            Self::Role => "role",
            Self::Member => "member",
            Self::NoCertificate => "no-certificate",
            Self::Refused => "refused",
            Self::Version => "version",
            Self::NotTls => "not-tls",
            Self::Closed => "closed",
            Self::Late => "late",
            Self::Evicted => "evicted",
            Self::TooMany => "too-many",
            Self::TooFast => "too-fast",
            Self::Other => "other",
        }
    }
}

impl HandshakeError {
    /// Reads why a handshake failed.
    pub(crate) fn of(error: &io::Error) -> Self {
        let inner = error.get_ref();
        match inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(error) => Self::of_tls(error),
            None if error.kind() == io::ErrorKind::UnexpectedEof => Self {
                reason: Reason::Closed,
                words: "the other side closed the connection during the TLS handshake; if it expects plain text, it has no `tls` in its configuration".to_owned(),
            },
            None => Self {
                reason: Reason::Closed,
                words: format!("the connection broke during the TLS handshake: {error}"),
            },
        }
    }

    pub(crate) fn of_tls(error: &rustls::Error) -> Self {
        use rustls::Error as E;
        let (reason, words) = match error {
            E::InvalidCertificate(why) => of_certificate(why),
            E::NoCertificatesPresented => (
                Reason::NoCertificate,
                "the other side sent no certificate, and one is required".to_owned(),
            ),
            E::AlertReceived(alert) => of_alert(*alert),
            E::PeerIncompatible(_) => (
                Reason::Version,
                format!("the other side does not speak TLS 1.3: {error}"),
            ),
            E::InvalidMessage(_) => (
                Reason::NotTls,
                "the other side does not speak TLS: one of both has no `tls` in its configuration"
                    .to_owned(),
            ),
            other => (Reason::Other, format!("the TLS handshake failed: {other}")),
        };
        Self { reason, words }
    }

    pub(crate) fn late() -> Self {
        Self {
            reason: Reason::Late,
            words: "the TLS handshake took too long".to_owned(),
        }
    }

    /// The reason, for a metric.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }
}

fn of_certificate(why: &CertificateError) -> (Reason, String) {
    use CertificateError as C;
    let clocks = "one of the two clocks may be wrong";
    match why {
        C::Expired | C::ExpiredContext { .. } => (
            Reason::Expired,
            format!("the other side's certificate is expired, by this machine's clock ({why}); renew it there, or {clocks}"),
        ),
        C::NotValidYet | C::NotValidYetContext { .. } => (
            Reason::NotYetValid,
            format!("the other side's certificate is not valid yet, by this machine's clock ({why}); {clocks}"),
        ),
        C::Revoked => (
            Reason::Revoked,
            "the other side's certificate is revoked".to_owned(),
        ),
        C::UnknownIssuer | C::BadSignature => (
            Reason::UnknownAuthority,
            "the other side's certificate is not signed by an authority in this side's bundle; compare the CA files of both".to_owned(),
        ),
        C::InvalidPurpose | C::InvalidPurposeContext { .. } => (
            Reason::Purpose,
            "the other side's certificate is not for this side of a connection (extended key usage); a coordinator's is for serverAuth and clientAuth, every other one for clientAuth".to_owned(),
        ),
        C::NotValidForName | C::NotValidForNameContext { .. } => (
            Reason::ServerName,
            format!("the other side's certificate is a coordinator's without the DNS name of the cluster's coordinators: {why}"),
        ),
        C::Other(OtherError(why)) => of_identity(why.as_ref()),
        other => (
            Reason::Other,
            format!("the other side's certificate cannot be used: {other}"),
        ),
    }
}

fn of_identity(why: &(dyn std::error::Error + Send + Sync + 'static)) -> (Reason, String) {
    let reason = match why.downcast_ref::<Mismatch>() {
        Some(Mismatch::Cluster { .. }) => Reason::Cluster,
        Some(Mismatch::Role { .. }) => Reason::Role,
        Some(Mismatch::Member { .. }) => Reason::Member,
        None if why.is::<LeafError>() => Reason::Identity,
        None => Reason::Other,
    };
    (reason, format!("the other side is refused: {why}"))
}

fn of_alert(alert: AlertDescription) -> (Reason, String) {
    use AlertDescription as A;
    let why = match alert {
        A::UnknownCA => "it does not trust the authority that signed it".to_owned(),
        A::CertificateExpired => "it is expired, or not valid yet, by the clock there".to_owned(),
        A::CertificateRevoked => "it is revoked".to_owned(),
        A::CertificateRequired => "there is none".to_owned(),
        A::ProtocolVersion => {
            let words = "the other side does not speak TLS 1.3".to_owned();
            return (Reason::Version, words);
        }
        other => format!("alert {other:?}"),
    };
    (
        Reason::Refused,
        format!("the other side refused this side's certificate: {why}; its log says more"),
    )
}
