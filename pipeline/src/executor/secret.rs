//! Secrets: named in the configuration, never written there, never shown.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

use super::config::Environment;
use super::error::{Error, Result};

/// Fewer bytes could be guessed.
const BYTES_MIN: usize = 16;

/// Where a secret is: exactly one of the two.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SecretConfig {
    /// The name of an environment variable that holds it.
    pub env: Option<String>,
    /// A file that holds it; a line break at its end is not part of it.
    pub file: Option<PathBuf>,
}

impl SecretConfig {
    /// Reads a secret that is ours to choose.
    ///
    /// # Errors
    /// When it is not there, or shorter than 16 bytes; the error names `field`.
    pub fn read(&self, field: &str, environment: &Environment<'_>) -> Result<Secret> {
        let secret = self.read_given(field, environment)?;
        if secret.0.len() < BYTES_MIN {
            let message = format!("it is shorter than {BYTES_MIN} bytes");
            return Err(Error::configuration(field, message));
        }
        Ok(secret)
    }

    /// Reads a secret that somebody else has chosen: a password, a key, an address.
    ///
    /// # Errors
    /// When it is not there, or empty; the error names `field`.
    pub fn read_given(&self, field: &str, environment: &Environment<'_>) -> Result<Secret> {
        let wrong = |message: String| Error::configuration(field, message);
        let bytes = match (&self.env, &self.file) {
            (Some(name), None) => environment(name)
                .ok_or_else(|| wrong(format!("the environment variable {name} is not set")))?
                .into_bytes(),
            (None, Some(path)) => {
                let read = std::fs::read(path);
                let mut bytes =
                    read.map_err(|error| wrong(format!("{}: {error}", path.display())))?;
                while bytes.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
                    bytes.pop();
                }
                bytes
            }
            _ => return Err(wrong("say where it is: either env or file".to_owned())),
        };
        if bytes.is_empty() {
            return Err(wrong("it is empty".to_owned()));
        }
        Ok(Secret(bytes))
    }
}

/// A secret, which is shown nowhere.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// A secret that is at hand.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The secret as text.
    ///
    /// # Errors
    /// When it is none; the error names `field`.
    pub(crate) fn text(&self, field: &str) -> Result<&str> {
        str::from_utf8(&self.0).map_err(|_| Error::configuration(field, "it is not UTF-8"))
    }

    /// A text that somebody else wrote, without the secret.
    pub(crate) fn hide(&self, text: &str) -> String {
        match str::from_utf8(&self.0) {
            Ok(secret) if !secret.is_empty() => text.replace(secret, "…"),
            _ => text.to_owned(),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(config: &SecretConfig) -> Result<Secret> {
        config.read("secret", &|name| (name == "HOOK").then(|| "0123456789abcdef".to_owned()))
    }

    #[test]
    fn a_secret_comes_from_where_it_is_named_and_is_not_shown() {
        let env = SecretConfig { env: Some("HOOK".to_owned()), file: None };
        let secret = read(&env).unwrap();
        assert_eq!(secret.bytes(), b"0123456789abcdef");
        assert_eq!(format!("{secret:?}"), "Secret(…)");

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "fedcba9876543210\n").unwrap();
        let file = SecretConfig { env: None, file: Some(path.clone()) };
        assert_eq!(read(&file).unwrap().bytes(), b"fedcba9876543210");

        std::fs::write(&path, "short\n").unwrap();
        assert!(file.read_given("secret", &|_| None).is_ok(), "others may choose short ones");
        assert_eq!(Secret::new("short").hide("a short text"), "a … text");
        let both = SecretConfig { env: env.env, ..file.clone() };
        let unset = SecretConfig { env: Some("OTHER".to_owned()), file: None };
        for wrong in [file, both, unset, SecretConfig::default()] {
            let error = read(&wrong).unwrap_err().to_string();
            assert!(error.starts_with("secret: "), "{error}");
            assert!(!error.contains("short\n"), "{error}");
        }
    }
}
