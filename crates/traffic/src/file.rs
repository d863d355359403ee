//! The route file: what turnout-proxy serves, also where neither the deployer nor the engine is there.
//!
//! Its first line is a JSON object of its own, the head: the format, and the digest of all that follows. The rest is the
//! table. `jq` reads both; `tail -n +2 FILE | sha256sum` gives the digest.
//!
//! ```json
//! {"format":1,"sha256":"…"}
//! {"serial":12,"repositories":{"shop":{"generation":7,"revision":0,"routes":[{"listen":"0.0.0.0:80",
//!   "protocol":"tcp","state":"serve","colours":[{"name":"blue","generation":7,"weight":100,
//!   "targets":["127.0.0.1:20001"]}]}]}}}
//! ```

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::{
    bounds,
    mistake::{Mistakes, quoted},
    reading::Reading,
    table::Table,
    tree::{Tree, parsed},
};

/// The format that this code writes, and the only one that it reads.
const FORMAT: u64 = 1;
/// Bytes of the head at most.
const HEAD: usize = 256;

/// What a route file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteFile {
    /// Counts the files that were written; the newest one has the highest. 0: none was.
    pub serial: u64,
    /// What is served.
    pub table: Table,
}

#[derive(Serialize)]
struct Head {
    format: u64,
    sha256: String,
}

#[derive(Serialize)]
struct Body<'t> {
    serial: u64,
    #[serde(flatten)]
    table: &'t Table,
}

impl RouteFile {
    /// The file's bytes.
    ///
    /// # Errors
    /// Where they are too many.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Mistakes> {
        let unwritten = |error: serde_json::Error| Mistakes::one("", format!("cannot be written as JSON: {error}"));
        let mut body =
            serde_json::to_vec_pretty(&Body { serial: self.serial, table: &self.table }).map_err(unwritten)?;
        body.push(b'\n');
        let mut bytes = serde_json::to_vec(&Head { format: FORMAT, sha256: digest(&body) }).map_err(unwritten)?;
        bytes.push(b'\n');
        bytes.append(&mut body);
        if bytes.len() > bounds::BYTES {
            return Err(too_large());
        }
        Ok(bytes)
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// All mistakes; a file whose digest is another one is not read further.
    pub fn from_bytes(bytes: &[u8]) -> Result<RouteFile, Mistakes> {
        if bytes.len() > bounds::BYTES {
            return Err(too_large());
        }
        let Some(end) = bytes.iter().take(HEAD).position(|byte| *byte == b'\n') else {
            let message = format!(
                "has no first line of at most {HEAD} bytes, with format and digest; it is cut off, or no route file"
            );
            return Err(Mistakes::one("", message));
        };
        let (head, body) = bytes.split_at(end);
        let body = body.get(1..).unwrap_or_default();
        check_head(head, body)?;
        let tree = parsed(body).map_err(|message| Mistakes::one("", message))?;
        let mut reading = Reading::default();
        let Some(fields) = reading.fields("", &tree, &["serial", "repositories", "standing"], &[]) else {
            return Err(reading.mistakes);
        };
        let serial = reading.required_number(&fields, "serial", 1, bounds::COUNTER).unwrap_or_default();
        let mut table = reading.required(&fields, "repositories").map(|tree| reading.table("repositories", tree));
        if let (Some(table), Some(tree)) = (&mut table, fields.get("standing")) {
            table.standing = reading.standing("standing", tree, &table.repositories);
        }
        reading.mistakes.unless_any(RouteFile { serial, table: table.unwrap_or_default() })
    }
}

fn check_head(head: &[u8], body: &[u8]) -> Result<(), Mistakes> {
    const PLACE: &str = "first line";
    let tree = parsed(head).map_err(|message| Mistakes::one(PLACE, message))?;
    // The format first: another one may have other keys.
    if let Tree::Map(entries) = &tree
        && let Some((_, Tree::Whole(format))) = entries.iter().find(|(key, _)| key == "format")
        && *format != FORMAT
    {
        let message =
            format!("is format {format}, this turnout-proxy reads format {FORMAT}; was it written by another version?");
        return Err(Mistakes::one(PLACE, message));
    }
    let mut reading = Reading::default();
    if let Some(fields) = reading.fields(PLACE, &tree, &["format", "sha256"], &[]) {
        reading.required_number(&fields, "format", FORMAT, FORMAT);
        let said = reading.required_text(&fields, "sha256");
        let is = digest(body);
        if let Some(said) = said
            && said != is
        {
            let message = format!(
                "says sha256 {}, but what follows has {is}: it is damaged, or was changed by hand (then put that one there)",
                quoted(said)
            );
            reading.wrong(PLACE, message);
        }
    }
    reading.mistakes.unless_any(())
}

fn digest(body: &[u8]) -> String {
    hex::encode(Sha256::digest(body))
}

fn too_large() -> Mistakes {
    Mistakes::one("", format!("is larger than {} bytes", bounds::BYTES))
}
