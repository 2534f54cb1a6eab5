//! The fake AWS's certificates: a chain as AWS's endpoints have it, and a bundle of trusted roots of
//! the size a Lambda has, with the root of that chain among them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_RSA_SHA256, RsaKeySize,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;

use crate::trouble::{Result, Trouble};

/// Roots in the bundle: about as many as `/etc/pki/tls/certs/ca-bundle.crt` of Amazon Linux 2023 has.
const ROOTS: usize = 140;

/// The server's side of TLS, and the file of roots for the clients.
pub(crate) struct Certificates {
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) bundle: PathBuf,
}

/// Makes a new chain (RSA 2048: root, intermediate, leaf for `localhost`) and writes the bundle into
/// `folder`. No session is ever resumed.
pub(crate) fn make(folder: &Path) -> Result<Certificates> {
    let (server, pem) = chain().map_err(Trouble::because(
        "certificates for the fake AWS could not be made",
        "This is an error in the benchmark.",
    ))?;
    let bundle = folder.join("roots.pem");
    std::fs::write(&bundle, pem).map_err(Trouble::because(
        format!("{} could not be written", bundle.display()),
        "Make room for temporary files, or set TMPDIR to a folder that can be written.",
    ))?;
    Ok(Certificates {
        server: Arc::new(server),
        bundle,
    })
}

type AnyError = Box<dyn std::error::Error>;

fn chain() -> std::result::Result<(ServerConfig, String), AnyError> {
    let rsa = || KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048);
    let root_key = rsa()?;
    let root_params = authority("Root of the fake AWS");
    let root = root_params.self_signed(&root_key)?;
    let root_issuer = Issuer::new(root_params, root_key);

    let intermediate_key = rsa()?;
    let intermediate_params = authority("Intermediate of the fake AWS");
    let intermediate = intermediate_params.signed_by(&intermediate_key, &root_issuer)?;
    let intermediate_issuer = Issuer::new(intermediate_params, intermediate_key);

    let leaf_key = rsa()?;
    let leaf = CertificateParams::new(["localhost".to_owned()])?
        .signed_by(&leaf_key, &intermediate_issuer)?;

    // The others only have to be read: one key does for all.
    let mut pem = String::new();
    let other_key = rsa()?;
    for index in 1..ROOTS {
        pem += &authority(&format!("Another Trusted Root CA {index}"))
            .self_signed(&other_key)?
            .pem();
    }
    pem += &root.pem();

    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone(), intermediate.der().clone()],
            PrivateKeyDer::try_from(leaf_key.serialize_der())?,
        )?;
    server.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    // AWS's endpoints of these services speak HTTP/1.1 only.
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((server, pem))
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params
        .distinguished_name
        .push(DnType::OrganizationName, "cargo bench-lambda");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}
