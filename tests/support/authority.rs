//! Certificates, made for one test: an authority, and what it signs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};

/// Who signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
    /// Its own certificate, as a file.
    pub ca: PathBuf,
}

/// A certificate and its key, as files.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    serial: SerialNumber,
}

impl Authority {
    /// A new one, with its files in this folder.
    pub fn new(folder: &Path, name: &str) -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate()?;
        let own: Certificate = params.self_signed(&key)?;
        let ca = folder.join(format!("{name}.pem"));
        fs::write(&ca, own.pem())?;
        Ok(Self { issuer: Issuer::new(params, key), folder: folder.to_owned(), ca })
    }

    /// Signs a certificate for that name (`dns:`, `uri:` or `ip:`), under a name for its files.
    pub fn sign(&self, file: &str, name: &str) -> Result<Signed> {
        self.make(file, name, false)
    }

    /// The same of one that is not valid any more.
    pub fn sign_expired(&self, file: &str, name: &str) -> Result<Signed> {
        self.make(file, name, true)
    }

    fn make(&self, file: &str, name: &str, expired: bool) -> Result<Signed> {
        let mut params = CertificateParams::new(Vec::new())?;
        let (kind, value) = name.split_once(':').unwrap_or(("dns", name));
        params.subject_alt_names.push(match kind {
            "uri" => SanType::URI(value.try_into()?),
            "ip" => SanType::IpAddress(value.parse()?),
            _ => SanType::DnsName(value.try_into()?),
        });
        let serial = SerialNumber::from_slice(&rand_bytes()?);
        params.serial_number = Some(serial.clone());
        if expired {
            (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        }
        let key = KeyPair::generate()?;
        let signed = params.signed_by(&key, &self.issuer)?;
        let [cert, path] = ["crt", "key"].map(|kind| self.folder.join(format!("{file}.{kind}")));
        fs::write(&cert, signed.pem())?;
        fs::write(&path, key.serialize_pem())?;
        Ok(Signed { cert, key: path, serial })
    }

    /// A list of what is revoked, in PEM.
    pub fn revoked(&self, certificates: &[&Signed]) -> Result<String> {
        let revoked = |one: &&Signed| RevokedCertParams {
            serial_number: one.serial.clone(),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2099, 1, 1),
            crl_number: SerialNumber::from_slice(&[1]),
            issuing_distribution_point: None,
            revoked_certs: certificates.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(list.signed_by(&self.issuer)?.pem()?)
    }
}

/// Eight bytes that no other certificate has, the first one positive.
fn rand_bytes() -> Result<[u8; 8]> {
    let mut bytes = [0; 8];
    let mut source = fs::File::open("/dev/urandom")?;
    std::io::Read::read_exact(&mut source, &mut bytes)?;
    bytes[0] = bytes[0] & 0x3f | 0x40;
    Ok(bytes)
}

/// Replaces a file in one step, as those do who renew certificates.
pub fn replace(path: &Path, text: &str) -> Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, text)?;
    Ok(fs::rename(&new, path)?)
}

/// How long the daemon may take to see that a file is another one: it looks each second.
pub const SEEN_WITHIN: Duration = Duration::from_secs(20);
