//! Result of a request.

use dynvm_sim::{Exchange as Memory, Outcome};

use crate::ReceivedMessage;

/// Result of a request sent through the plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// How the exchange ended.
    pub outcome: Outcome,
    /// Response received by the client.
    pub response: ReceivedMessage,
    upstream: Option<ReceivedMessage>,
}

impl Exchange {
    pub(crate) fn new(exchange: Memory) -> Exchange {
        Exchange {
            outcome: exchange.outcome,
            response: ReceivedMessage::new("the response to the client", exchange.response.message),
            upstream: exchange
                .upstream_request
                .map(|request| ReceivedMessage::new("the request to the upstream", request)),
        }
    }

    /// Status received by the client.
    pub fn status(&self) -> Option<u32> {
        self.response.status()
    }

    /// Request received by the upstream, if any.
    pub fn upstream(&self) -> Option<&ReceivedMessage> {
        self.upstream.as_ref()
    }

    /// Asserts that the request reached the upstream, and returns it as received there.
    #[track_caller]
    pub fn assert_forwarded(&self) -> &ReceivedMessage {
        match &self.upstream {
            Some(request) => request,
            None => {
                panic!("the request did not reach the upstream: {:?}. The client got:\n{}", self.outcome, self.response)
            }
        }
    }

    /// Asserts that the request did not reach the upstream.
    #[track_caller]
    pub fn assert_not_forwarded(&self) -> &Exchange {
        if let Some(request) = &self.upstream {
            panic!("the request reached the upstream:\n{request}");
        }
        self
    }

    /// Asserts that the plugin sent a local response with this status, and returns it.
    #[track_caller]
    pub fn assert_local_reply(&self, status: u32) -> &ReceivedMessage {
        let local = matches!(self.outcome, Outcome::LocalResponse { .. });
        assert!(
            local,
            "the plugin sent no local response: {:?}. The client received:\n{}",
            self.outcome, self.response
        );
        self.response.assert_status(status)
    }

    /// Asserts that the client received the upstream's response, and returns it as modified by the plugin.
    #[track_caller]
    pub fn assert_answered(&self) -> &ReceivedMessage {
        let upstream = self.outcome == Outcome::Upstream;
        assert!(
            upstream,
            "the client did not get the upstream's response: {:?}. It got:\n{}",
            self.outcome, self.response
        );
        &self.response
    }

    /// Asserts that the plugin paused the stream and nothing pending could resume it.
    #[track_caller]
    pub fn assert_stuck(&self) -> &Exchange {
        assert_eq!(self.outcome, Outcome::Paused, "the stream came to an end");
        self
    }
}
