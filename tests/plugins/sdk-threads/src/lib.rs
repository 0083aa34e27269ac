//! A plugin on the crate `proxy-sdk`, whose thread counts, logs and enqueues while streams run.

use std::sync::atomic::{AtomicBool, Ordering};

use proxy_sdk::native::ThreadContext;
use proxy_sdk::{BaseContext, Context, Counter, FilterHeadersStatus, HttpContext, Queue, RequestHeaders, RootContext};

#[derive(Default)]
struct Root;

impl BaseContext for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _: Option<Vec<u8>>) -> bool {
        let queue = Queue::register("jobs").unwrap();
        let context = ThreadContext::current().expect("a callback runs");
        std::thread::spawn(move || work(context, queue));
        true
    }

    fn create_context(&mut self) -> Context {
        Context::Http(Box::new(Stream))
    }
}

static ENDED: AtomicBool = AtomicBool::new(false);

fn work(context: ThreadContext, queue: Queue) {
    assert!(ThreadContext::current().is_none());
    context.enter();
    log::info!("from a thread");
    let counter = Counter::define("work");
    for job in 0..1000 {
        counter.increment(1);
        queue.enqueue(format!("job {job}")).unwrap();
    }
    log::info!("counted {}", counter.get().unwrap());
    ENDED.store(true, Ordering::Release);
}

struct Stream;

impl BaseContext for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: &RequestHeaders) -> FilterHeadersStatus {
        log::info!("a stream; the thread has ended: {}", ENDED.load(Ordering::Acquire));
        FilterHeadersStatus::Continue
    }
}

#[unsafe(no_mangle)]
extern "C" fn _start() {
    proxy_sdk::set_log_level(log::Level::Info);
    proxy_sdk::set_root_context_factory(Root::default);
}
