//! What the newest deliveries said, whole: for whoever wants to know why turnout understood one as it did.

use rusqlite::{
    Connection, OptionalExtension as _, params,
    types::{FromSql, FromSqlError, FromSqlResult, ValueRef},
};

use super::{Store, StoreError, count::rows};

/// Bytes of an unpacked payload at most: far more than is ever kept. A damaged size must not be believed.
const LARGEST: usize = 64 << 20;

/// A payload as it is stored: JSON repeats itself, and is a fifth as large when it is packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed(Vec<u8>);

impl Packed {
    /// Packs a text.
    pub fn new(text: &str) -> Packed {
        Packed(lz4_flex::block::compress_prepend_size(text.as_bytes()))
    }

    fn unpacked(bytes: &[u8]) -> Result<String, String> {
        let (size, _) = lz4_flex::block::uncompressed_size(bytes).map_err(|error| error.to_string())?;
        if size > LARGEST {
            return Err(format!("it claims to have {size} bytes"));
        }
        let text = lz4_flex::block::decompress_size_prepended(bytes).map_err(|error| error.to_string())?;
        if text.len() != size {
            return Err(format!("it has {} of {size} bytes", text.len()));
        }
        String::from_utf8(text).map_err(|error| error.to_string())
    }
}

/// One as it is read: earlier turnouts wrote the text itself.
struct Text(String);

impl FromSql for Text {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Text> {
        match value {
            ValueRef::Blob(packed) => {
                Packed::unpacked(packed).map(Text).map_err(|error| FromSqlError::other(std::io::Error::other(error)))
            }
            text => text.as_str().map(|text| Text(text.to_owned())),
        }
    }
}

/// Keeps the payload of a delivery, unless that is forgotten already.
fn keep(db: &Connection, delivery: i64, payload: &Packed) -> rusqlite::Result<()> {
    let mut keep = db.prepare_cached(
        "INSERT OR IGNORE INTO payloads (delivery, body)
         SELECT ?1, ?2 WHERE EXISTS (SELECT 1 FROM deliveries WHERE id = ?1)",
    )?;
    keep.execute(params![delivery, payload.0]).map(drop)
}

/// Forgets the payloads of all but the newest deliveries, at most `most` of them. Those of deliveries that are forgotten
/// themselves go with them.
pub(super) fn prune(db: &Connection, newest: usize, most: usize) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "DELETE FROM payloads WHERE delivery IN (SELECT delivery FROM payloads
           WHERE delivery <= (SELECT max(id) FROM deliveries) - ?1 ORDER BY delivery LIMIT ?2)",
    )?
    .execute(params![rows(newest), rows(most)])
}

impl Store {
    /// Keeps payloads, each with the number of its delivery: JSON without secrets.
    ///
    /// # Errors
    /// The disk is full, or the store is closed. None of them is kept then.
    pub async fn keep_payloads(&self, payloads: Vec<(i64, Packed)>) -> Result<(), StoreError> {
        let work =
            move |db: &Connection| payloads.iter().try_for_each(|(delivery, payload)| keep(db, *delivery, payload));
        self.inner.writer.run("keeping payloads", work).await
    }

    /// The payload of a delivery as JSON, if it was kept.
    ///
    /// # Errors
    /// As [`Store::deployment`].
    pub async fn payload(&self, delivery: i64) -> Result<Option<String>, StoreError> {
        let query = move |db: &Connection| {
            let mut query = db.prepare_cached("SELECT body FROM payloads WHERE delivery = ?1")?;
            query.query_row([delivery], |row| row.get(0)).optional().map(|text| text.map(|Text(text)| text))
        };
        self.inner.readers.run("reading a payload", query).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_back_and_a_damaged_one_does_not() {
        let text = r#"{"ref":"refs/heads/main","über":"x"}"#.repeat(50);
        let Packed(bytes) = Packed::new(&text);
        assert!(bytes.len() < text.len() / 5, "{}", bytes.len());
        assert_eq!(Packed::unpacked(&bytes), Ok(text));
        let huge = [&u32::MAX.to_le_bytes()[..], &bytes[4..]].concat();
        assert!(Packed::unpacked(&huge).unwrap_err().contains("4294967295 bytes"));
        for cut in 0..bytes.len() {
            assert!(Packed::unpacked(&bytes[..cut]).is_err(), "{cut}");
        }
        assert_eq!(Packed::unpacked(&Packed::new("").0), Ok(String::new()));
    }

    #[test]
    fn what_was_written_as_text_is_read() {
        let read = |value: ValueRef<'_>| Text::column_result(value).map(|Text(text)| text);
        assert_eq!(read(ValueRef::Text(b"{}")).unwrap(), "{}");
        assert_eq!(read(ValueRef::Blob(&Packed::new("{}").0)).unwrap(), "{}");
        assert!(read(ValueRef::Blob(b"x")).is_err() && read(ValueRef::Null).is_err());
    }
}
