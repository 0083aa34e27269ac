//! Mutable access to the parts of a step.

use super::{Body, Bytes, Event, HttpCall, Lines, RequestStep, ResponseStep, Step, Way};

/// A list of lines.
type List = Vec<(Bytes, Bytes)>;

/// Header and trailer lists.
pub(crate) fn lists(step: &mut Step) -> Vec<&mut List> {
    match step {
        Step::Request(request) => {
            let RequestStep { headers, trailers, response, .. } = &mut **request;
            let mut lists = vec![&mut headers.0, &mut trailers.0];
            if let Some(ResponseStep { headers, trailers, .. }) = response {
                lists.extend([&mut headers.0, &mut trailers.0]);
            }
            lists
        }
        Step::Interleaved(events) => {
            let lists = events.iter_mut().filter_map(|event| match event {
                Event::Headers { headers: Lines(list), .. } | Event::Trailers { trailers: Lines(list), .. } => {
                    Some(list)
                }
                _ => None,
            });
            lists.collect()
        }
        Step::Connection(_) | Step::Tick(_) => Vec::new(),
    }
}

/// Bodies of requests and responses.
pub(crate) fn bodies(step: &mut Step) -> Vec<&mut Body> {
    match step {
        Step::Request(request) => {
            let RequestStep { body, response, .. } = &mut **request;
            let of_response = response.as_mut().map(|response| &mut response.body);
            [Some(body), of_response].into_iter().flatten().collect()
        }
        _ => Vec::new(),
    }
}

/// Lists of chunks.
pub(crate) fn chunk_lists(step: &mut Step) -> Vec<&mut Vec<Bytes>> {
    if let Step::Connection(connection) = step {
        return vec![&mut connection.downstream, &mut connection.upstream];
    }
    let chunks = bodies(step).into_iter().filter_map(|body| match body {
        Body::Chunks(chunks) => Some(chunks),
        Body::Whole(_) => None,
    });
    chunks.collect()
}

/// All byte strings of a step.
pub(crate) fn strings(step: &mut Step) -> Vec<&mut Bytes> {
    match step {
        Step::Request(request) => {
            let RequestStep { method, path, authority, headers, body, trailers, response } = &mut **request;
            let mut strings: Vec<&mut Bytes> = [method, path, authority].into_iter().flatten().collect();
            strings.extend(of_lines(headers).chain(of_lines(trailers)).chain(of_body(body)));
            if let Some(ResponseStep { headers, body, trailers, .. }) = response {
                strings.extend(of_lines(headers).chain(of_lines(trailers)).chain(of_body(body)));
            }
            strings
        }
        Step::Connection(connection) => connection.downstream.iter_mut().chain(&mut connection.upstream).collect(),
        Step::Interleaved(events) => {
            let mut strings = Vec::new();
            for event in events {
                match event {
                    Event::Headers { headers: lines, .. } | Event::Trailers { trailers: lines, .. } => {
                        strings.extend(of_lines(lines));
                    }
                    Event::Body { chunk, .. } => strings.push(chunk),
                    _ => {}
                }
            }
            strings
        }
        Step::Tick(_) => Vec::new(),
    }
}

/// All byte strings of an answer to a call.
pub(crate) fn strings_of_answer(call: &mut HttpCall) -> Vec<&mut Bytes> {
    of_lines(&mut call.headers).chain(of_lines(&mut call.trailers)).chain(of_body(&mut call.body)).collect()
}

fn of_lines(lines: &mut Lines) -> impl Iterator<Item = &mut Bytes> {
    lines.0.iter_mut().flat_map(|(name, value)| [name, value])
}

fn of_body(body: &mut Body) -> impl Iterator<Item = &mut Bytes> {
    match body {
        Body::Whole(bytes) => std::slice::from_mut(bytes),
        Body::Chunks(chunks) => chunks.as_mut_slice(),
    }
    .iter_mut()
}

/// Durations of ticks.
pub(crate) fn ticks(step: &mut Step) -> Vec<&mut u64> {
    match step {
        Step::Tick(milliseconds) => vec![milliseconds],
        Step::Interleaved(events) => {
            let ticks = events.iter_mut().filter_map(|event| match event {
                Event::Tick(milliseconds) => Some(milliseconds),
                _ => None,
            });
            ticks.collect()
        }
        _ => Vec::new(),
    }
}

/// Converts each stream of an interleaved step to a whole request.
pub(crate) fn requests(events: &[Event]) -> Vec<RequestStep> {
    let mut streams: Vec<u32> = events.iter().filter_map(Event::stream).collect();
    streams.sort_unstable();
    streams.dedup();
    streams.into_iter().map(|stream| request(events, stream)).collect()
}

fn request(events: &[Event], stream: u32) -> RequestStep {
    let mut request = RequestStep::default();
    let mut response = ResponseStep::default();
    let mut chunks: [Vec<Bytes>; 2] = Default::default();
    let mut answered = false;
    for event in events.iter().filter(|event| event.stream() == Some(stream)) {
        match event {
            Event::Headers { direction: Way::Request, headers, .. } => {
                for (name, value) in &headers.0 {
                    match &**name {
                        b":method" => request.method = Some(value.clone()),
                        b":path" => request.path = Some(value.clone()),
                        b":authority" => request.authority = Some(value.clone()),
                        _ => request.headers.0.push((name.clone(), value.clone())),
                    }
                }
            }
            Event::Headers { direction: Way::Response, headers, .. } => {
                answered = true;
                for (name, value) in &headers.0 {
                    match &**name {
                        b":status" => {
                            response.status = std::str::from_utf8(value).ok().and_then(|status| status.parse().ok())
                        }
                        _ => response.headers.0.push((name.clone(), value.clone())),
                    }
                }
            }
            Event::Body { direction, chunk, .. } => chunks[*direction as usize].push(chunk.clone()),
            Event::Trailers { direction: Way::Request, trailers, .. } => request.trailers = trailers.clone(),
            Event::Trailers { direction: Way::Response, trailers, .. } => response.trailers = trailers.clone(),
            Event::Open { .. } | Event::Close { .. } | Event::Tick(_) => {}
        }
    }
    let [of_request, of_response] = chunks;
    request.body = Body::Chunks(of_request);
    response.body = Body::Chunks(of_response);
    request.response = answered.then_some(response);
    request
}
