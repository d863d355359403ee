//! Answers of our own.

use super::{
    forward::{self, Framed, Goes},
    refusal::Refusal,
};
use crate::date;

/// An answer of our own.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) status: u16,
    pub(crate) message: &'static str,
    /// In place of the message, in HTML.
    pub(crate) page: Option<String>,
    /// In place of the message, as it is.
    pub(crate) text: Option<String>,
    /// Where to ask instead.
    pub(crate) location: Option<String>,
    /// Worth asking again after so many seconds.
    pub(crate) again: Option<u32>,
    /// The connection ends with it.
    pub(crate) last: bool,
}

impl Own {
    pub(crate) const fn new(status: u16, message: &'static str) -> Own {
        Own { status, message, page: None, text: None, location: None, again: None, last: false }
    }

    /// Worth asking again at once.
    pub(crate) const fn again(status: u16, message: &'static str) -> Own {
        Own { status, message, page: None, text: None, location: None, again: Some(1), last: false }
    }

    pub(crate) fn refused(refusal: Refusal) -> Own {
        Own { last: true, ..Own::new(refusal.status, refusal.reason) }
    }

    /// Writes it; how long its head is. `bodiless`: an answer to HEAD.
    pub(crate) fn write(&self, out: &mut Vec<u8>, goes: Goes, bodiless: bool) -> usize {
        let before = out.len();
        let Own { status, message, page, text, location, again, last: _ } = self;
        let kind = if page.is_some() { "text/html; charset=utf-8" } else { "text/plain; charset=utf-8" };
        let line;
        let text = match page.as_ref().or(text.as_ref()) {
            Some(text) => text,
            None => {
                line = format!("{status} {}: {message}\n", reason(*status));
                &line
            }
        };
        forward::status_line(out, goes.modern, *status, reason(*status).as_bytes());
        let again = again.map_or(String::new(), |seconds| format!("Retry-After: {seconds}\r\n"));
        let location = location.as_ref().map_or(String::new(), |to| format!("Location: {to}\r\n"));
        let lines = format!("Content-Type: {kind}\r\nCache-Control: no-store\r\n{location}{again}Date: ");
        out.extend_from_slice(lines.as_bytes());
        out.extend_from_slice(&date::now());
        out.extend_from_slice(b"\r\n");
        forward::framing(out, Framed::Sized(u64::try_from(text.len()).unwrap_or(0)));
        forward::connection(out, goes.modern, goes.keeps);
        out.extend_from_slice(b"\r\n");
        let head = out.len() - before;
        if !bodiless {
            out.extend_from_slice(text.as_bytes());
        }
        head
    }
}

/// What a status says in words: of those that are answered here.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        301 => "Moved Permanently",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}
