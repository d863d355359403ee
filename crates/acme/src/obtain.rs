//! One order, to its end. Whatever it is killed in the middle of, the next call goes on with.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    AcmeError, Files, Kind, Offer, Record, Session, Stage, csr,
    key::{Key, base64url},
    order::{Next, next},
    record::UnderWay,
    session::{Asking, location, understood},
    wire::{Authorization, Order, plain},
};

/// How long an authority may take to decide. The order is kept, and gone on with at the next try.
const PATIENCE: Duration = Duration::from_secs(180);
/// Pauses between two looks at it: the first, and the longest.
const LOOK: Duration = Duration::from_millis(500);
const LONGEST_LOOK: Duration = Duration::from_secs(15);
/// Hosts to be proven for an order of one.
const AUTHORIZATIONS: usize = 4;

/// Obtains a certificate for a host, and puts it in its place with its key.
///
/// # Errors
/// Why not. What is gone on with next time is in the record, and on the disk.
pub async fn obtain(
    session: &Session,
    files: &Files,
    host: &str,
    wanted: Kind,
    stage: &(dyn Stage + Sync),
    record: &mut Record,
) -> Result<(), AcmeError> {
    if record.directory != session.directory() {
        *record = Record { directory: session.directory().to_owned(), ..Record::default() };
    }
    let outcome = driven(session, files, host, wanted, stage, record).await;
    stage.withdraw(host);
    match &outcome {
        Ok(()) => *record = Record { directory: record.directory.clone(), ..Record::default() },
        Err(error) if error.loses_order() => record.order = None,
        Err(_) => {}
    }
    outcome
}

async fn driven(
    session: &Session,
    files: &Files,
    host: &str,
    wanted: Kind,
    stage: &(dyn Stage + Sync),
    record: &mut Record,
) -> Result<(), AcmeError> {
    let mut asking = session.asking();
    let (UnderWay { url, key }, mut order) = begun(session, &mut asking, files, host, record).await?;
    let key = Key::from_pem(&key)?;
    let (since, mut pause) = (Instant::now(), LOOK);
    loop {
        let authorizations = authorizations(&mut asking, &order).await?;
        let mut asked = None;
        match next(&order, &authorizations, wanted) {
            Next::Offer { kind, token, url, say } => {
                let proof = session.proof(&token)?;
                let offer = Offer { host: host.to_owned(), kind, token, proof };
                stage.show(&offer).map_err(AcmeError::Here)?;
                if say {
                    asking.post(&url, Some(&json!({}))).await?;
                }
            }
            Next::Wait => {}
            Next::Finalise => {
                let request = json!({ "csr": base64url(&csr::request(host, &key)?) });
                let answer = asking.post(&order.finalize, Some(&request)).await?;
                asked = answer.retry_after();
            }
            Next::Fetch(address) => {
                let chain = asking.post(&address, None).await?.body;
                csr::looked_at(&chain, host, &key)
                    .map_err(|message| AcmeError::Unfit { at: plain(&address), message })?;
                return files.put_certificate(host, &chain, &key.to_pem()?);
            }
            Next::GiveUp(words) => return Err(AcmeError::NotProven(words)),
        }
        if since.elapsed() >= PATIENCE {
            return Err(AcmeError::Undecided(PATIENCE));
        }
        sleep(asked.unwrap_or(pause).clamp(LOOK, LONGEST_LOOK)).await;
        pause = (pause * 2).min(LONGEST_LOOK);
        let answer = asking.post(&url, None).await?;
        order = understood(&url, &answer)?;
    }
}

/// The order that was under way, if it is there still; else a new one, which is on the disk before it is gone on with.
async fn begun(
    session: &Session,
    asking: &mut Asking<'_>,
    files: &Files,
    host: &str,
    record: &mut Record,
) -> Result<(UnderWay, Order), AcmeError> {
    // One whose certificate is in its place came to its end, and only that was not written any more.
    if let Some(under_way) = record.order.clone().filter(|order| !files.has_key(host, &order.key)) {
        match asking.post(&under_way.url, None).await {
            Ok(answer) => {
                let order: Order = understood(&under_way.url, &answer)?;
                if !matches!(next(&order, &[], Kind::Http), Next::GiveUp(_)) {
                    return Ok((under_way, order));
                }
            }
            Err(error) if error.loses_order() && !error.loses_account() => {}
            Err(error) => return Err(error),
        }
    }
    files.order(host)?;
    let wanted = json!({ "identifiers": [{ "type": "dns", "value": host }] });
    let answer = asking.post(session.new_order(), Some(&wanted)).await?;
    let order: Order = understood(session.new_order(), &answer)?;
    let url = location(session.new_order(), &answer)?;
    let under_way = UnderWay { url, key: Key::new()?.to_pem()? };
    record.order = Some(under_way.clone());
    files.keep(host, record)?;
    Ok((under_way, order))
}

/// What a pending or failed order wants proven.
async fn authorizations(asking: &mut Asking<'_>, order: &Order) -> Result<Vec<Authorization>, AcmeError> {
    use crate::wire::Status::{Invalid, Pending};
    let mut all = Vec::new();
    if !matches!(order.status, Pending | Invalid) {
        return Ok(all);
    }
    if order.authorizations.len() > AUTHORIZATIONS {
        let message = format!("an order of one host wants {} proven", order.authorizations.len());
        return Err(AcmeError::Unfit { at: "the authority".to_owned(), message });
    }
    for url in &order.authorizations {
        let answer = asking.post(url, None).await?;
        all.push(understood(url, &answer)?);
    }
    Ok(all)
}
