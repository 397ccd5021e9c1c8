//! What every connection sets, so that the settings of roles and databases change nothing.

/// Settings of every connection of ours. They decide the text form of values, and keep limits of the role
/// from ending a connection that waits on purpose.
///
/// `search_path` decides how `regclass` and its kin are written: as an application with the usual search path
/// sees them.
pub const SETTINGS: &[(&str, &str)] = &[
    ("DateStyle", "ISO,YMD"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("bytea_output", "hex"),
    ("extra_float_digits", "3"),
    ("lc_monetary", "C"),
    ("quote_all_identifiers", "off"),
    ("standard_conforming_strings", "on"),
    ("search_path", "public"),
    // from 18 on, that changes are left out is only a warning
    ("client_min_messages", "warning"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
];

/// A setting that is too young to stand among the others: an older server would refuse the connection.
pub(super) const NO_TRANSACTION_TIMEOUT: &str = "set transaction_timeout = 0";

/// Whether a server of this version knows the setting.
pub(super) fn has_transaction_timeout(server_version: &str) -> bool {
    major_version(server_version) >= Some(17)
}

/// The major version of a server that reports this version: `17.2 (Debian …)`, `18beta1`.
pub(crate) fn major_version(server_version: &str) -> Option<u32> {
    server_version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The settings as the startup parameter `options`, behind what the address itself asks for, so that they
/// have the last word.
pub(super) fn as_options(given: Option<&str>) -> String {
    let mut options = given.unwrap_or_default().to_owned();
    for (name, value) in SETTINGS {
        if !options.is_empty() {
            options.push(' ');
        }
        options.push_str("-c ");
        options.push_str(name);
        options.push('=');
        for character in value.chars() {
            if character == '\\' || character.is_whitespace() {
                options.push('\\');
            }
            options.push(character);
        }
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_stand_behind_those_of_the_address() {
        let options = as_options(Some("-c geqo=off"));
        assert!(options.starts_with("-c geqo=off -c DateStyle=ISO,YMD -c "), "{options}");
        assert!(!as_options(None).starts_with(' '));
    }

    #[test]
    fn the_major_version_is_the_first_number() {
        for (version, expected) in
            [("15.20 (Debian 15.20-0+deb12u1)", false), ("17.0", true), ("18beta1", true), ("", false)]
        {
            assert_eq!(has_transaction_timeout(version), expected, "{version}");
        }
    }
}
