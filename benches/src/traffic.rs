//! Requests and responses of the benches: the same bytes for every peer. Uses only `std`, since peers with other
//! toolchains include this file.

/// Names and values.
pub type Lines = Vec<(String, Vec<u8>)>;

/// One request and its response.
#[derive(Clone)]
pub struct Traffic {
    /// Headers of the request.
    pub request: Lines,
    /// Headers of the response.
    pub response: Lines,
    /// The request's body; `None`: it has none.
    pub body: Option<Vec<u8>>,
}

impl Traffic {
    /// A request of `headers` headers, at least 5, and a body of about `body` bytes of JSON, if not 0.
    pub fn new(headers: usize, body: usize) -> Traffic {
        let mut request: Lines = [
            (":method", "GET"),
            (":path", "/api/items?limit=10"),
            (":authority", "shop.example.com"),
            ("user-agent", "curl/8.5.0 (x86_64)."),
            ("accept", "*/*"),
        ]
        .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
        .to_vec();
        request.extend((5..headers).map(|i| (format!("x-header-{i}"), b"a value of 24 characters".to_vec())));
        let response = [(":status", "200"), ("content-type", "application/json"), ("server", "bench")]
            .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
            .to_vec();
        Traffic { request, response, body: (body > 0).then(|| json(body)) }
    }
}

/// A JSON document of many small values.
fn json(size: usize) -> Vec<u8> {
    let mut text = String::from("{\"items\":[");
    for id in 0.. {
        text += &format!(
            "{{\"id\":{id},\"name\":\"item {id}\",\"owner\":\"user{id}@example.com\",\"tags\":[\"a\",\"b\",\"c\"],\"price\":{}.5}}",
            id * 3
        );
        if text.len() + 2 >= size {
            break;
        }
        text.push(',');
    }
    text += "]}";
    text.into_bytes()
}
