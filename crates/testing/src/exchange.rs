//! What became of a request.

use dynvm_sim::{Exchange as Memory, Outcome};

use crate::ReceivedMessage;

/// What became of a request that was taken through the plugin as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// How it ended.
    pub outcome: Outcome,
    /// What the client got.
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

    /// The status that the client got.
    pub fn status(&self) -> Option<u32> {
        self.response.status()
    }

    /// The request as the upstream got it; `None`: it did not.
    pub fn upstream(&self) -> Option<&ReceivedMessage> {
        self.upstream.as_ref()
    }

    /// Asserts that the request went on to the upstream, and returns what the upstream got.
    #[track_caller]
    pub fn assert_forwarded(&self) -> &ReceivedMessage {
        match &self.upstream {
            Some(request) => request,
            None => {
                panic!("the request did not reach the upstream: {:?}. The client got:\n{}", self.outcome, self.response)
            }
        }
    }

    /// Asserts that the upstream got nothing.
    #[track_caller]
    pub fn assert_not_forwarded(&self) -> &Exchange {
        if let Some(request) = &self.upstream {
            panic!("the request reached the upstream:\n{request}");
        }
        self
    }

    /// Asserts that the plugin answered itself, with this status, and returns the response.
    #[track_caller]
    pub fn assert_local_reply(&self, status: u32) -> &ReceivedMessage {
        let local = matches!(self.outcome, Outcome::LocalResponse { .. });
        assert!(local, "the plugin did not answer itself: {:?}. The client got:\n{}", self.outcome, self.response);
        self.response.assert_status(status)
    }

    /// Asserts that the client got the upstream's response, and returns it as the plugin left it.
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

    /// Asserts that the plugin paused the stream and nothing was left that could resume it.
    #[track_caller]
    pub fn assert_stuck(&self) -> &Exchange {
        assert_eq!(self.outcome, Outcome::Paused, "the stream came to an end");
        self
    }
}
