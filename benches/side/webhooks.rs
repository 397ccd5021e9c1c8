//! How walhook is set up for the runs: everything that is on in earnest is on.

use crate::receiver::Receiver;
use std::fmt::Write;

/// Its slot.
pub const SLOT: &str = "walhook";
/// A condition that every row meets, and that has to be judged.
pub const WIDE: &str = "'impact' < 9 AND 'assigned_group' LIKE \"team%\"";
/// A condition that no row meets.
pub const NARROW: &str = "'impact' = 9";

/// A condition that one row meets.
pub fn only(row: u32) -> String {
    format!("'id' = {row}")
}

/// So many webhooks on the form, alike but for their path.
#[derive(Clone, Debug)]
pub struct Webhooks {
    pub count: usize,
    pub condition: String,
    pub in_flight_max: usize,
}

impl Default for Webhooks {
    fn default() -> Self {
        Self { count: 1, condition: WIDE.to_owned(), in_flight_max: 16 }
    }
}

/// The configuration: a signature and a condition for each webhook, a schedule as it is by default.
pub fn configuration(database: &str, webhooks: &Webhooks, receiver: &Receiver) -> String {
    let mut toml = format!(
        "[source]\nurl = {database:?}\n[queue]\npath = \"queue.db\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [[forms]]\ntable = \"incident\"\n"
    );
    for number in 0..webhooks.count {
        let _ = write!(
            toml,
            "[[webhooks]]\nid = {}\nname = \"bench {number}\"\nform = \"incident\"\n\
             events = [\"create\", \"update\"]\ncondition = '''{}'''\nin_flight_max = {}\n\
             backlog_bytes_max = \"8GiB\"\n\
             [webhooks.callback]\nurl = {:?}\n\
             [webhooks.signature]\nsecret = \"whsec_d2FsaG9vayBtZWFzdXJlcyBpdHNlbGYgaW4gdGhlIG9wZW4=\"\n",
            number + 1,
            webhooks.condition,
            webhooks.in_flight_max,
            receiver.url(number),
        );
    }
    toml
}
