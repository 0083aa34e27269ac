use dynvm_testing::{Request, this_crate};

#[needs::wasm_rust]
#[test]
fn only_the_key_gets_in() {
    this_crate!().on_each_backend(|host| {
        host.send(Request::get("/")).assert_local_reply(401);
        let exchange = host.send(Request::get("/").header("x-api-key", "secret"));
        exchange.response.assert_header("x-hello", "world");
    });
}
