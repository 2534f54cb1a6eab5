//! As much of an HTTP/1.1 server as the clients here need: requests one after the other on a
//! connection, with bodies of known length or in chunks.

use std::io;
use std::io::{Read, Write};

use percent_encoding::percent_decode_str;

/// A request as it came in.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// Path and query.
    pub target: String,
    headers: Vec<(String, String)>,
    /// The body, without its chunks.
    pub body: Vec<u8>,
}

impl Request {
    /// The value of a header; `name` in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The decoded pairs of a body of the query protocol.
    pub fn form(&self) -> Form {
        let text = String::from_utf8_lossy(&self.body);
        let pairs = text
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (decoded(name), decoded(value)))
            .collect();
        Form(pairs)
    }
}

/// Pairs of names and values.
#[derive(Debug)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// The value under `name`, or nothing.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The values under `prefix.1`, `prefix.2`, …
    pub fn list(&self, prefix: &str) -> Vec<&str> {
        (1..)
            .map_while(|index| self.get(&format!("{prefix}.{index}")))
            .collect()
    }
}

/// `text` without its percent encoding; `+` is a space.
pub fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " "))
        .decode_utf8_lossy()
        .into_owned()
}

/// One connection's incoming side: bytes that came after one request belong to the next.
#[derive(Debug, Default)]
pub struct Incoming {
    bytes: Vec<u8>,
}

impl Incoming {
    /// The next request, or `None` when the client has closed the connection.
    ///
    /// # Errors
    /// Those of the connection, and a request that is not HTTP/1.1.
    pub fn next(&mut self, stream: &mut impl Read) -> io::Result<Option<Request>> {
        let (mut request, length) = loop {
            if let Some(head) = self.head()? {
                break head;
            }
            if !self.more(stream)? {
                return Ok(None);
            }
        };
        match length {
            Length::Known(length) => {
                while self.bytes.len() < length {
                    if !self.more(stream)? {
                        return Ok(None);
                    }
                }
                request.body = self.bytes.drain(..length).collect();
            }
            Length::Chunked => loop {
                let (start, size) = loop {
                    match httparse::parse_chunk_size(&self.bytes) {
                        Ok(httparse::Status::Complete((start, size))) => break (start, size),
                        Ok(httparse::Status::Partial) => {
                            if !self.more(stream)? {
                                return Ok(None);
                            }
                        }
                        Err(error) => return Err(io::Error::other(error.to_string())),
                    }
                };
                let size = usize::try_from(size).map_err(io::Error::other)?;
                while self.bytes.len() < start + size + 2 {
                    if !self.more(stream)? {
                        return Ok(None);
                    }
                }
                request.body.extend(&self.bytes[start..start + size]);
                self.bytes.drain(..start + size + 2);
                if size == 0 {
                    break;
                }
            },
        }
        Ok(Some(request))
    }

    fn more(&mut self, stream: &mut impl Read) -> io::Result<bool> {
        let mut part = [0; 16 * 1024];
        let count = stream.read(&mut part)?;
        self.bytes.extend(&part[..count]);
        Ok(count > 0)
    }

    /// The request's first part, taken from the bytes as soon as it is complete.
    fn head(&mut self) -> io::Result<Option<(Request, Length)>> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut parsed = httparse::Request::new(&mut headers);
        let status = parsed.parse(&self.bytes).map_err(io::Error::other)?;
        let httparse::Status::Complete(length) = status else {
            return Ok(None);
        };
        let request = Request {
            method: parsed.method.unwrap_or_default().to_owned(),
            target: parsed.path.unwrap_or_default().to_owned(),
            headers: parsed
                .headers
                .iter()
                .map(|header| {
                    let value = String::from_utf8_lossy(header.value).into_owned();
                    (header.name.to_ascii_lowercase(), value)
                })
                .collect(),
            body: Vec::new(),
        };
        let body = match request.header("transfer-encoding") {
            Some(encoding) if encoding.eq_ignore_ascii_case("chunked") => Length::Chunked,
            _ => Length::Known(
                request
                    .header("content-length")
                    .and_then(|length| length.parse().ok())
                    .unwrap_or(0),
            ),
        };
        self.bytes.drain(..length);
        Ok(Some((request, body)))
    }
}

enum Length {
    Known(usize),
    Chunked,
}

/// Writes an answer, in one piece.
///
/// # Errors
/// Those of the connection.
pub fn answer(
    stream: &mut impl Write,
    status: u16,
    headers: &[(&str, &str)],
    body: &str,
) -> io::Result<()> {
    let mut text = format!("HTTP/1.1 {status} -\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += "\r\n";
    text += body;
    stream.write_all(text.as_bytes())?;
    stream.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_pipelined_requests_at_any_chunk_size() {
        let text = "POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nb=1+2\
                    POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nd=%\r\n2\r\n31\r\n0\r\n\r\n\
                    GET /e HTTP/1.1\r\n\r\n";
        for size in [1, 7, 1000] {
            let mut incoming = Incoming::default();
            let mut stream = Cut(text.as_bytes(), size);
            let first = incoming.next(&mut stream).unwrap().unwrap();
            assert_eq!(
                (first.method.as_str(), first.target.as_str()),
                ("POST", "/a")
            );
            assert_eq!(first.form().get("b"), Some("1 2"));
            let second = incoming.next(&mut stream).unwrap().unwrap();
            assert_eq!(second.form().get("d"), Some("1"));
            let third = incoming.next(&mut stream).unwrap().unwrap();
            assert_eq!(third.target, "/e");
            assert!(third.body.is_empty());
            assert!(incoming.next(&mut stream).unwrap().is_none());
        }
    }

    /// Returns at most N bytes per read.
    struct Cut<'a>(&'a [u8], usize);

    impl Read for Cut<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }
}
