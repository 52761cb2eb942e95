//! Lists of revoked certificates.

use anyhow::{Context, Result};
use rcgen::{
    CertificateRevocationListParams, Issuer, KeyIdMethod, RevokedCertParams, SerialNumber,
    SigningKey,
};

/// The list, as DER, of the certificates with these serial numbers, signed by who issued them; all have
/// been revoked since before any test.
pub fn revocation_list(
    issuer: &Issuer<'_, impl SigningKey>,
    serials: impl IntoIterator<Item = SerialNumber>,
) -> Result<Vec<u8>> {
    let revoked = serials.into_iter().map(|serial_number| RevokedCertParams {
        serial_number,
        revocation_time: rcgen::date_time_ymd(2026, 1, 1),
        reason_code: None,
        invalidity_date: None,
    });
    let list = CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2026, 1, 1),
        next_update: rcgen::date_time_ymd(2046, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let signed = list.signed_by(issuer).context("sign a revocation list")?;
    Ok(signed.der().to_vec())
}
