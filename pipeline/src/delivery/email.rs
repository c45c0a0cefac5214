//! Mail by SMTP, with TLS from the start or by STARTTLS.
//!
//! A mail's `Message-ID` is the message's key with the sink's name, so that one that comes twice is known by
//! it. A reply of 5xx is a refusal, anything else is tried again.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use cloudops_sql::catalog::delivery::Acknowledged;
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{SmtpTransport, Transport};

use super::http::REASON_CHARACTERS;
use super::template::{Template, plain};
use super::{Failure, Grouping, Message, Receiver};
use crate::config::{EmailConfig, Security};
use crate::executor::config::Environment;
use crate::executor::secret::Secret;

/// Somebody's mailboxes.
pub(super) struct Email {
    sink: String,
    transport: SmtpTransport,
    from: Mailbox,
    to: Vec<Mailbox>,
    password: Option<Secret>,
    subject: Template,
    template: Template,
}

impl std::fmt::Debug for Email {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The transport holds the password.
        f.debug_struct("Email")
            .field("from", &self.from)
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

/// Checks the settings.
///
/// # Errors
/// Naming the field.
pub(super) fn check(config: &EmailConfig) -> Result<()> {
    ensure!(!config.host.is_empty(), "email.host is empty: name the server that takes our mail");
    ensure!(!config.to.is_empty(), "email.to is empty: name at least one recipient");
    mailbox("email.from", &config.from)?;
    config.to.iter().try_for_each(|to| mailbox("email.to", to).map(drop))?;
    ensure!(
        config.user.is_some() == config.password.is_some(),
        "email.user and email.password go together"
    );
    if config.security == Security::None {
        ensure!(config.user.is_none(), "email.security is none: a password would go in the clear");
        ensure!(config.ca.is_none(), "email.ca is for TLS, and email.security is none");
    }
    Ok(())
}

fn mailbox(field: &str, text: &str) -> Result<Mailbox> {
    text.parse().with_context(|| format!("{field}: {text:?} is no mailbox: write name@example.com"))
}

impl Email {
    pub(super) fn new(
        sink: &str,
        config: &EmailConfig,
        (subject, template): (Template, Template),
        timeout: Duration,
        environment: &Environment<'_>,
    ) -> Result<Self> {
        let parameters = || -> Result<TlsParameters> {
            let mut tls = TlsParameters::builder(config.host.clone());
            if let Some(ca) = &config.ca {
                let pem =
                    std::fs::read(ca).with_context(|| format!("email.ca: {}", ca.display()))?;
                let authority = Certificate::from_pem(&pem)
                    .with_context(|| format!("email.ca: {}", ca.display()))?;
                tls = tls.certificate_store(CertificateStore::None).add_root_certificate(authority);
            }
            tls.build().context("email.host: no name for TLS")
        };
        let (tls, port) = match config.security {
            Security::StartTls => (Tls::Required(parameters()?), 587),
            Security::Implicit => (Tls::Wrapper(parameters()?), 465),
            Security::None => (Tls::None, 587),
        };
        let mut transport = SmtpTransport::builder_dangerous(&config.host)
            .port(config.port.unwrap_or(port))
            .tls(tls)
            .timeout(Some(timeout));
        let password = config.password.as_ref();
        let password =
            password.map(|of| of.read_given("email.password", environment)).transpose()?;
        if let (Some(user), Some(password)) = (&config.user, &password) {
            let text = password.text("email.password")?.to_owned();
            transport = transport.credentials(Credentials::new(user.clone(), text));
        }
        Ok(Self {
            sink: sink.to_owned(),
            transport: transport.build(),
            from: mailbox("email.from", &config.from)?,
            to: config.to.iter().map(|to| mailbox("email.to", to)).collect::<Result<_>>()?,
            password,
            subject,
            template,
        })
    }

    fn mail(&self, message: &Message<'_>, now_us: i64) -> Result<lettre::Message> {
        let mut subject = message
            .lines
            .first()
            .map_or_else(String::new, |line| self.subject.say(&line.row, one_line));
        if message.lines.len() > 1 {
            subject.push_str(&format!(" and {} more", message.lines.len() - 1));
        }
        let texts = message.lines.iter().map(|line| self.template.say(&line.row, plain));
        let body = texts.collect::<Vec<_>>().join("\n");
        let now = SystemTime::UNIX_EPOCH + Duration::from_micros(now_us.unsigned_abs());
        let domain = self.from.email.domain();
        let mut mail = lettre::Message::builder()
            .from(self.from.clone())
            .date(now)
            .message_id(Some(format!("<{}.{}@{domain}>", message.key, self.sink)))
            .subject(subject)
            .header(ContentType::TEXT_PLAIN);
        for to in &self.to {
            mail = mail.to(to.clone());
        }
        Ok(mail.body(body + "\n")?)
    }
}

/// For headers, which are one line.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl Receiver for Email {
    fn grouping(&self) -> Grouping {
        Grouping::ByColumns
    }

    fn send(&self, message: &Message<'_>, now_us: i64) -> Result<(), Failure> {
        let mail = match self.mail(message, now_us) {
            Ok(mail) => mail,
            Err(error) => return Err(Failure::Refused { reason: format!("{error:#}") }),
        };
        match self.transport.send(&mail) {
            Ok(_) => Ok(()),
            Err(error) => {
                let permanent = error.is_permanent();
                let reason = error.to_string();
                let reason = match &self.password {
                    Some(password) => password.hide(&reason),
                    None => reason,
                };
                let reason = reason.chars().take(REASON_CHARACTERS).collect();
                Err(match permanent {
                    true => Failure::Refused { reason },
                    false => Failure::Again { reason, after: None },
                })
            }
        }
    }

    fn acknowledges(&self) -> bool {
        false
    }

    fn acknowledge(&self, _: &str, _: &Acknowledged) -> Result<(), Failure> {
        Ok(())
    }
}
