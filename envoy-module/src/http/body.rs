//! A body in Envoy, as the plugin sees it: what earlier events held back, then what arrived with the present one.
//!
//! Envoy can only remove bytes from the front of either part and append to its end, so other changes write both parts
//! anew.

use std::rc::Rc;

use dynvm::host::Buffer;

use super::{Direction, Exchange};
use crate::abi::http_filter::{BodyPart, HttpFilter};

/// The parts of a direction's body: buffered, received.
fn both(direction: Direction) -> [BodyPart; 2] {
    match direction {
        Direction::Request => [BodyPart::BufferedRequest, BodyPart::ReceivedRequest],
        Direction::Response => [BodyPart::BufferedResponse, BodyPart::ReceivedResponse],
    }
}

/// Length of a body in a hook that a part of it arrives with.
pub(super) fn length(filter: &HttpFilter, direction: Direction) -> usize {
    let [buffered, received] = both(direction);
    let held = if filter.received_is_buffered(received) { 0 } else { filter.body_len(buffered) };
    held + filter.body_len(received)
}

/// The body of one direction of a stream.
pub struct Body {
    pub(super) exchange: Rc<Exchange>,
    pub(super) direction: Direction,
}

impl Body {
    fn filter(&self) -> &HttpFilter {
        &self.exchange.filter
    }

    fn received(&self) -> BodyPart {
        both(self.direction)[1]
    }

    fn buffered(&self) -> BodyPart {
        both(self.direction)[0]
    }

    /// True in the event that a part of the body arrived with.
    fn is_arriving(&self) -> bool {
        self.exchange.side(self.direction).body_arrives.get()
    }

    /// The parts that make up the body, in order.
    fn parts(&self) -> impl Iterator<Item = BodyPart> {
        let arriving = self.is_arriving();
        // What another filter held back arrives as a whole, and is still in the buffer.
        let buffered = !arriving || !self.filter().received_is_buffered(self.received());
        let parts = [(buffered, self.buffered()), (arriving, self.received())];
        parts.into_iter().filter_map(|(there, part)| there.then_some(part))
    }

    /// The part that new bytes go to.
    fn end(&self) -> BodyPart {
        if self.is_arriving() { self.received() } else { self.buffered() }
    }

    fn read(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len());
        for part in self.parts() {
            self.filter().for_each_chunk(part, &mut |chunk| bytes.extend_from_slice(chunk));
        }
        bytes
    }

    fn drain(&self) {
        for part in self.parts() {
            let length = self.filter().body_len(part);
            if length > 0 {
                self.filter().drain_body(part, length);
            }
        }
    }

    /// True if the plugin may use the body now.
    pub fn is_there(&self) -> bool {
        self.is_arriving() || self.filter().body_len(self.buffered()) > 0
    }
}

impl Buffer for Body {
    fn len(&self) -> usize {
        self.parts().map(|part| self.filter().body_len(part)).sum()
    }

    fn copy_to(&self, start: usize, target: &mut [u8]) {
        let (mut skip, mut filled) = (start, 0);
        for part in self.parts() {
            self.filter().for_each_chunk(part, &mut |chunk| {
                let skipped = skip.min(chunk.len());
                skip -= skipped;
                let taken = (chunk.len() - skipped).min(target.len() - filled);
                target[filled..filled + taken].copy_from_slice(&chunk[skipped..skipped + taken]);
                filled += taken;
            });
        }
    }

    fn replace(&mut self, start: usize, length: usize, data: &[u8]) {
        let total = self.len();
        if start == total {
            self.filter().append_body(self.end(), data);
        } else {
            let bytes = if start == 0 && length == total {
                data.to_vec()
            } else {
                let mut bytes = self.read();
                bytes.splice(start..start + length, data.iter().copied());
                bytes
            };
            self.drain();
            self.filter().append_body(self.end(), &bytes);
        }
        self.exchange.side(self.direction).body_changed.set(true);
    }
}
