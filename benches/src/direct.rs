//! The lower bound: the same work on the same headers, called directly, without any ABI.

use std::hint::black_box;

use bench_suite::work;
use dynvm::host::{HeaderMap as _, Headers};
use regex::bytes::Regex;

use crate::stream::BenchStream;
use crate::{Subject, Workload};

/// Plain functions.
pub struct Direct {
    workload: &'static str,
    pattern: Regex,
}

impl Direct {
    /// For one workload.
    pub fn new(workload: Workload) -> Direct {
        Direct { workload: workload.name, pattern: work::pattern().expect("the pattern is valid") }
    }
}

struct Plain(Headers);

impl work::Headers for Plain {
    fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.0.get(name.as_bytes()).map(<[u8]>::to_vec)
    }

    fn add(&mut self, name: &str, value: &[u8]) {
        self.0.add(name.as_bytes(), value);
    }
}

fn all(headers: &Headers) -> usize {
    headers.iter().map(|(name, value)| name.len() + value.len()).sum()
}

impl Subject for Direct {
    fn stream(&mut self, template: &BenchStream) {
        let BenchStream { request, mut response, mut body } = template.clone();
        let mut request = Plain(request);
        let mut result = None;
        match self.workload {
            "header" => work::header(&mut request),
            "all-headers" => result = Some(format!("{} {}", all(&request.0), all(&response))),
            "json" => {
                request.0.remove(b"content-length");
                body = work::json(body.as_deref().unwrap_or_default());
            }
            "sha256" => result = Some(work::sha256(body.as_deref().unwrap_or_default())),
            "regex" => result = Some(work::regex(&self.pattern, body.as_deref().unwrap_or_default()).to_string()),
            _ => {}
        }
        if let Some(result) = result {
            response.add(b"x-bench-result", result.as_bytes());
        }
        black_box((request.0, response, body));
    }
}
