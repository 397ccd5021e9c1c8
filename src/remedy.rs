//! What can be done about trouble of ours.

/// Who ends a trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// It passes by itself: the supervisor waits and starts the task anew.
    Wait,
    /// Somebody has to act; trying again changes nothing, so it is tried rarely and said loudly.
    CallOperator,
}

/// An error that knows its remedy.
pub trait Remediable: std::error::Error {
    /// Who ends this trouble.
    fn remedy(&self) -> Remedy;

    /// What to do, as a sentence for the operator: a statement, a key of the configuration, a command.
    fn hint(&self) -> Option<String> {
        None
    }
}
