//! The result of a step as lines: name and value.

use dynvm::host::{HeaderMap as _, Headers};
use dynvm_compare::text::exact;
use dynvm_compare::trace::{Aspect, StepResult};
use dynvm_sim::{Message, StreamView};

use crate::scenario::Observation;

impl StepResult for Observation {
    fn lines(&self) -> Vec<Aspect> {
        let mut lines = Vec::new();
        match self {
            Observation::Start | Observation::Tick => {}
            Observation::Http(exchange) => {
                lines.push(("outcome".to_owned(), format!("{:?}", exchange.outcome)));
                message("response", &exchange.response.message, &mut lines);
                match &exchange.upstream_request {
                    Some(request) => message("request to upstream", request, &mut lines),
                    None => lines.push(("request to upstream".to_owned(), "none".to_owned())),
                }
            }
            Observation::Tcp(exchange) => {
                lines.push(("bytes to upstream".to_owned(), exact(&exchange.to_upstream)));
                lines.push(("bytes to downstream".to_owned(), exact(&exchange.to_downstream)));
                let end = format!("closed {}, failed {}, paused {}", exchange.closed, exchange.failed, exchange.paused);
                lines.push(("end of the connection".to_owned(), end));
            }
            Observation::Interleaved(ends) => {
                for end in ends {
                    let name = format!("stream {}", end.stream);
                    match &end.view {
                        Some(stream) => view(&name, stream, &mut lines),
                        None => lines.push((name, "gone with its VM".to_owned())),
                    }
                }
            }
        }
        lines
    }
}

fn view(name: &str, view: &StreamView, lines: &mut Vec<Aspect>) {
    let state = format!(
        "request {}, response {}, closed {}, failed {}",
        progress(view.upstream.complete, view.request_held),
        progress(view.client.complete, view.response_held),
        view.closed,
        view.failed
    );
    lines.push((format!("{name} at its end"), state));
    if let Some(reply) = &view.local_reply {
        lines.push((
            format!("{name}, local response"),
            format!("{:?}, gRPC status {}", reply.details, reply.grpc_status),
        ));
        message(&format!("{name}, local response"), &reply.message, lines);
    }
    message(&format!("{name}, request to upstream"), &view.upstream.message, lines);
    message(&format!("{name}, response"), &view.client.message, lines);
}

fn progress(complete: bool, held: bool) -> &'static str {
    match (complete, held) {
        (true, _) => "complete",
        (false, true) => "held",
        (false, false) => "not complete",
    }
}

fn message(what: &str, message: &Message, lines: &mut Vec<Aspect>) {
    headers(&format!("{what} header"), &message.headers, lines);
    for (index, chunk) in message.chunks.iter().enumerate() {
        lines.push((format!("{what} body, chunk {}", index + 1), exact(chunk)));
    }
    headers(&format!("{what} trailer"), &message.trailers, lines);
}

fn headers(what: &str, headers: &Headers, lines: &mut Vec<Aspect>) {
    headers.for_each(&mut |name, value| lines.push((format!("{what} {}", exact(name)), exact(value))));
}
