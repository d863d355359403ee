//! Any line on the control socket is a request or a refusal, any line from it an answer or mistakes; both bounded. What was read can be
//! said, and is understood as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use turnout_fuzz::traffic::control::{Answer, Request};

fuzz_target!(|line: &[u8]| {
    match Request::from_line(line) {
        Ok(request) => {
            let said = request.to_line().expect("what was read is within its bounds");
            assert_eq!(Request::from_line(&said).as_ref(), Ok(&request));
        }
        Err(refusal) => assert!(!refusal.message.is_empty() && refusal.message.len() < 100_000),
    }
    match Answer::from_line(line) {
        Ok(answer) => {
            let said = answer.to_line().expect("what was read is within its bounds");
            assert_eq!(Answer::from_line(&said).as_ref(), Ok(&answer));
        }
        Err(mistakes) => assert!(!mistakes.0.is_empty() && mistakes.to_string().len() < 100_000),
    }
});
