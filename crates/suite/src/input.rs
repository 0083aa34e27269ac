//! Inputs of callbacks: headers, bodies and their chunks.

use std::path::Path;

use dynvm::host::HeaderMap as _;

use crate::files;
use crate::header_map::SortedHeaders;
use crate::http1;
use crate::model::{Chunking, Input, Invocation};

/// Headers from a file, from HTTP/1 text, or listed one by one. Listed headers get no pseudo-headers.
pub(crate) fn headers(input: &Input, kind: http1::Kind, suite: &Path) -> Result<SortedHeaders, String> {
    let parse = |text: &[u8]| http1::parse(text, kind).map_err(|error| format!("the headers cannot be read: {error}"));
    if !input.file.is_empty() {
        return parse(&files::read_beside(suite, &input.file)?).map_err(|error| format!("{}: {error}", input.file));
    }
    if !input.content.is_empty() {
        return parse(&input.content);
    }
    let mut headers = SortedHeaders::default();
    for header in &input.headers {
        headers.add(header.key.as_bytes(), &header.value);
    }
    Ok(headers)
}

/// Parts of a body, each split into chunks.
pub(crate) fn bodies(
    invocations: &[Invocation],
    chunking: Option<Chunking>,
    suite: &Path,
) -> Result<Vec<Vec<Vec<u8>>>, String> {
    if chunking.is_some() && invocations.len() > 1 {
        return Err("num_chunks and chunk_size are for a body of one part, and this one has several".to_owned());
    }
    let body = |invocation: &Invocation| match invocation.input.file.as_str() {
        "" => Ok(invocation.input.content.clone()),
        file => files::read_beside(suite, file),
    };
    invocations.iter().map(|invocation| chunks(body(invocation)?, chunking)).collect()
}

fn chunks(body: Vec<u8>, chunking: Option<Chunking>) -> Result<Vec<Vec<u8>>, String> {
    match chunking {
        None => Ok(vec![body]),
        Some(Chunking::Size(size)) => {
            let size = usize::try_from(size).ok().filter(|size| *size > 0);
            let size = size.ok_or("chunk_size is a number of bytes, at least 1")?;
            // An empty body is a single empty chunk.
            if body.is_empty() { Ok(vec![body]) } else { Ok(body.chunks(size).map(<[u8]>::to_vec).collect()) }
        }
        Some(Chunking::Count(count)) => {
            let count = usize::try_from(count).ok().filter(|count| *count > 0);
            let count = count.ok_or("num_chunks is a number of chunks, at least 1")?;
            let size = body.len() / count;
            if size == 0 {
                return Err(format!("a body of {} bytes cannot be cut into {count} chunks", body.len()));
            }
            let (equal, last) = body.split_at(size * (count - 1));
            Ok(equal.chunks(size).chain([last]).map(<[u8]>::to_vec).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(body: &str, chunking: Chunking) -> Result<Vec<String>, String> {
        let chunks = chunks(body.into(), Some(chunking))?;
        Ok(chunks.into_iter().map(|chunk| String::from_utf8(chunk).unwrap()).collect())
    }

    #[test]
    fn chunks_of_one_number() {
        for (body, count, expected) in
            [("abcdefg", 3, &["ab", "cd", "efg"][..]), ("abcdef", 3, &["ab", "cd", "ef"]), ("ab", 1, &["ab"])]
        {
            assert_eq!(cut(body, Chunking::Count(count)).unwrap(), expected);
        }
        for (body, count) in [("ab", 3), ("", 1), ("ab", 0), ("ab", -1)] {
            assert!(cut(body, Chunking::Count(count)).is_err(), "{body:?} {count}");
        }
    }

    #[test]
    fn chunks_of_one_size() {
        for (body, size, expected) in
            [("abcde", 2, &["ab", "cd", "e"][..]), ("abcd", 2, &["ab", "cd"]), ("a", 9, &["a"]), ("", 2, &[""])]
        {
            assert_eq!(cut(body, Chunking::Size(size)).unwrap(), expected);
        }
        assert!(cut("ab", Chunking::Size(0)).is_err() && cut("ab", Chunking::Size(-1)).is_err());
    }

    #[test]
    fn a_file_before_content_before_headers() {
        let dir = std::env::temp_dir().join(format!("dynvm-suite-input-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("request.data"), "GET /file HTTP/1.1").unwrap();
        let suite = dir.join("suite.textpb");
        let mut input = Input {
            file: "request.data".into(),
            content: b"GET /content HTTP/1.1".into(),
            headers: vec![crate::model::Header { key: ":Path".into(), value: b"/header".into() }],
        };
        let path = |input: &Input| {
            let headers = headers(input, http1::Kind::Request, &suite).unwrap();
            (headers.len(), String::from_utf8(headers.get(b":path").unwrap().to_vec()).unwrap())
        };
        assert_eq!(path(&input), (2, "/file".to_owned()));
        let body = |input: &Input| {
            let invocation = Invocation { input: input.clone(), ..Invocation::default() };
            bodies(&[invocation], None, &suite).unwrap().remove(0).remove(0)
        };
        assert_eq!(body(&input), b"GET /file HTTP/1.1");
        input.file.clear();
        assert_eq!(path(&input), (2, "/content".to_owned()));
        assert_eq!(body(&input), b"GET /content HTTP/1.1");
        input.content.clear();
        assert_eq!(path(&input), (1, "/header".to_owned()));
        assert_eq!(body(&input), b"");
        std::fs::remove_dir_all(dir).unwrap();
    }
}
