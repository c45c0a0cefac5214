//! `/metrics`, `/status` and `/healthz` over HTTP.
//!
//! On a thread and a runtime of its own: however slow a client is, the run does not wait for it.

use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use tokio::sync::oneshot;

use super::Monitor;

/// What Prometheus expects of the text that the encoder writes.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How long requests that are being answered may take after the end.
const PATIENCE: Duration = Duration::from_secs(1);

/// An address that is ours, and not yet served.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

/// A server; it stops when it is dropped.
#[derive(Debug)]
pub struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Takes an address, before anything else is begun.
///
/// # Errors
/// Naming the address, when it is none or another process has it.
pub fn bind(address: &str) -> Result<Bound> {
    let bound = || -> std::io::Result<Bound> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Bound { listener, address })
    };
    bound().with_context(|| {
        format!(
            "run.listen: cannot listen on {address:?}; write it as \"127.0.0.1:9095\", and choose a \
             port that no other process has"
        )
    })
}

impl Bound {
    /// The address, with the port that the system chose where 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers questions about a run from now on.
    ///
    /// # Errors
    /// When the operating system has no thread to give.
    pub fn serve(self, monitor: Monitor) -> Result<Server> {
        let (stop, stopped) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("starting the server's runtime")?;
        let address = self.address;
        let run = move || {
            if let Err(error) = runtime.block_on(answer(self.listener, monitor, stopped)) {
                tracing::error!(%address, %error, "the server has stopped");
            }
        };
        let thread = std::thread::Builder::new().name("server".to_owned()).spawn(run);
        tracing::info!(%address, "listening");
        Ok(Server { stop: Some(stop), thread: Some(thread.context("starting the server")?) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // What it had to say is in the log.
            drop(thread.join());
        }
    }
}

async fn answer(
    listener: TcpListener,
    monitor: Monitor,
    stopped: oneshot::Receiver<()>,
) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let (drain, drained) = oneshot::channel::<()>();
    let serve = axum::serve(listener, router(monitor)).with_graceful_shutdown(async move {
        // The sender says nothing: that it is gone is the news.
        drop(stopped.await);
        drop(drain);
    });
    let too_long = async move {
        drop(drained.await);
        tokio::time::sleep(PATIENCE).await;
    };
    tokio::select! {
        served = async { serve.await } => served,
        () = too_long => Ok(()),
    }
}

fn router(monitor: Monitor) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .route("/healthz", get(health))
        .with_state(monitor)
}

async fn index() -> &'static str {
    "/metrics  for Prometheus\n/status   the run as JSON\n/healthz  200, or 503 and what is wrong\n"
}

async fn metrics(State(monitor): State<Monitor>) -> Response {
    match monitor.metrics() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n")).into_response(),
    }
}

async fn status(State(monitor): State<Monitor>) -> Response {
    Json(monitor.status()).into_response()
}

async fn health(State(monitor): State<Monitor>) -> (StatusCode, String) {
    match monitor.trouble() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(trouble) => (StatusCode::SERVICE_UNAVAILABLE, format!("{trouble}\n")),
    }
}
