//! A refused handshake in the words of Go's TLS, which etcd's users and tools look for.

use std::io;
use std::net::IpAddr;

use rustls::pki_types::CertificateDer;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

use super::names::AltNames;

/// A connection that was refused, to be logged.
#[derive(Debug, Default)]
pub(crate) struct Rejection {
    /// The host that the client asked for; empty if it said none.
    pub(crate) server_name: String,
    /// The addresses in its certificate.
    pub(crate) addresses: Vec<IpAddr>,
    /// The names in its certificate.
    pub(crate) dns: Vec<String>,
    /// Why.
    pub(crate) error: String,
    /// Whether it just went away: a port that is looked at is no news.
    pub(crate) is_quiet: bool,
}

impl Rejection {
    /// Of one that has shown a certificate.
    pub(crate) fn of_certificate(
        server_name: String,
        leaf: Option<&CertificateDer<'_>>,
        error: String,
    ) -> Self {
        let names = leaf.map(AltNames::of).unwrap_or_default();
        Self {
            server_name,
            addresses: names.addresses,
            dns: names.dns,
            error,
            is_quiet: false,
        }
    }
}

/// Of a handshake that failed.
pub(crate) fn of_handshake(server_name: String, error: &io::Error) -> Rejection {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>());
    let (error, is_quiet) = match inner {
        Some(error) => (of_error(error), false),
        None if error.kind() == io::ErrorKind::UnexpectedEof => ("EOF".into(), true),
        None => (crate::words::of_io(error), false),
    };
    Rejection {
        server_name,
        error,
        is_quiet,
        ..Rejection::default()
    }
}

fn of_error(error: &Error) -> String {
    match error {
        Error::NoCertificatesPresented => "tls: client didn't provide a certificate".into(),
        Error::InvalidCertificate(why) => of_certificate(why),
        Error::AlertReceived(alert) => match of_alert(*alert) {
            Some(words) => format!("remote error: tls: {words}"),
            None => format!("remote error: tls: {alert:?}"),
        },
        Error::PeerIncompatible(
            PeerIncompatible::NoCipherSuitesInCommon | PeerIncompatible::NoKxGroupsInCommon,
        ) => "tls: no cipher suite supported by both client and server".into(),
        Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::Tls13RequiredForQuic
            | PeerIncompatible::SupportedVersionsExtensionRequired,
        ) => "tls: client offered only unsupported versions".into(),
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => "tls: first record does not look like a TLS handshake".into(),
        other => format!("tls: {other}"),
    }
}

fn of_certificate(error: &CertificateError) -> String {
    let why = match error {
        // What the check of allowed names answers with; nothing else verifies a client's name.
        CertificateError::NotValidForName => {
            return "client certificate authentication failed".into();
        }
        CertificateError::UnknownIssuer => "certificate signed by unknown authority".into(),
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => {
            "certificate has expired or is not yet valid".into()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "certificate specifies an incompatible key usage".into()
        }
        other => format!("{other}"),
    };
    format!("tls: failed to verify certificate: x509: {why}")
}

/// Go's words for the alerts of a handshake (crypto/tls/alert.go).
fn of_alert(alert: AlertDescription) -> Option<&'static str> {
    Some(match alert {
        AlertDescription::HandshakeFailure => "handshake failure",
        AlertDescription::BadCertificate => "bad certificate",
        AlertDescription::UnsupportedCertificate => "unsupported certificate",
        AlertDescription::CertificateRevoked => "revoked certificate",
        AlertDescription::CertificateExpired => "expired certificate",
        AlertDescription::CertificateUnknown => "unknown certificate",
        AlertDescription::IllegalParameter => "illegal parameter",
        AlertDescription::UnknownCA => "unknown certificate authority",
        AlertDescription::AccessDenied => "access denied",
        AlertDescription::DecodeError => "error decoding message",
        AlertDescription::DecryptError => "error decrypting message",
        AlertDescription::ProtocolVersion => "protocol version not supported",
        AlertDescription::InsufficientSecurity => "insufficient security level",
        AlertDescription::InternalError => "internal error",
        AlertDescription::UserCanceled => "user canceled",
        AlertDescription::UnrecognisedName => "unrecognized name",
        AlertDescription::CertificateRequired => "certificate required",
        AlertDescription::NoApplicationProtocol => "no application protocol",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::io;

    use rustls::{AlertDescription, CertificateError, Error};

    use super::of_handshake;

    #[test]
    fn faults_have_gos_words() {
        let cases = [
            (
                Error::NoCertificatesPresented,
                "tls: client didn't provide a certificate",
            ),
            (
                Error::InvalidCertificate(CertificateError::NotValidForName),
                "client certificate authentication failed",
            ),
            (
                Error::InvalidCertificate(CertificateError::UnknownIssuer),
                "tls: failed to verify certificate: x509: certificate signed by unknown authority",
            ),
            (
                Error::AlertReceived(AlertDescription::BadCertificate),
                "remote error: tls: bad certificate",
            ),
        ];
        for (error, words) in cases {
            let rejection = of_handshake("host".into(), &io::Error::other(error));
            assert_eq!(
                (rejection.error.as_str(), rejection.is_quiet),
                (words, false)
            );
            assert_eq!(rejection.server_name, "host");
        }
        let gone = of_handshake(String::new(), &io::ErrorKind::UnexpectedEof.into());
        assert_eq!((gone.error.as_str(), gone.is_quiet), ("EOF", true));
    }
}
