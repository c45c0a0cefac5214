//! moto's server, AWS on a port of this machine, started for a test and stopped after it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

/// What every command of this test process has in its environment.
pub(crate) static ENVIRONMENT: OnceLock<Vec<(&'static str, String)>> = OnceLock::new();

/// The bucket that the server begins with.
const BUCKET: &str = "lake";

/// A server; dropping it stops it.
pub(crate) struct Moto(Child);

impl Moto {
    /// Starts a server with a bucket `lake`, and lets all commands to come know of it; `None` where no
    /// Python is named that has moto.
    pub(crate) fn start() -> Option<Self> {
        let (moto, endpoint) = Self::serve()?;
        let known = vec![
            ("AWS_ENDPOINT", endpoint),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ];
        assert!(ENVIRONMENT.set(known).is_ok(), "one such server a test process");
        Some(moto)
    }

    /// Starts a server and gives its address too; there may be several, each with a state of its own.
    pub(crate) fn serve() -> Option<(Self, String)> {
        let Some(python) = std::env::var_os("CLOUDOPS_PYTHON") else {
            println!("skipped: CLOUDOPS_PYTHON does not name a Python that has moto");
            return None;
        };
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = held.local_addr().unwrap();
        drop(held);
        let mut command = Command::new(python);
        command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &address.port().to_string()]);
        let server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut moto = Self(server);
        loop {
            assert!(moto.0.try_wait().unwrap().is_none(), "moto's server has ended");
            if let Ok(mut stream) = TcpStream::connect(address) {
                let request = format!(
                    "PUT /{BUCKET} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\
                     Connection: close\r\n\r\n"
                );
                stream.write_all(request.as_bytes()).unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Some((moto, format!("http://{address}")))
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}
