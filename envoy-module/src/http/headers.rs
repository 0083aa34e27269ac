//! A header map in Envoy, as the plugin sees it.

use std::rc::Rc;

use dynvm::host::HeaderMap;

use super::Exchange;
use crate::abi::http_filter::HeaderKind;

/// A value that stands for an empty one. Envoy's functions for modules take an empty value as the wish to remove the
/// header. Codecs send a single space as an empty value, and never deliver one.
const EMPTY: &[u8] = b" ";

/// A header map of a stream.
pub struct Headers {
    pub(super) exchange: Rc<Exchange>,
    pub(super) kind: HeaderKind,
}

impl Headers {
    fn changed(&self) {
        self.exchange.headers_changed(self.kind);
    }
}

fn stored(value: &[u8]) -> &[u8] {
    if value.is_empty() { EMPTY } else { value }
}

fn shown(value: &[u8]) -> &[u8] {
    if value == EMPTY { b"" } else { value }
}

impl HeaderMap for Headers {
    fn len(&self) -> usize {
        self.exchange.filter.header_count(self.kind)
    }

    fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.exchange.filter.header(self.kind, name).map(shown)
    }

    fn for_each(&self, visit: &mut dyn FnMut(&[u8], &[u8])) {
        self.exchange.filter.for_each_header(self.kind, &mut |name, value| visit(name, shown(value)));
    }

    fn add(&mut self, name: &[u8], value: &[u8]) {
        self.exchange.filter.add_header(self.kind, name, stored(value));
        self.changed();
    }

    fn replace(&mut self, name: &[u8], value: &[u8]) {
        self.exchange.filter.set_header(self.kind, name, stored(value));
        self.changed();
    }

    fn remove(&mut self, name: &[u8]) {
        self.exchange.filter.remove_header(self.kind, name);
        self.changed();
    }

    fn clear(&mut self) {
        let mut names = Vec::new();
        self.exchange.filter.for_each_header(self.kind, &mut |name, _| names.push(name.to_vec()));
        for name in names {
            self.exchange.filter.remove_header(self.kind, &name);
        }
        self.changed();
    }
}
