//! TLS: a cluster that asks for certificates is reached with the right ones alone.
//!
//! The certificates beside this file were made for these tests and are good for nothing else.

use std::path::PathBuf;
use std::sync::Arc;

use cloudops_pipeline::config::{FluvioConfig, TlsConfig};
use cloudops_pipeline::source::fluvio::address::Address;
use cloudops_pipeline::source::fluvio::cluster::Cluster;
use cloudops_pipeline::source::fluvio::{ask, find};
use fluvio_future::rust_tls::TlsAcceptor;
use fluvio_protocol::record::Record;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::broker::{Broker, Log, Partition};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fluvio/certificates").join(name)
}

fn acceptor() -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file("ca.pem")).unwrap()).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(
            vec![CertificateDer::from_pem_file(file("server.pem")).unwrap()],
            PrivateKeyDer::from_pem_file(file("server.key")).unwrap(),
        );
    TlsAcceptor::from(Arc::new(server.unwrap()))
}

fn cluster(broker: &Broker, tls: Option<TlsConfig>) -> (Cluster, Address) {
    let address = Address::parse(&format!("fluvio://{}/secret", broker.endpoint)).unwrap().unwrap();
    let config = FluvioConfig { profile: None, tls };
    (Cluster::new(&address, &config).unwrap(), address)
}

fn tls(ca: &str, client: Option<&str>, domain: &str) -> Option<TlsConfig> {
    Some(TlsConfig {
        ca: file(ca),
        cert: client.map(|name| file(&format!("{name}.pem"))),
        key: client.map(|name| file(&format!("{name}.key"))),
        domain: Some(domain.to_owned()),
    })
}

#[test]
fn a_cluster_is_reached_over_tls_with_the_right_certificates_alone() {
    let broker = Broker::start_with(Some(acceptor()));
    let partition = Partition { log: Log::default(), ..Partition::default() };
    broker.state().topics.insert("secret".to_owned(), vec![partition]);

    let (right, address) = cluster(&broker, tls("ca.pem", Some("client"), "fluvio.test"));
    let produced = ask(async || {
        let leader = right.leader("secret", 0).await?;
        leader.produce(vec![Record::new_key_value("key", "value")], 0).await
    });
    assert_eq!(produced.unwrap(), 0);
    assert_eq!(find(&right, &address).unwrap()[0].1.end, 1);

    for (what, tls) in [
        ("UnknownIssuer", tls("other.pem", Some("client"), "fluvio.test")),
        ("not valid for name", tls("ca.pem", Some("client"), "fluvio.other")),
        ("", tls("ca.pem", None, "fluvio.test")),
        ("", None),
    ] {
        let (wrong, address) = cluster(&broker, tls);
        let error = format!("{:#}", find(&wrong, &address).unwrap_err());
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn certificates_that_cannot_be_read_are_named() {
    let address = Address::parse("fluvio://host/topic").unwrap().unwrap();
    let refused = |tls: TlsConfig, what: &str| {
        let config = FluvioConfig { profile: None, tls: Some(tls) };
        let error = format!("{:#}", Cluster::new(&address, &config).unwrap_err());
        assert!(error.contains(what), "{error}");
    };
    let good = || tls("ca.pem", Some("client"), "fluvio.test").unwrap();
    refused(TlsConfig { ca: file("none.pem"), ..good() }, "tls.ca");
    refused(TlsConfig { ca: file("server.key"), ..good() }, "holds no certificate");
    refused(TlsConfig { key: Some(file("ca.pem")), ..good() }, "tls.key");
    refused(TlsConfig { cert: None, ..good() }, "belong together");
}
