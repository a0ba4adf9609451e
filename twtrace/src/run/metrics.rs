//! Serves the metrics page over HTTP, beside the run.

use crate::{
    cli,
    model::filter::Filter,
    probe::cost,
    sink::{
        Sink,
        metrics::{Metrics, Page},
    },
    trace::Header,
};
use anyhow::Context as _;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};
use std::{convert::Infallible, fmt, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::Semaphore, time::timeout};

/// Who asks is a scraper, once in some seconds.
const CONNECTIONS: usize = 16;
/// How long a request may take to come, and a connection to stay.
const PATIENCE: Duration = Duration::from_secs(10);
const STAY: Duration = Duration::from_secs(300);

/// Where metrics are served, and nobody has been answered yet.
pub(super) struct Server {
    address: SocketAddr,
    listener: TcpListener,
}

impl Server {
    /// Takes the address, if one was given.
    pub(super) async fn listen(args: &cli::MetricsArgs) -> anyhow::Result<Option<Self>> {
        let Some(address) = args.metrics else { return Ok(None) };
        let listener = TcpListener::bind(address).await;
        let listener =
            listener.with_context(|| format!("cannot serve metrics at {address}: choose another address"))?;
        Ok(Some(Self { address: listener.local_addr().unwrap_or(address), listener }))
    }

    /// Answers from now on; gives the sink that the answers are made of.
    pub(super) fn start(self, filter: Filter, header: &Header) -> Box<dyn Sink> {
        let (metrics, page) = Metrics::new(filter, &header.attached.kernel, &header.sysctls, Cost);
        log::info!("metrics are at http://{}/metrics", self.address);
        tokio::spawn(serve(self.listener, page));
        Box::new(metrics)
    }
}

async fn serve(listener: TcpListener, page: Page) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, most likely, which passes.
                log::warn!("cannot accept a request for metrics: {error}");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let page = page.clone();
        tokio::spawn(async move {
            let answer = service_fn(|request| {
                let answer = answer(&request, &page);
                async { Ok::<_, Infallible>(answer) }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
            // Whoever hangs up or talks nonsense has had an answer, or needs none.
            let _ = timeout(STAY, http.serve_connection(TokioIo::new(stream), answer)).await;
            drop(place);
        });
    }
}

fn answer(request: &Request<Incoming>, page: &Page) -> Response<Full<Bytes>> {
    let known = matches!(*request.method(), Method::GET | Method::HEAD);
    let (status, kind, body) = match request.uri().path() {
        "/metrics" if known && accepts_openmetrics(request) => (StatusCode::OK, Page::TYPE, page.text()),
        "/metrics" if known => (StatusCode::OK, Page::OLDER_TYPE, page.older_text()),
        "/metrics" => (StatusCode::METHOD_NOT_ALLOWED, "text/plain", "read it with GET\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "text/plain", "metrics are at /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

fn accepts_openmetrics(request: &Request<Incoming>) -> bool {
    let mut accepted = request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.contains("application/openmetrics-text"))
}

/// What the tracer itself takes, by the names that every process has them under.
#[derive(Debug)]
struct Cost;

impl Collector for Cost {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let cpu = ConstCounter::new(cost::cpu_seconds());
        let help = "CPU time that twtrace has used";
        cpu.encode(encoder.encode_descriptor("process_cpu", help, Some(&Unit::Seconds), MetricType::Counter)?)?;
        if let Some(bytes) = cost::resident_bytes() {
            let resident = ConstGauge::new(i64::try_from(bytes).unwrap_or(i64::MAX));
            let help = "Memory that twtrace has resident";
            let name = "process_resident_memory";
            resident.encode(encoder.encode_descriptor(name, help, Some(&Unit::Bytes), MetricType::Gauge)?)?;
        }
        Ok(())
    }
}
