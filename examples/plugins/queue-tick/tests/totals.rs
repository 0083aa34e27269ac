//! Records pass through a queue, and ticks log the totals.

use std::time::Duration;

use dynvm_testing::{Request, Response, this_crate};

#[needs::wasm_rust]
#[test]
fn totals_are_logged_when_the_timer_fires() {
    this_crate!().configuration("1000").on_each_backend(|host| {
        host.send(Request::get("/a"));
        host.send(Request::get("/b").upstream(Response::new(404)));
        host.enqueue("queue-tick/records", "GET /elsewhere 200");
        host.assert_not_logged("tick 1");
        host.advance(Duration::from_secs(1));
        host.assert_logged("tick 1: 3 requests, 200: 2, 404: 1");
        assert_eq!(host.dequeue("queue-tick/records"), None, "the plugin has taken all of it");
        host.advance(Duration::from_secs(2));
        host.assert_logged("tick 3: 0 requests");
    });
}
