//! From bytes to the JSON text: as it is, or out of a form's one field `payload`.

use std::borrow::Cow;

use super::Refusal;

/// Finds the JSON text in a body that was verified.
///
/// # Errors
/// 415 for a media type, character set or content encoding that is not read; 400 for text that is not UTF-8 and for
/// forms without exactly one `payload`.
pub fn decode<'b>(
    content_type: Option<&[u8]>,
    content_encoding: Option<&[u8]>,
    body: &'b [u8],
) -> Result<Cow<'b, str>, Refusal> {
    if content_encoding.is_some_and(|coding| !coding.trim_ascii().eq_ignore_ascii_case(b"identity")) {
        return Err(Refusal::unsupported("compressed bodies are not read; send it without Content-Encoding"));
    }
    match media_type(content_type)? {
        Media::Json => std::str::from_utf8(body).map(Cow::Borrowed).map_err(|_| not_utf8()),
        Media::Form => payload_field(body).map(Cow::Owned),
    }
}

enum Media {
    Json,
    Form,
}

fn media_type(content_type: Option<&[u8]>) -> Result<Media, Refusal> {
    let wanted = "Content-Type must be application/json or application/x-www-form-urlencoded";
    let text = content_type.and_then(|value| std::str::from_utf8(value).ok());
    let text = text.ok_or_else(|| Refusal::unsupported(wanted))?;
    let mut parts = text.split(';').map(str::trim);
    let media = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "application/json" => Media::Json,
        "application/x-www-form-urlencoded" => Media::Form,
        _ => return Err(Refusal::unsupported(wanted)),
    };
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        let value = value.trim().trim_matches('"');
        if name.trim().eq_ignore_ascii_case("charset")
            && !["utf-8", "utf8", "us-ascii"].iter().any(|known| value.eq_ignore_ascii_case(known))
        {
            return Err(Refusal::unsupported("the body's charset must be UTF-8"));
        }
    }
    Ok(media)
}

/// The value of the one field `payload`, decoded once. Other fields are passed over.
fn payload_field(body: &[u8]) -> Result<String, Refusal> {
    let mut found = None;
    for pair in body.split(|byte| *byte == b'&') {
        let split = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let (name, value) = pair.split_at(split);
        if form_decoded(name)? != b"payload" {
            continue;
        }
        if found.is_some() {
            return Err(Refusal::malformed("the form has more than one field payload"));
        }
        found = Some(form_decoded(value.strip_prefix(b"=").unwrap_or(value))?);
    }
    let bytes = found.ok_or_else(|| Refusal::malformed("the form has no field payload"))?;
    String::from_utf8(bytes).map_err(|_| not_utf8())
}

/// Undoes application/x-www-form-urlencoded: `+` is a blank, `%XX` a byte.
fn form_decoded(text: &[u8]) -> Result<Vec<u8>, Refusal> {
    let malformed = || Refusal::malformed("the form has a % that no two hexadecimal digits follow");
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || bytes.next().and_then(|b| char::from(*b).to_digit(16)).ok_or_else(malformed);
                let value = digit()? * 16 + digit()?;
                u8::try_from(value).map_err(|_| malformed())?
            }
            other => *other,
        });
    }
    Ok(out)
}

fn not_utf8() -> Refusal {
    Refusal::malformed("the body is not UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(content_type: &str, body: &[u8]) -> Result<String, u16> {
        decode(Some(content_type.as_bytes()), None, body).map(Cow::into_owned).map_err(|refusal| refusal.status)
    }

    #[test]
    fn media_types() {
        for (content_type, expected) in [
            ("application/json", None),
            ("Application/JSON; charset=UTF-8", None),
            ("application/json;charset=\"utf-8\"", None),
            ("application/json; charset=utf-16", Some(415)),
            ("application/jsonx", Some(415)),
            ("text/plain", Some(415)),
            ("", Some(415)),
        ] {
            assert_eq!(status(content_type, b"{}").err(), expected, "{content_type}");
        }
        assert_eq!(decode(None, None, b"{}").unwrap_err().status, 415);
        assert_eq!(decode(Some(b"application/json"), Some(b"gzip"), b"{}").unwrap_err().status, 415);
        assert!(decode(Some(b"application/json"), Some(b"identity"), b"{}").is_ok());
    }

    #[test]
    fn forms() {
        let form = "application/x-www-form-urlencoded";
        for (body, expected) in [
            (&b"payload=%7B%22a%22%3A+%22%2B%C3%A9%22%7D"[..], Ok("{\"a\": \"+é\"}")),
            (b"x=1&payload={}&y", Ok("{}")),
            (b"pay%6coad={}", Ok("{}")),
            (b"payload={}&payload={}", Err(400)),
            (b"payload={}&pay%6coad={}", Err(400)),
            (b"x={}", Err(400)),
            (b"", Err(400)),
            (b"payload", Ok("")),
            (b"payload=%7", Err(400)),
            (b"payload=%", Err(400)),
            (b"payload=%zz", Err(400)),
            (b"payload=%ff", Err(400)),
        ] {
            assert_eq!(status(form, body), expected.map(str::to_owned), "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn text_that_is_not_utf8_is_400() {
        assert_eq!(status("application/json", b"{\"a\":\"\xff\"}"), Err(400));
    }
}
