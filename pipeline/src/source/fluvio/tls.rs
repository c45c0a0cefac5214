//! TLS towards a cluster, with our own choice of certificates and cryptography.
//!
//! The binary has two providers of cryptography in it, so that rustls cannot choose one by itself; the
//! connector is built with one named.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use fluvio_future::net::DomainConnector;
use fluvio_future::rust_tls::{TlsConnector, TlsDomainConnector};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::config::TlsConfig;

/// What connects to a cluster over TLS; certificates must be for the domain, and a broker's for its
/// name below it.
///
/// # Errors
/// When a file cannot be read or is no certificate or key.
pub(super) fn connector(tls: &TlsConfig, endpoint: &str) -> Result<DomainConnector> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("tls")?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates("tls.ca", &tls.ca)? {
        roots.add(certificate).with_context(|| format!("tls.ca: {}", tls.ca.display()))?;
    }
    let builder = builder.with_root_certificates(roots);
    let client = match (&tls.cert, &tls.key) {
        (Some(cert), Some(path)) => {
            let key = PrivateKeyDer::from_pem_file(path);
            let key = key.with_context(|| format!("tls.key: {}", path.display()))?;
            let chain = certificates("tls.cert", cert)?;
            builder.with_client_auth_cert(chain, key).context("tls.cert and tls.key")?
        }
        (None, None) => builder.with_no_client_auth(),
        _ => anyhow::bail!("tls.cert and tls.key belong together: name both, or neither"),
    };
    let host = endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host);
    let domain = tls.domain.clone().unwrap_or_else(|| host.to_owned());
    Ok(Box::new(TlsDomainConnector::new(TlsConnector::from(Arc::new(client)), domain)))
}

fn certificates(field: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("{field}: {}", path.display()))?;
    ensure!(!found.is_empty(), "{field}: {} holds no certificate in PEM form", path.display());
    Ok(found)
}
